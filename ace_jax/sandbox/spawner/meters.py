"""CPU time and memory of a run where there is no cgroup, from /proc.

A meter has cpu_s(), out_of_memory(), peak_mb(), pids(), add(), kill() and
remove(), as `cgroups.Group` does. Sums over /proc are sampled, so memory may
pass its limit for the length of a sample.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from . import linux

_TICK = os.sysconf('SC_CLK_TCK')


def in_status_mb(status: str) -> float:
  """A process's own memory, MiB, as its /proc/<pid>/status tells it.

  Not what it shares: that is in files, which are counted apart. Page tables
  are, for a mapping of zeros takes no other memory.
  """
  return _sum_mb(status, ('RssAnon:', 'VmPTE:'))


def _sum_mb(text: str, keys: tuple[str, ...]) -> float:
  """Of the lines, in KiB, that begin so; a zombie has none."""
  return sum(int(line.split()[1]) for line in text.splitlines()
             if line.startswith(keys)) / 1024


class Sampled:
  """Sums over the processes that `list_pids` names in the /proc at `proc`."""

  def __init__(self, proc: int, list_pids: Callable[[], list[int]], *,
               memory_mb: float, template_mb: float,
               kept_mb: Callable[[], float]):
    """`template_mb`: what a fork of the template shares with it.

    `kept_mb` gives the memory that files take.
    """
    self._proc = proc
    self.pids = list_pids
    self._memory_mb, self._template_mb = memory_mb, template_mb
    self._kept_mb = kept_mb
    self._seen: dict[tuple[int, str], float] = {}  # own CPU time, last seen
    self._cpu_s = self._peak_mb = 0.0

  def add(self, pid: int) -> None:
    """There is nothing to put it in: it is found by descent."""

  def sample(self) -> None:
    tree, memory = 0.0, 0.0
    pids = self.pids()
    for pid in pids:
      try:
        fields = self._read(f'{pid}/stat').rpartition(')')[2].split()
        own_mb = in_status_mb(self._read(f'{pid}/status'))
      except (FileNotFoundError, ProcessLookupError):
        continue
      user, system, child_user, child_system = map(int, fields[11:15])
      self._seen[pid, fields[19]] = (user + system) / _TICK
      tree += (user + system + child_user + child_system) / _TICK
      memory += max(0.0, own_mb - self._template_mb)
    # Children of a parent that ignores SIGCHLD are in nobody's sum but ours.
    self._cpu_s = max(self._cpu_s, tree, sum(self._seen.values()))
    memory += self._kept_mb()
    if memory > self._memory_mb:  # forks that share pages were counted twice
      memory = min(memory, self._proportional_mb(pids) + self._kept_mb())
    self._peak_mb = max(self._peak_mb, memory)

  def _proportional_mb(self, pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
      try:
        total += _sum_mb(self._read(f'{pid}/smaps_rollup'), ('Pss_Anon:',))
        total += _sum_mb(self._read(f'{pid}/status'), ('VmPTE:',))
      except (FileNotFoundError, ProcessLookupError):
        continue
      except PermissionError:  # it hides: then the first sum stands
        return float('inf')
    return total

  def _read(self, path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
    with open(fd, errors='replace') as file:
      return file.read()

  def cpu_s(self) -> float:
    return self._cpu_s

  def add_cpu_s(self, seconds: float) -> None:
    """What the kernel told when the processes were reaped."""
    self._cpu_s = max(self._cpu_s, seconds)

  def out_of_memory(self) -> bool:
    return self._peak_mb > self._memory_mb

  def peak_mb(self) -> float:
    return self._peak_mb

  def remove(self) -> None:
    """Nothing was made."""


def children(pid: int) -> list[int]:
  """The children of a process, of all its threads."""
  found = []
  with contextlib.suppress(FileNotFoundError, ProcessLookupError):
    for thread in os.listdir(f'/proc/{pid}/task'):
      with open(f'/proc/{pid}/task/{thread}/children') as file:
        found += [int(child) for child in file.read().split()]
  return found


def descendants(pid: int) -> list[int]:
  """All processes below `pid`, which must be a subreaper."""
  found, queue = [], [pid]
  while queue:
    below = children(queue.pop())
    found += below
    queue += below
  return found


def kill_descendants(pid: int) -> None:
  """Stops all below `pid`, then kills them, until none can be found.

  Stopping first: a fork bomb is faster than one kill at a time.
  """
  deadline = time.monotonic() + 5.0
  while alive := [p for p in descendants(pid) if not _is_zombie(p)]:
    stopped: set[int] = set()
    while more := set(descendants(pid)) - stopped:
      _signal(more, signal.SIGSTOP)
      stopped |= more
    _signal(stopped | set(alive), signal.SIGKILL)
    if time.monotonic() > deadline:
      raise OSError(f'processes below {pid} cannot be killed')
    time.sleep(0.001)


def kill_uid(uid: int) -> None:
  """Kills every process of a spare uid at once; must be called by root.

  A child becomes that uid and sends the signal to all that it may signal. It
  has to have lost its capabilities before, or that would be everyone.
  """
  if uid <= 0:
    raise ValueError(f'not a spare uid: {uid}')
  pid = os.fork()
  if pid == 0:
    try:
      linux.become(uid)
      linux.drop_capabilities()
      if linux.capabilities() == 0 and os.getresuid() == (uid, uid, uid):
        os.kill(-1, signal.SIGKILL)
    finally:
      os._exit(0)
  os.waitpid(pid, 0)


def _is_zombie(pid: int) -> bool:
  try:
    with open(f'/proc/{pid}/stat', errors='replace') as file:
      return file.read().rpartition(')')[2].split()[0] in 'ZX'
  except (FileNotFoundError, ProcessLookupError):
    return True


def _signal(pids: set[int], number: int) -> None:
  for pid in pids:
    with contextlib.suppress(ProcessLookupError):
      os.kill(pid, number)
