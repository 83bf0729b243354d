"""One run: prepare, hand over, watch, kill, harvest, reply.

A guard is a small fork of the spawner, outside of the sandbox, and its
program's only supervisor. If the spawner or the client goes away it kills the
program and cleans up. OSErrors on the way are reported as infra_error; if it
dies of anything else the client sees that its reply never came.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import time
from typing import Any

from . import files, meters, program, stage, tree, wire
from .setup import Setup

_SETTLE_S = 10.0  # for our own machinery: to get ready, to see all dead
_LOOK_S = 0.1  # how often limits are looked at that the kernel keeps
_SAMPLE_S = 0.01  # and those that only we do
_OUTPUT_FACTOR = 4  # times output_kb: there a writer is stopped
_FULL_BYTES = 64 << 10  # less than this free: the disk is full


def run(setup: Setup, slot: int, name: str, job: socket.socket,
        requests: socket.socket, alive: int) -> None:
  """Receives a job, runs it, replies.

  Args:
    slot: which uid and cores.
    name: unique in this spawner.
    job: stream to the client.
    requests: to the template.
    alive: a pipe that is closed when the spawner ends.
  """
  try:
    header, (source,) = wire.receive(job)
  except EOFError:
    return
  this = _Run(setup, slot, name, job, alive)
  try:
    try:
      this.prepare(header, source, requests)
      this.hand_over()
      this.watch()
    finally:
      this.end()
    reply, blobs = this.report()
  except OSError as error:
    reply, blobs = {'status': 'infra_error', 'error': str(error)}, []
  this.clean()
  with contextlib.suppress(OSError):  # nobody may be listening any more
    wire.send(job, reply, *blobs)


class _Run:

  def __init__(self, setup: Setup, slot: int, name: str, job: socket.socket,
               alive: int):
    self._setup, self._slot, self._name = setup, slot, name
    self._job, self._alive = job, alive
    self._init = self._keeper = None  # pids
    self._group = self._meter = self._channel = None
    self._work = None  # descriptor of the working directory
    self._place = ''  # L2: the directory of this run
    self._exit: int | None = None
    self._limit: str | None = None
    self._started = 0.0
    self._gone = False  # the spawner or the client

  # --- Before ------------------------------------------------------------

  def prepare(self, header: dict[str, Any], source: bytes,
              requests: socket.socket) -> None:
    setup, public_dir = self._setup, header['public_dir']
    self._channel, theirs = socket.socketpair(
        socket.AF_UNIX, socket.SOCK_SEQPACKET)
    self._channel.settimeout(_SETTLE_S)
    namespaces: list[int] = []
    proc = None
    if setup.level == 'L3':
      self._init = tree.start(setup, self._slot, public_dir, theirs)
      _, (self._work, proc, *namespaces) = self._message('ready')
    else:
      self._place, public_dir = stage.make(setup, self._slot, self._name,
                                           public_dir)
      self._work = os.open(f'{self._place}/submission', os.O_RDONLY)
    out, err, go = os.pipe(), os.pipe(), os.pipe()
    source_fd = os.memfd_create('source')
    os.write(source_fd, source)
    os.lseek(source_fd, 0, os.SEEK_SET)
    given = [theirs.fileno(), out[1], err[1], source_fd, go[0], *namespaces]
    wire.post(requests, {
        'slot': self._slot, 'seed': header['seed'], 'work': self._place,
        'public_dir': public_dir}, given)
    theirs.close()
    for fd in given[1:]:
      os.close(fd)
    self._go = go[1]
    half = setup.output_kb << 10
    self._out, self._err = files.Capture(out[0], half), files.Capture(
        err[0], half)
    told: dict[str, Any] = {}  # by three processes, in any order
    while not {'keeper', 'forked', 'ready'} <= told.keys():
      told.update(self._message(None)[0])
    if setup.level != 'L3':
      self._keeper = told['keeper']
    self._measure(proc, told['forked'])

  def _measure(self, proc: int | None, main: int) -> None:
    """From here on CPU time and memory count as the program's."""
    setup = self._setup
    if setup.cgroup is not None:
      self._group = self._meter = setup.cgroup.group(
          self._name, memory_mb=setup.memory_mb,
          max_processes=setup.max_processes)
      self._group.add(main)
      return
    if proc is None:
      proc = os.open('/proc', os.O_RDONLY)
    self._meter = meters.Sampled(
        proc, functools.partial(self._pids, proc), memory_mb=setup.memory_mb,
        template_mb=setup.template_mb, kept_mb=self._disk_in_memory_mb)

  def _pids(self, proc: int) -> list[int]:
    """The program's processes, by their names in `proc`."""
    if self._keeper is not None:
      return meters.descendants(self._keeper)
    return [int(n) for n in os.listdir(proc) if n.isdigit() and n != '1']

  def _message(self, key: str | None) -> tuple[dict[str, Any], list[int]]:
    """The next message, which must have `key` if one is given."""
    try:
      message, fds = wire.collect(self._channel)
    except EOFError:
      raise ConnectionError('the template is gone') from None
    except TimeoutError:
      raise TimeoutError(f'no {key} within {_SETTLE_S} s') from None
    if 'error' in message:
      raise OSError(message['error'])
    if key is not None and key not in message:
      raise OSError(f'no {key} but {message}')
    return message, fds

  def hand_over(self) -> None:
    self._started = time.monotonic()
    os.write(self._go, b'g')
    os.close(self._go)

  # --- While -------------------------------------------------------------

  def watch(self) -> None:
    """Returns when the main program has ended or has hit a limit."""
    setup = self._setup
    poller = select.poll()
    for fd in (self._channel.fileno(), self._out.fd, self._err.fd):
      poller.register(fd, select.POLLIN)
    for fd in (self._job.fileno(), self._alive):
      poller.register(fd, select.POLLIN | select.POLLRDHUP)
    every_s = _SAMPLE_S if self._group is None else _LOOK_S
    looked = 0.0
    while self._exit is None and self._limit is None:
      now = time.monotonic()
      wall_s = self._started + setup.timeout_s - now
      if wall_s <= 0:
        self._limit = 'wall'
      if now - looked >= _SAMPLE_S / 2:
        looked = now
        self._look()
      cpu_s = (setup.cpu_limit_s - self._meter.cpu_s()) / setup.cpus
      wait_s = max(0.001, min(wall_s, cpu_s, every_s))
      ready = {fd for fd, _ in poller.poll(wait_s * 1000)}
      if ready & {self._job.fileno(), self._alive}:
        self._gone = True
        return
      for stream in (self._out, self._err):
        if stream.fd in ready:
          stream.drain()
          if stream.closed:
            poller.unregister(stream.fd)
      if self._channel.fileno() in ready:
        self._take_exit()

  def _look(self) -> None:
    """Compares what is used with what is allowed."""
    setup = self._setup
    if self._group is None:
      self._meter.sample()
    if self._meter.out_of_memory():
      self._limit = 'memory'
    elif self._meter.cpu_s() >= setup.cpu_limit_s:
      self._limit = 'cpu'
    elif self._written() > _OUTPUT_FACTOR * setup.output_kb << 10:
      self._limit = 'output'
    elif self._place and self._disk_mb() > setup.disk_mb:
      self._limit = 'disk'

  def _take_exit(self) -> None:
    message, _ = self._message('exit')
    self._exit = message['exit']
    if self._group is None and self._meter is not None:
      self._meter.add_cpu_s(message['cpu_s'])

  def _written(self) -> int:
    return self._out.total + self._err.total

  def _disk_in_memory_mb(self) -> float:
    return 0.0 if self._place else self._disk_mb()

  def _disk_mb(self) -> float:
    if self._place:
      return files.usage_mb(self._place)
    disk = os.fstatvfs(self._work)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize / (1 << 20)

  # --- After -------------------------------------------------------------

  def end(self) -> None:
    """Kills all that is left and returns when nothing is."""
    if self._init is not None:
      if self._group is None and self._meter is not None:
        self._meter.sample()
      os.kill(self._init, signal.SIGKILL)
      os.waitpid(self._init, 0)
      if self._exit is None and self._meter is not None:
        self._take_exit()
    elif self._keeper is not None:
      self._end_keeper()
    self._duration_s = time.monotonic() - self._started

  def _end_keeper(self) -> None:
    if self._setup.is_root:
      deadline = time.monotonic() + _SETTLE_S
      while meters.descendants(self._keeper):
        meters.kill_uid(self._setup.uid(self._slot))
        if time.monotonic() > deadline:
          raise TimeoutError('processes survive SIGKILL')
        time.sleep(0.001)
    else:
      meters.kill_descendants(self._keeper)
    if self._exit is None:
      self._take_exit()
    wire.post(self._channel, {'finish': True})
    message, _ = self._message('empty')
    if self._group is None and self._meter is not None:
      self._meter.add_cpu_s(message['cpu_s'])

  def report(self) -> tuple[dict[str, Any], list[bytes]]:
    setup, meter = self._setup, self._meter
    if self._gone:
      raise ConnectionError('the run was called off')
    for stream in (self._out, self._err):
      stream.drain(max_reads=1 << 10)
    if self._limit is None:
      self._limit = self._limit_found_late()
    status = {None: 'ok' if self._exit == 0 else 'error', 'cpu': 'timeout',
              'wall': 'timeout', 'memory': 'oom', 'output': 'output_limit',
              'disk': 'disk_limit'}[self._limit]
    found = files.harvest(self._work, setup.disk_mb << 20, program.NAME)
    reply = dict(
        status=status, limit=self._limit, exit_code=self._exit,
        duration_s=self._duration_s, cpu_s=meter.cpu_s(),
        peak_memory_mb=meter.peak_mb(), names=list(found))
    return reply, [self._out.content(), self._err.content(), *found.values()]

  def _limit_found_late(self) -> str | None:
    """Limits that were hit between the last look and the end."""
    setup = self._setup
    if self._meter.out_of_memory():
      return 'memory'
    if self._meter.cpu_s() >= setup.cpu_limit_s:
      return 'cpu'
    if self._written() > setup.output_kb << 10:
      return 'output'
    if self._exit != 0 and self._disk_is_full():
      return 'disk'
    return None

  def _disk_is_full(self) -> bool:
    if self._place:
      limit = self._setup.disk_mb << 20
      return self._disk_mb() * (1 << 20) > limit - _FULL_BYTES
    disk = os.fstatvfs(self._work)
    return disk.f_bavail * disk.f_frsize < _FULL_BYTES or disk.f_favail == 0

  def clean(self) -> None:
    """Nothing stays: no cgroup, no file."""
    if self._group is not None:
      self._group.remove()
    if self._place:
      files.remove(self._place)
