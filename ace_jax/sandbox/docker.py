"""Programs in containers, each prepared ahead and used once.

A container's PID 1 (spawner/container.py) has imported the libraries and
waits for a job on its standard input; it supervises the program, harvests its
files when all is dead, and answers. The daemon is spoken to only before and
after. Where none answers a run waits a while, then is an infra_error.

The walls: no network, a read-only root, uid 10001 without capabilities, no
new privileges, our system call filters, limits on processes and memory, file
systems of limited size, no log.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import docker
import docker.types

from ace_jax import types
from ace_jax.sandbox import base, containers, cores, image, runtime
from ace_jax.sandbox.spawner import confine, container, seccomp, setup

_START = f"""
import os, sys
sys.path.insert(0, {image.OURS!r})
from spawner import container, linux
del sys.path[0]
if linux.fix_addresses():
  os.execv(sys.executable, sys.orig_argv)
container.main()
"""
_INTERPRETER_MB = 192  # of PID 1, beside what a program may have
_NUM_INODES = 16_384
_CALL_S = 30.0  # for one answer of the daemon
_IMPORT_S = 600.0


class DockerSandbox:
  """The `docker` backend.

  Args:
    spec: the limits of each run.
    num_slots: how many runs may go on at once.
    image_name: an image with our files in it (docker/Dockerfile); '': one is
      made of the runtime.
    oci_runtime: what runs the containers: 'runsc' for gVisor; '': the
      daemon's default.
    gpus: device ids, one for each slot; (): none.
    reserved_cores: kept free for others, the trainer say.
    patience_s: how long a run waits for a daemon that is away.

  Raises:
    SandboxError: no daemon answers, or it cannot run our containers.
  """

  backend = 'docker'
  level = 'container'

  def __init__(self, spec: base.SandboxSpec, *, num_slots: int = 1,
               image_name: str = '', oci_runtime: str = '',
               gpus: tuple[str, ...] = (), reserved_cores: int = 0,
               patience_s: float = 60.0):
    if num_slots < 1:
      raise ValueError(f'num_slots must be at least 1, not {num_slots}')
    if gpus and len(gpus) != num_slots:
      raise ValueError(f'{len(gpus)} GPUs for {num_slots} slots')
    self.spec, self.num_slots = spec, num_slots
    self.id = secrets.token_hex(8)  # a label of its containers
    self._oci_runtime, self._gpus = oci_runtime, gpus
    self._patience_s = patience_s
    self.cores = cores.Cores(num_slots, spec.cpus, reserved=reserved_cores)
    self._lock = threading.Condition()
    self._free = list(range(num_slots))
    self._stock: list[containers.Container] = []  # prepared, or being so
    self._expected: dict[str, str | None] = {}  # a job's key → its data
    self._last: str | None = None
    self._running: dict[str, containers.Container] = {}  # by the job's key
    self._known: dict[str, containers.Container] = {}  # all, by their names
    self._closed = False
    # Apart, so that no removal waits for a container that is being made.
    self._makers, self._removers = (
        concurrent.futures.ThreadPoolExecutor(2 * num_slots, name)
        for name in ('docker-make', 'docker-remove'))
    try:
      self._client = docker.from_env(timeout=_CALL_S)
      self._version = self._client.version()['Version']
      made = runtime.ensure()
      self._python = str(made.python)
      self._image = self._find_image(image_name, made)
      containers.reap(self._client)
      first = self._prepare(None, 0)
      try:
        first.wait()
      finally:
        self._remove(first)
    except containers.TROUBLE as error:
      raise base.SandboxError(f'docker: {error}') from error
    if first.version != image.version(made):
      raise base.SandboxError(
          f'docker: {image_name} was made by another version of this sandbox: '
          'build it again, see docker/Dockerfile')

  def _find_image(self, name: str, made: runtime.Runtime) -> str:
    if name:
      return self._client.images.get(name).id
    return image.ensure(docker.from_env(timeout=_IMPORT_S), made)

  def describe(self) -> str:
    """One line: which daemon, which runtime."""
    engine = self._oci_runtime or "the daemon's runtime"
    return f'sandbox: docker {self._version}, {engine}, level {self.level}'

  @property
  def stock(self) -> list[str]:
    """The ids of the containers that wait for a program."""
    with self._lock:
      stock = list(self._stock)
    return [prepared.id for prepared in stock if prepared.id]

  # --- Runs --------------------------------------------------------------

  def expect(self, job: types.Job) -> None:
    """See base.Sandbox."""
    with self._lock:
      self._expected[job.key] = _resolved(job.public_dir)
    self._refill()

  def cancel(self, key: str) -> None:
    """See base.Sandbox."""
    with self._lock:
      self._expected.pop(key, None)
      prepared = self._running.get(key)
    if prepared is not None:
      prepared.close()

  def run(self, job: types.Job,
          is_cancelled: Callable[[], bool] = base.never) -> types.Execution:
    """See base.Sandbox."""
    public_dir = _resolved(job.public_dir)
    slot = self._take_slot()
    with self._lock:
      self._expected.pop(job.key, None)
      self._last = public_dir
    begun = time.monotonic()
    try:
      prepared = self._ready(job.key, public_dir, slot, is_cancelled)
      self._refill()
      header = dict(
          seed=job.seed, cores=sorted(self.cores.of(slot)),
          threads=self.cores.threads, data=public_dir is not None,
          setup=dataclasses.asdict(self.spec))
      begun = time.monotonic()
      reply, blobs = prepared.answer(
          header, job.program.encode('utf-8', 'surrogatepass'))
      return base.execution(
          reply, blobs, backend=self.backend, level=self.level,
          pinned=self.cores.pinned)
    except containers.TROUBLE as error:
      # Perhaps PID 1 is silent because the program took all memory.
      if (isinstance(error, EOFError) and not is_cancelled()
          and self._running[job.key].ran_out_of_memory()):
        return base.out_of_memory(
            self.spec, time.monotonic() - begun, backend=self.backend,
            level=self.level, pinned=self.cores.pinned)
      return base.failed(
          f'{type(error).__name__}: {error}', backend=self.backend,
          level=self.level)
    finally:
      prepared = self._running.pop(job.key, None)
      with self._lock:
        self._free.append(slot)
        self._lock.notify()
        if prepared is not None and not self._closed:
          self._removers.submit(self._remove, prepared)

  def _take_slot(self) -> int:
    with self._lock:
      self._lock.wait_for(lambda: self._free or self._closed)
      if self._closed:
        raise ValueError('the sandbox is closed')
      return self._free.pop(0)

  # --- The stock ---------------------------------------------------------

  def _ready(self, key: str, public_dir: str | None, slot: int,
             is_cancelled: Callable[[], bool]) -> containers.Container:
    """A container for a run, which waits for a daemon that is away."""
    deadline = time.monotonic() + self._patience_s
    while True:
      prepared = self._running[key] = self._take(public_dir, slot)
      try:
        if is_cancelled():
          raise ConnectionError('the run was cancelled')
        prepared.wait()
        return prepared
      except containers.TROUBLE:
        if time.monotonic() > deadline or self._closed or is_cancelled():
          raise
        self._remove(prepared)
      time.sleep(0.5)

  def _take(self, public_dir: str | None, slot: int) -> containers.Container:
    """One of the stock, or a new one; ready or about to be."""
    wanted = (public_dir, self._gpu(slot))
    with self._lock:
      for prepared in self._stock:
        if (prepared.public_dir, prepared.gpu) == wanted:
          self._stock.remove(prepared)
          return prepared
    return self._prepare(public_dir, slot)

  def _refill(self) -> None:
    """Prepares what the next runs will need, and drops what they will not."""
    with self._lock:
      if self._closed:
        return
      ahead = list(self._expected.values())[: self.num_slots]
      ahead += [self._last] * (self.num_slots - len(ahead))
      spare = list(self._stock)
      for slot, public_dir in enumerate(ahead):
        wanted = (public_dir, self._gpu(slot))
        for prepared in spare:
          if (prepared.public_dir, prepared.gpu) == wanted:
            spare.remove(prepared)
            break
        else:
          self._stock.append(self._prepare(public_dir, slot))
      for prepared in spare:
        self._stock.remove(prepared)
    for prepared in spare:
      self._removers.submit(self._remove, prepared)

  def _gpu(self, slot: int) -> str | None:
    return self._gpus[slot] if self._gpus else None

  def _prepare(self, public_dir: str | None, slot: int) -> containers.Container:
    """Begins to make a container."""
    gpu = self._gpu(slot)
    name = f'ace_jax-{secrets.token_hex(8)}'
    options = self._options(public_dir, gpu) | {'name': name}
    with self._lock:
      if self._closed:  # `close` would not know of it
        raise ConnectionError('the sandbox is closed')
      self._known[name] = made = containers.Container(
          self._client, options, public_dir, gpu, self._makers)
    return made

  def _remove(self, prepared: containers.Container) -> None:
    prepared.close()
    self._known.pop(prepared.name, None)
    self._sweep()

  def _sweep(self) -> None:
    """Removes what a daemon made after we had ceased to wait for it."""
    label = f'{containers.SANDBOX}={self.id}'
    with contextlib.suppress(*containers.TROUBLE):
      for found in containers.listed(self._client, label):
        if found['Names'][0].lstrip('/') not in self._known:
          containers.remove(self._client.api, found['Id'])

  def _options(self, public_dir: str | None, gpu: str | None
               ) -> dict[str, Any]:
    """The arguments of create_container."""
    spec, api = self.spec, self._client.api
    owner = f'uid={setup.SANDBOX_UID},gid={setup.SANDBOX_UID},mode=0755'
    disk = (f'rw,nosuid,nodev,size={spec.disk_mb}m,nr_inodes={_NUM_INODES},'
            f'{owner}')
    memory = f'{spec.memory_mb + _INTERPRETER_MB}m'
    devices = []
    if gpu is not None:
      devices = [docker.types.DeviceRequest(
          device_ids=[gpu], capabilities=[['gpu']])]
    host_config = api.create_host_config(
        auto_remove=True,
        network_mode='none',
        ipc_mode='private',
        read_only=True,
        cap_drop=['ALL'],
        security_opt=['no-new-privileges:true',
                      f'seccomp={json.dumps(seccomp.docker_profile())}'],
        pids_limit=spec.max_processes + 2,
        mem_limit=memory,
        memswap_limit=memory,
        tmpfs=dict.fromkeys(container.WRITABLE, disk),
        binds=[f'{public_dir}:{container.DATA}:ro'] if public_dir else [],
        log_config=docker.types.LogConfig(type='none'),
        device_requests=devices,
        runtime=self._oci_runtime or None,
    )
    return dict(
        image=self._image,
        command=[self._python, '-s', '-P', '-B', '-c', _START],
        environment=confine.ENVIRONMENT,
        working_dir='/',
        user=f'{setup.SANDBOX_UID}:{setup.SANDBOX_UID}',
        hostname='sandbox',
        stop_signal='SIGKILL',  # PID 1 hears no other
        stdin_open=True,
        network_disabled=True,
        labels={containers.LABEL: containers.owner_label(),
                containers.SANDBOX: self.id},
        host_config=host_config,
    )

  # --- The end -----------------------------------------------------------

  def close(self) -> None:
    """See base.Sandbox. Runs in flight end as infra_error."""
    with self._lock:
      if self._closed:
        return
      self._closed = True
      self._stock.clear()
      self._lock.notify_all()
    # No others are made from now on.
    list(self._removers.map(containers.Container.close,
                            list(self._known.values())))
    for workers in (self._makers, self._removers):
      workers.shutdown(wait=True)
    self._known.clear()
    self._sweep()
    self._client.close()
    self.cores.close()

  def __enter__(self) -> DockerSandbox:
    return self

  def __exit__(self, *_) -> None:
    self.close()


def _resolved(public_dir: pathlib.Path | None) -> str | None:
  if public_dir is None:
    return None
  path = str(pathlib.Path(public_dir).resolve())
  if not os.path.isdir(path):
    raise ValueError(f'no directory of public data: {path}')
  return path
