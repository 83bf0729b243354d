"""Sandboxes on the nodes of a Ray cluster, for those who outgrow a machine.

Each slot is an actor that declares the cores and the memory of one run, so
that Ray places it, and holds a sandbox of the local or the docker backend.
When its node is lost the run is an infra_error, which the pool repeats, and
Ray places the next actor of the slot elsewhere. Public data that a node does
not have travel through the object store, once.

Every node needs this package and its requirements.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pathlib
import queue
import shutil
import signal
import socket
import tarfile
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import ray

from ace_jax import types
from ace_jax.sandbox import backends, base

_CONNECT_S = 10.0
_PLACE_S = 180.0  # for a node to have room and to start a sandbox
_GRACE_S = 60.0  # beyond the deadline
_LEAVE_S = 5.0  # for actors to tidy up
_DATA = 'ace_jax-data-'


class _Slot:
  """On a node: one sandbox with one slot."""

  def __init__(self, spec: base.SandboxSpec, options: dict[str, Any]):
    _sweep()
    self._sandbox = backends.make(backends.options(**options), spec)
    self._unpacked: dict[str, tempfile.TemporaryDirectory] = {}

  def describe(self) -> tuple[str, str]:
    """(level, one line)."""
    return self._sandbox.level, self._sandbox.describe()

  def run(self, job: types.Job, data: list[ray.ObjectRef]) -> types.Execution:
    if job.public_dir is not None and not os.path.isdir(job.public_dir):
      job = dataclasses.replace(job, public_dir=self._unpack(job, data[0]))
    return self._sandbox.run(job)

  def _unpack(self, job: types.Job, data: ray.ObjectRef) -> pathlib.Path:
    key = str(job.public_dir)
    if key not in self._unpacked:
      folder = tempfile.TemporaryDirectory(prefix=f'{_DATA}{os.getpid()}-')
      os.chmod(folder.name, 0o755)
      with tarfile.open(fileobj=io.BytesIO(ray.get(data))) as tar:
        tar.extractall(folder.name, filter='data')
      self._unpacked[key] = folder
    return pathlib.Path(self._unpacked[key].name)

  def close(self) -> None:
    self._sandbox.close()
    for folder in self._unpacked.values():
      folder.cleanup()


def _sweep() -> None:
  """Removes the data of actors that were killed."""
  for path in pathlib.Path(tempfile.gettempdir()).glob(f'{_DATA}*'):
    pid = path.name.removeprefix(_DATA).partition('-')[0]
    if not os.path.exists(f'/proc/{pid}'):
      shutil.rmtree(path, ignore_errors=True)


class RaySandbox:
  """The `ray` backend.

  Args:
    spec: the limits of each run.
    num_slots: how many runs may go on at once in the whole cluster.
    address: of the cluster; '': the one that RAY_ADDRESS names or that runs
      here, else one of this machine alone.
    node: what the sandbox on a node is, see `backends.options`.

  Raises:
    SandboxError: no cluster can be reached, or no node gives such a sandbox.
  """

  backend = 'ray'

  def __init__(self, spec: base.SandboxSpec, *, num_slots: int = 1,
               address: str = '', node: dict[str, Any]):
    self.spec, self.num_slots = spec, num_slots
    self._node = node
    self._closed = False
    self._ours = not ray.is_initialized()
    self._data: dict[str, ray.ObjectRef] = {}
    self._running: dict[str, Any] = {}  # a job's key → its actor
    self._actors: list[Any] = [None] * num_slots
    self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    try:
      if self._ours:
        _join(address)
      for slot in range(num_slots):
        self._actors[slot] = self._place()
        self._slots.put(slot)
      self.level, self._described = ray.get(
          self._actors[0].describe.remote(), timeout=_PLACE_S)
    except (ray.exceptions.RayError, ConnectionError, OSError) as error:
      raise base.SandboxError(f'ray: {_short(error)}') from error

  def _place(self) -> Any:
    """Has Ray place one slot."""
    spec = self.spec
    return ray.remote(_Slot).options(
        num_cpus=spec.cpus, memory=spec.memory_mb << 20,
        scheduling_strategy='SPREAD').remote(spec, self._node)

  def describe(self) -> str:
    """One line: the cluster, and what a node gives."""
    alive = sum(node['Alive'] for node in ray.nodes())
    return f'sandbox: ray, {alive} nodes, on each {self._described}'

  def expect(self, job: types.Job) -> None:
    """See base.Sandbox. The actors are all the preparation there is."""

  def run(self, job: types.Job,
          is_cancelled: Callable[[], bool] = base.never) -> types.Execution:
    """See base.Sandbox."""
    data = self._put(job.public_dir)
    slot = self._take_slot()
    try:
      is_new = self._actors[slot] is None
      if is_new:
        self._actors[slot] = self._place()
      actor = self._running[job.key] = self._actors[slot]
      if is_cancelled():
        return base.failed('the run was cancelled', backend=self.backend,
                           level=self.level)
      if is_new:
        ray.get(actor.describe.remote(), timeout=_PLACE_S)
      execution = ray.get(actor.run.remote(job, data),
                          timeout=self.spec.timeout_s + _GRACE_S)
      return dataclasses.replace(execution, backend=self.backend)
    except ray.exceptions.RayError as error:
      self._drop(slot)
      return base.failed(_short(error), backend=self.backend,
                         level=self.level)
    finally:
      self._running.pop(job.key, None)
      self._slots.put(slot)

  def cancel(self, key: str) -> None:
    """See base.Sandbox. A sandbox ends its runs when its owner is dead."""
    if (actor := self._running.get(key)) is not None:
      ray.kill(actor)

  def _put(self, public_dir: pathlib.Path | None) -> list[ray.ObjectRef]:
    """The data as an archive in the object store; in a list, so that only
    a node that lacks them takes it.
    """
    if public_dir is None:
      return []
    if not os.path.isdir(public_dir):
      raise ValueError(f'no directory of public data: {public_dir}')
    key = str(public_dir)
    if key not in self._data:
      archive = io.BytesIO()
      with tarfile.open(fileobj=archive, mode='w') as tar:
        tar.add(public_dir, '.')
      self._data[key] = ray.put(archive.getvalue())
    return [self._data[key]]

  def _take_slot(self) -> int:
    while not self._closed:
      with contextlib.suppress(queue.Empty):
        return self._slots.get(timeout=0.5)
    raise ValueError('the sandbox is closed')

  def _drop(self, slot: int) -> None:
    actor, self._actors[slot] = self._actors[slot], None
    if actor is not None:
      ray.kill(actor)

  def close(self) -> None:
    """See base.Sandbox."""
    if self._closed:
      return
    self._closed = True
    # An actor that is killed leaves the data that it has unpacked.
    if leaving := [actor.close.remote() for actor in self._actors if actor]:
      ray.wait(leaving, num_returns=len(leaving), timeout=_LEAVE_S)
    for slot in range(self.num_slots):
      self._drop(slot)
    if self._ours:
      ray.shutdown()

  def __enter__(self) -> RaySandbox:
    return self

  def __exit__(self, *_) -> None:
    self.close()


def _join(address: str) -> None:
  """ray.init, which would wait minutes for a cluster that is not there."""
  given = address or os.environ.get('RAY_ADDRESS', '')
  host, _, port = given.rpartition(':')
  if port.isdigit() and '://' not in given:
    socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
  on_sigterm = signal.getsignal(signal.SIGTERM)
  ray.init(address=address or None, log_to_driver=False,
           include_dashboard=False)
  if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own there


def _short(error: BaseException) -> str:
  """The last line of what may be a long story."""
  lines = str(error).strip().splitlines() or ['']
  return f'{type(error).__name__}: {lines[-1].strip()[:300]}'
