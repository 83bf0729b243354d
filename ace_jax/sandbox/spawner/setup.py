"""What a spawner is told at its start, and what it finds out."""

from __future__ import annotations

import dataclasses

from . import cgroups


@dataclasses.dataclass(frozen=True)
class Setup:
  """The first half comes from the client, the second from probing."""

  # The fields of base.SandboxSpec, with cpu_limit_s filled in.
  timeout_s: float
  cpu_limit_s: float
  memory_mb: int
  disk_mb: int
  output_kb: int
  max_processes: int
  cpus: int

  # What a container has no use for.
  runtime: str = ''  # directory of the programs' own interpreter
  root: str = ''  # the file tree at L3, without what is mounted
  libs: tuple[str, ...] = ()  # shared libraries of this machine they need
  num_slots: int = 1

  level: str = ''  # L3 | L2 | L1 | container
  uids: tuple[int, ...] = ()  # root: a spare uid for each slot
  cgroup: cgroups.Parent | None = None  # None: sums over /proc
  scratch: str = ''  # L1, L2: where the working directories are made
  landlock: bool = True  # False only at L1
  seccomp: bool = True  # False only at L1
  template_mb: float = 0.0  # what every fork of the template shares

  @property
  def is_root(self) -> bool:
    return bool(self.uids)

  def uid(self, slot: int) -> int:
    """The uid of a program as the spawner names it."""
    return self.uids[slot] if self.uids else SANDBOX_UID


SANDBOX_UID = 10001  # in a user namespace of ours
