"""What a program gives up before its first line, at every level."""

from __future__ import annotations

import math
import os
import resource

from . import landlock, linux, seccomp, tree
from .setup import Setup

_MIB = 1 << 20
# What keeps OpenMP, BLAS and joblib from starting more.
THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS',
           'LOKY_MAX_CPU_COUNT')
# Nothing of the host's. The hashes of the interpreters that a program starts
# are the same from run to run.
ENVIRONMENT = {
    'LANG': 'C.UTF-8', 'PYTHONHASHSEED': '0', **dict.fromkeys(THREADS, '1')
}


def limit(setup: Setup, *, num_others: int) -> None:
  """rlimits: the only limits at L1, a second line of defence above it.

  Args:
    num_others: processes that count for the same uid but are not the
      program's.
  """
  cpu_s = math.ceil(setup.cpu_limit_s) + 1
  limits = {
      resource.RLIMIT_CORE: 0,
      resource.RLIMIT_CPU: cpu_s,
      resource.RLIMIT_NOFILE: 1024,
      resource.RLIMIT_MSGQUEUE: 0,
      resource.RLIMIT_MEMLOCK: 64 << 10,
  }
  if setup.level in ('L2', 'L1'):
    limits[resource.RLIMIT_FSIZE] = setup.disk_mb * _MIB
  # A container has limits of its own, and other containers have its uid.
  if setup.level != 'container':
    limits[resource.RLIMIT_NPROC] = setup.max_processes + num_others
  if _is_only_watched(setup):
    # Between two looks of the watchdog.
    limits[resource.RLIMIT_DATA] = int(
        2 * setup.memory_mb + 512 + setup.template_mb) * _MIB
  for kind, value in limits.items():
    _set(kind, value)


def enter_l3(setup: Setup, slot: int, namespaces: list[int]) -> None:
  """The program's process, just forked: joins its sandbox and drops all."""
  with open('/proc/self/oom_score_adj', 'w') as file:
    file.write('500')  # before init, which must see everything dead
  proc = os.open('/proc/self', os.O_RDONLY)
  tree.join(namespaces)
  if setup.is_root:
    linux.drop_bounding_set()
    linux.become(setup.uid(slot))
  else:
    tree.own_user_namespace(proc)
    linux.drop_bounding_set()
  os.close(proc)
  limit(setup, num_others=1 if setup.is_root else 0)
  linux.drop_capabilities()
  linux.set_dumpable(True)
  linux.die_with_parent()
  linux.no_new_privileges()
  seccomp.install(unix_sockets=True, shared_ipc=False, shared_uid=False,
                  kin=False, metered=setup.cgroup is not None)


def enter_l2(setup: Setup, slot: int, work: str, public_dir: str | None
             ) -> None:
  """The same where there are no namespaces: L2, and at L1 what there is."""
  others = 0 if setup.is_root else count_processes(os.getuid())
  if setup.is_root:
    linux.drop_bounding_set()
    linux.become(setup.uid(slot))
  limit(setup, num_others=others)
  linux.drop_capabilities()
  linux.set_dumpable(True)
  linux.die_with_parent()
  linux.no_new_privileges()
  if setup.landlock:
    devices = [f'/dev/{name}' for name in tree.DEVICES]
    landlock.restrict(
        read=[setup.runtime, *setup.libs,
              *([public_dir] if public_dir else [])],
        write=[f'{work}/submission', f'{work}/tmp', *devices])
  if setup.seccomp:
    seccomp.install(unix_sockets=False, shared_ipc=True,
                    shared_uid=not setup.is_root, kin=not setup.is_root,
                    metered=setup.cgroup is not None)


def enter_container(setup: Setup) -> None:
  """The same in a container, whose walls are not ours to build."""
  linux.set_dumpable(True)  # else /proc/self is not ours to write to
  with open('/proc/self/oom_score_adj', 'w') as file:
    file.write('500')  # before PID 1
  limit(setup, num_others=0)
  linux.drop_capabilities()
  linux.no_new_privileges()
  seccomp.install(unix_sockets=True, shared_ipc=False, shared_uid=False,
                  kin=True, metered=True)


def limit_files(setup: Setup) -> None:
  """A tighter limit, for a program that no longer has our own files open.

  What the kernel keeps for it, the data in its pipes and sockets, is seen by
  a cgroup only.
  """
  if _is_only_watched(setup):
    _set(resource.RLIMIT_NOFILE, 64)


def _is_only_watched(setup: Setup) -> bool:
  """Whether no cgroup counts its memory; a container has one of its own."""
  return setup.level != 'container' and setup.cgroup is None


def _set(kind: int, value: int) -> None:
  hard = resource.getrlimit(kind)[1]
  value = value if hard == resource.RLIM_INFINITY else min(value, hard)
  resource.setrlimit(kind, (value, value))


def count_processes(uid: int) -> int:
  """Threads of all processes of a uid, which RLIMIT_NPROC counts together."""
  total = 0
  for entry in os.scandir('/proc'):
    if entry.name.isdigit():
      try:
        if entry.stat().st_uid == uid:
          total += len(os.listdir(f'/proc/{entry.name}/task'))
      except (FileNotFoundError, ProcessLookupError):
        continue
  return total
