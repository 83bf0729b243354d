"""The supervisor of one run on this machine, at the levels L3, L2 and L1.

A guard is a small fork of the spawner, outside of the sandbox, and its
program's only supervisor. If the spawner or the client goes away it kills the
program and cleans up. OSErrors on the way are reported as infra_error; if it
dies of anything else the client sees that its reply never came.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import time
from typing import Any

from . import files, meters, run, stage, tree, wire
from .setup import Setup


class Guard(run.Run):
  """See run.Run.

  Args:
    slot: which uid and cores.
    name: unique in this spawner.
    job: stream to the client.
    requests: to the template.
    alive: a pipe that is closed when the spawner ends.
  """

  def __init__(self, setup: Setup, slot: int, name: str, job: socket.socket,
               requests: socket.socket, alive: int):
    super().__init__(setup, (job.fileno(), alive))
    self._slot, self._name, self._requests = slot, name, requests
    self._init = self._keeper = None  # pids
    self._group = self._channel = None
    self._place = ''  # L2: the directory of this run

  @property
  def must_sample(self) -> bool:
    return self._group is None

  # --- Before ------------------------------------------------------------

  def prepare(self, header: dict[str, Any], source: bytes) -> None:
    setup, public_dir = self.setup, header['public_dir']
    self._channel, theirs = socket.socketpair(
        socket.AF_UNIX, socket.SOCK_SEQPACKET)
    self._channel.settimeout(run.SETTLE_S)
    self.exit_fd = self._channel.fileno()
    namespaces: list[int] = []
    proc = None
    if setup.level == 'L3':
      self._init = tree.start(setup, self._slot, public_dir, theirs)
      _, (self.work, proc, *namespaces) = self._message('ready')
    else:
      self._place, public_dir = stage.make(setup, self._slot, self._name,
                                           public_dir)
      self.work = os.open(f'{self._place}/submission', os.O_RDONLY)
    out, err, go = self.open_pipes()
    source_fd = os.memfd_create('source')
    os.write(source_fd, source)
    os.lseek(source_fd, 0, os.SEEK_SET)
    given = [theirs.fileno(), out, err, source_fd, go, *namespaces]
    wire.post(self._requests, {
        'slot': self._slot, 'work': self._place, 'public_dir': public_dir,
        **{k: header[k] for k in ('seed', 'cores', 'threads')}}, given)
    theirs.close()
    for fd in given[1:]:
      os.close(fd)
    told: dict[str, Any] = {}  # by three processes, in any order
    while not {'keeper', 'forked', 'ready'} <= told.keys():
      told.update(self._message(None)[0])
    if setup.level != 'L3':
      self._keeper = told['keeper']
    self._measure(proc, told['forked'])

  def _measure(self, proc: int | None, main: int) -> None:
    """From here on CPU time and memory count as the program's."""
    setup = self.setup
    if setup.cgroup is not None:
      self._group = self.meter = setup.cgroup.group(
          self._name, memory_mb=setup.memory_mb,
          max_processes=setup.max_processes)
      self._group.add(main)
      return
    if proc is None:
      proc = os.open('/proc', os.O_RDONLY)
    self.meter = meters.Sampled(
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
      raise TimeoutError(f'no {key} within {run.SETTLE_S} s') from None
    if 'error' in message:
      raise OSError(message['error'])
    if key is not None and key not in message:
      raise OSError(f'no {key} but {message}')
    return message, fds

  # --- While and after ---------------------------------------------------

  def take_exit(self) -> None:
    message, _ = self._message('exit')
    self.exit = message['exit']
    self._reaped(message)

  def _reaped(self, message: dict[str, Any]) -> None:
    if self._group is None and self.meter is not None:
      self.meter.add_cpu_s(message['cpu_s'])

  def _disk_in_memory_mb(self) -> float:
    return 0.0 if self._place else self.disk_mb()

  def disk_mb(self) -> float:
    if self._place:
      return files.usage_mb(self._place)
    disk = os.fstatvfs(self.work)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize / (1 << 20)

  def disk_is_full(self) -> bool:
    if self._place:
      limit = self.setup.disk_mb << 20
      return self.disk_mb() * (1 << 20) > limit - files.FULL_BYTES
    return files.is_full(self.work)

  def kill(self) -> None:
    if self._init is not None:
      if self._group is None and self.meter is not None:
        self.meter.sample()
      os.kill(self._init, signal.SIGKILL)
      os.waitpid(self._init, 0)
      if self.exit is None and self.meter is not None:
        self.take_exit()
    elif self._keeper is not None:
      self._end_keeper()

  def _end_keeper(self) -> None:
    if self.setup.is_root:
      deadline = time.monotonic() + run.SETTLE_S
      while meters.descendants(self._keeper):
        meters.kill_uid(self.setup.uid(self._slot))
        if time.monotonic() > deadline:
          raise TimeoutError('processes survive SIGKILL')
        time.sleep(0.001)
    else:
      meters.kill_descendants(self._keeper)
    if self.exit is None:
      self.take_exit()
    wire.post(self._channel, {'finish': True})
    message, _ = self._message('empty')
    self._reaped(message)

  def clean(self) -> None:
    if self._group is not None:
      self._group.remove()
    if self._place:
      files.remove(self._place)
