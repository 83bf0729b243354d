"""Which cores a slot has, and that nobody else of ours has them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

_LEASE = '\0ace_jax-core-{}'  # abstract sockets: gone with us, in any case


class Cores:
  """The cores of each slot, leased for as long as it is not closed.

  From the last core down, each slot gets `cpus` of its own that no other
  sandbox on this machine has leased. Where there are not enough, the slots
  share all there are, and are not `pinned`.

  Args:
    num_slots: how many.
    cpus: cores of each slot.
    reserved: how many of the first cores slots keep off, as long as one is
      left to them: the trainer's.
    available: core numbers; None: those of this process.
  """

  def __init__(self, num_slots: int, cpus: int, *, reserved: int = 0,
               available: Iterable[int] | None = None):
    if available is None:
      available = os.sched_getaffinity(0)
    usable = sorted(available)
    usable = usable[min(reserved, len(usable) - 1):]
    self._leases: dict[int, socket.socket] = {}
    for core in reversed(usable):
      if len(self._leases) < num_slots * cpus:
        self._lease(core)
    self.pinned = len(self._leases) == num_slots * cpus
    self.threads = cpus if self.pinned else 1  # of BLAS and OpenMP, a program
    if self.pinned:
      mine = list(self._leases)
      self._slots = [frozenset(mine[i * cpus:(i + 1) * cpus])
                     for i in range(num_slots)]
    else:
      self.close()
      self._slots = [frozenset(usable)] * num_slots

  def _lease(self, core: int) -> None:
    lock = socket.socket(socket.AF_UNIX)
    try:
      lock.bind(_LEASE.format(core))
    except OSError:
      lock.close()
    else:
      self._leases[core] = lock

  def of(self, slot: int) -> frozenset[int]:
    return self._slots[slot]

  def close(self) -> None:
    """Gives the cores back."""
    for lock in self._leases.values():
      lock.close()
    self._leases = {}
