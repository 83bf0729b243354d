"""Cgroups, where this machine lets us make them: version 2, else version 1."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time

_MIB = 1 << 20
_CONTROLLERS = ('memory', 'pids')
_PREFIX = 'ace_jax-'


class Group:
  """The cgroup of one run. A meter (see meters.py)."""

  def __init__(self, dirs: dict[str, pathlib.Path], *, memory_mb: int,
               max_processes: int):
    """Makes it; OSError where that is refused."""
    self._dirs = dirs
    self._v2 = 'unified' in dirs
    for path in dirs.values():
      path.mkdir()
    memory, limit = self._dir('memory'), str(memory_mb * _MIB)
    if self._v2:
      _write(memory / 'memory.max', limit)
      with contextlib.suppress(OSError):  # without swap accounting
        _write(memory / 'memory.swap.max', '0')
    else:
      _write(memory / 'memory.limit_in_bytes', limit)
      with contextlib.suppress(OSError):
        _write(memory / 'memory.swappiness', '0')
        _write(memory / 'memory.memsw.limit_in_bytes', limit)
    _write(self._dir('pids') / 'pids.max', str(max_processes))

  def _dir(self, controller: str) -> pathlib.Path:
    return self._dirs['unified' if self._v2 else controller]

  def add(self, pid: int) -> None:
    for path in self._dirs.values():
      _write(path / 'cgroup.procs', str(pid))

  def cpu_s(self) -> float:
    if self._v2:
      return _keyed(self._dir('cpu') / 'cpu.stat', 'usage_usec') / 1e6
    return _number(self._dir('cpuacct') / 'cpuacct.usage') / 1e9

  def out_of_memory(self) -> bool:
    name = 'memory.events' if self._v2 else 'memory.oom_control'
    return _keyed(self._dir('memory') / name, 'oom_kill') > 0

  def peak_mb(self) -> float:
    if not self._v2:
      name = 'memory.max_usage_in_bytes'
    else:  # memory.peak is younger than cgroup v2
      name = 'memory.peak'
    try:
      return _number(self._dir('memory') / name) / _MIB
    except FileNotFoundError:
      return _number(self._dir('memory') / 'memory.current') / _MIB

  def pids(self) -> list[int]:
    text = (self._dir('pids') / 'cgroup.procs').read_text()
    return [int(pid) for pid in text.split()]

  def kill(self) -> None:
    """SIGKILL for all in it, until none is left."""
    for _ in range(1000):
      pids = self.pids()
      if not pids:
        return
      for pid in pids:
        with contextlib.suppress(ProcessLookupError):
          os.kill(pid, signal.SIGKILL)
      time.sleep(0.001)
    raise OSError(f'processes survive in {self._dir("pids")}')

  def remove(self) -> None:
    for path in self._dirs.values():
      remove(path)


def remove(path: pathlib.Path) -> None:
  """Removes a cgroup, whose last process may still be on its way out."""
  deadline = time.monotonic() + 1.0
  while True:
    try:
      path.rmdir()
    except FileNotFoundError:
      return
    except OSError:
      if time.monotonic() > deadline:
        raise
      time.sleep(0.002)


class Parent:
  """Where groups are made."""

  def __init__(self, dirs: dict[str, pathlib.Path]):
    self.dirs = dirs
    self.version = 2 if 'unified' in dirs else 1

  def group(self, name: str, *, memory_mb: int, max_processes: int) -> Group:
    dirs = {key: path / f'{_PREFIX}{os.getppid()}-{name}'
            for key, path in self.dirs.items()}
    return Group(dirs, memory_mb=memory_mb, max_processes=max_processes)

  def sweep(self, spawner: int | None = None) -> None:
    """Removes groups of `spawner`, or of all spawners that are dead."""
    for path in self.dirs.values():
      for child in path.glob(f'{_PREFIX}*'):
        owner = int(child.name.removeprefix(_PREFIX).split('-')[0])
        if owner == spawner or not os.path.exists(f'/proc/{owner}'):
          with contextlib.suppress(OSError):
            remove(child)


def find() -> Parent:
  """The parent to use, found by making and using one; OSError if none."""
  reasons = []
  for dirs in _candidates():
    parent = Parent(dirs)
    try:
      _try(parent)
    except OSError as error:
      reasons.append(str(error))
    else:
      parent.sweep()
      return parent
  raise OSError('no cgroup can be made: '
                + ('; '.join(reasons[:2]) or 'none is mounted'))


def _try(parent: Parent) -> None:
  """Makes a group, puts a process in it, and takes it away again."""
  group = parent.group(f'probe-{os.getpid()}', memory_mb=64, max_processes=8)
  try:
    pid = os.fork()
    if pid == 0:
      signal.pause()
    try:
      group.add(pid)
      group.cpu_s(), group.out_of_memory(), group.peak_mb()
    finally:
      os.kill(pid, signal.SIGKILL)
      os.waitpid(pid, 0)
  finally:
    group.remove()


def _candidates() -> list[dict[str, pathlib.Path]]:
  """Directories per controller: version 2 first, our own group upwards."""
  own = {}  # controller, '' for version 2 → path in its hierarchy
  for line in pathlib.Path('/proc/self/cgroup').read_text().splitlines():
    _, names, path = line.split(':', 2)
    own.update({name: path for name in names.split(',')})
  mounts: dict[str, pathlib.Path] = {}
  for line in pathlib.Path('/proc/self/mountinfo').read_text().splitlines():
    left, right = line.split(' - ')
    root, point = left.split()[3:5]
    kind, _, options = right.split(' ', 2)
    if kind == 'cgroup2':
      mounts[''] = _below(point, root, own.get('', '/'))
    elif kind == 'cgroup':
      for name in options.split(','):
        if name in own:
          mounts[name] = _below(point, root, own[name])
  found = []
  if '' in mounts:
    path = mounts['']
    while os.path.exists(path / 'cgroup.procs'):
      if _delegates(path):
        found.append({'unified': path})
      path = path.parent
  if all(name in mounts for name in (*_CONTROLLERS, 'cpuacct')):
    names = (*_CONTROLLERS, 'cpuacct')
    # Without duplicates: controllers may be mounted together.
    found.append({n: mounts[n] for n in names})
  return found


def _below(point: str, root: str, own: str) -> pathlib.Path:
  inner = os.path.relpath(own, root) if own.startswith(root) else '.'
  path = pathlib.Path(os.path.normpath(os.path.join(point, inner)))
  return path if path.exists() else pathlib.Path(point)


def _delegates(path: pathlib.Path) -> bool:
  """Whether children of this version 2 group can limit memory and pids."""
  control = path / 'cgroup.subtree_control'
  try:
    if not set(_CONTROLLERS) <= set(control.read_text().split()):
      _write(control, ' '.join(f'+{name}' for name in _CONTROLLERS))
  except OSError:
    return False
  return True


def _write(path: pathlib.Path, text: str) -> None:
  with open(path, 'w') as file:
    file.write(text)


def _number(path: pathlib.Path) -> int:
  return int(path.read_text())


def _keyed(path: pathlib.Path, key: str) -> int:
  for line in path.read_text().splitlines():
    name, _, value = line.partition(' ')
    if name == key:
      return int(value)
  return 0
