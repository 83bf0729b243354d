"""PID 1 of a container: one warmed interpreter, one program, then the end.

Supervisor and template of the local backend in one process, which a program
cannot reach although both have the same uid: no signal that it has no handler
for is delivered to the PID 1 of a namespace from within, and what is not
dumpable is closed to ptrace and in /proc. The walls are the container's.

It speaks through standard input and output (see wire.py): {'version'}, then a
job with {'setup', 'seed', 'cores', 'threads', 'data'} and the source, then the
reply.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import time
from typing import Any, NoReturn

from . import confine, files, linux, program, run, template, tree, wire
from .setup import Setup

HOME = tree.HOME
DATA = '/home/data'
VERSION = 'version'  # a file beside this package: of what the image was made
WRITABLE = (HOME, '/tmp', '/dev/shm')  # a file system of limited size each
_MIB = 1 << 20


def main() -> NoReturn:
  """What the container runs. Never returns."""
  # Python's own handler of SIGINT would let the program interrupt us.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  linux.set_dumpable(False)
  stream = _Standard()
  template.warm()
  version = pathlib.Path(__file__).parents[1] / VERSION
  wire.send(stream, {'version': version.read_text()})
  with contextlib.suppress(EOFError):
    header, (source,) = wire.receive(stream)
    setup = Setup(**header['setup'], level='container')
    _Contained(setup).answer(header, source, stream)
  os._exit(0)


class _Standard:
  """Standard input and output as wire.py's socket."""

  def recv(self, size: int) -> bytes:
    return os.read(0, size)

  def sendall(self, data: bytes) -> None:
    while data:
      data = data[os.write(1, data[: 1 << 20]):]


class _Contained(run.Run):
  """See run.Run."""

  must_sample = True

  def __init__(self, setup: Setup):
    super().__init__(setup, callers=(0,))
    self._main: int | None = None

  def prepare(self, header: dict[str, Any], source: bytes) -> None:
    self.work = os.open(HOME, os.O_RDONLY | os.O_DIRECTORY)
    self._disks = [os.open(p, os.O_RDONLY | os.O_DIRECTORY) for p in WRITABLE]
    if header['data']:
      os.symlink('../data', f'{HOME}/data')
    self.exit_fd, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    out, err, go = self.open_pipes()
    ready, told = os.pipe()
    self.meter = _Meter(self.setup.memory_mb)
    self._main = os.fork()
    if self._main == 0:
      try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _become_program(self.setup, header, source, out, err, go, told)
      finally:
        os._exit(1)
    for fd in (out, err, go, told):
      os.close(fd)
    if (message := os.read(ready, 1 << 12)) != b'ready':
      raise OSError(message.decode() or 'the program could not be started')
    os.close(ready)

  def take_exit(self) -> None:
    """Orphans are ours to reap as well."""
    with contextlib.suppress(BlockingIOError):
      os.read(self.exit_fd, 1 << 12)
    with contextlib.suppress(ChildProcessError):
      while (ended := os.waitpid(-1, os.WNOHANG))[0]:
        if ended[0] == self._main:
          self.exit = os.waitstatus_to_exitcode(ended[1])

  def kill(self) -> None:
    deadline = time.monotonic() + run.SETTLE_S
    while True:
      with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # all but ourselves
      self.take_exit()
      try:
        if not os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
          if time.monotonic() > deadline:
            raise TimeoutError('processes survive SIGKILL')
          time.sleep(0.001)
      except ChildProcessError:
        return

  def disk_mb(self) -> float:
    total = 0.0
    for fd in self._disks:
      disk = os.fstatvfs(fd)
      total += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    return total / _MIB

  def disk_is_full(self) -> bool:
    return any(map(files.is_full, self._disks))


class _Meter:
  """The container's own cgroup, less what we had used before the program."""

  def __init__(self, memory_mb: int):
    self._memory_mb = memory_mb
    root = pathlib.Path('/sys/fs/cgroup')
    self._v2 = (root / 'cgroup.controllers').exists()
    self._memory = root if self._v2 else root / 'memory'
    self._cpu = root if self._v2 else root / 'cpuacct'
    self._peak_mb = 0.0
    self._used_mb, self._used_s = self._held_mb(), self._total_s()

  def _held_mb(self) -> float:
    """All that is charged, what the kernel keeps for the program included,
    without the caches of files on disk, which can be dropped.
    """
    name = 'memory.current' if self._v2 else 'memory.usage_in_bytes'
    total = int((self._memory / name).read_text())
    stat = _keyed(self._memory / 'memory.stat')
    if not self._v2:
      return (total - stat['total_inactive_file']
              - stat['total_active_file']) / _MIB
    return (total - stat['inactive_file'] - stat['active_file']
            - stat['slab_reclaimable']) / _MIB

  def _total_s(self) -> float:
    if self._v2:
      return _keyed(self._cpu / 'cpu.stat')['usage_usec'] / 1e6
    return int((self._cpu / 'cpuacct.usage').read_text()) / 1e9

  def sample(self) -> None:
    self._peak_mb = max(self._peak_mb, self._held_mb() - self._used_mb)

  def cpu_s(self) -> float:
    return self._total_s() - self._used_s

  def out_of_memory(self) -> bool:
    name = 'memory.events' if self._v2 else 'memory.oom_control'
    return (_keyed(self._memory / name)['oom_kill'] > 0
            or self._peak_mb > self._memory_mb)

  def peak_mb(self) -> float:
    return self._peak_mb


def _keyed(path: pathlib.Path) -> dict[str, int]:
  lines = (line.split() for line in path.read_text().splitlines())
  return {name: int(value) for name, value in lines}


def _become_program(setup: Setup, header: dict[str, Any], source: bytes,
                    out: int, err: int, go: int, told: int) -> NoReturn:
  """Confines itself, says so, waits for its start, runs the source."""
  try:
    os.setsid()
    null = os.open('/dev/null', os.O_RDWR)
    for source_fd, fd in ((null, 0), (out, 1), (err, 2)):
      os.dup2(source_fd, fd)
    os.chdir(HOME)
    os.sched_setaffinity(0, header['cores'])
    confine.enter_container(setup)
    text = source.decode('utf-8', 'replace')
    with open(program.NAME, 'w', encoding='utf-8',
              errors='replace') as file:
      file.write(text)
  except OSError as error:
    os.write(told, str(error).encode())
    os._exit(1)
  os.write(told, b'ready')
  if not os.read(go, 1):
    os._exit(1)
  os.closerange(3, 1 << 16)
  sys.setrecursionlimit(1000)
  program.run(text, seed=header['seed'], home=HOME, tmp='/tmp',
              threads=header['threads'])
