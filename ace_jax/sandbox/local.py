"""Programs on this machine, without a daemon.

The process with JAX never forks: it starts the spawner (spawner/), a process
of the programs' own interpreter, and passes it one socket per run. At the
other end of that socket a guard receives the job and sends the execution.

Levels, probed by doing and recorded with every execution:

  L3  own user (or, for root, another uid), mount, pid, net, ipc and uts
      namespaces; a file tree with the runtime and nothing else; seccomp
  L2  a spare uid for root, Landlock, seccomp: no network and no file of the
      host, but its process list and load can be seen
  L1  rlimits and process control only. Not a sandbox; only by allow_unsafe
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import queue
import select
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from ace_jax import types
from ace_jax.sandbox import base, cores, runtime
from ace_jax.sandbox.spawner import confine, wire

LEVELS = ('L3', 'L2', 'L1')
_SPAWNER = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from spawner import linux, main
del sys.path[0]
if linux.fix_addresses():
  os.execv(sys.executable, sys.orig_argv)
fd = int(sys.argv[2])
os.set_inheritable(fd, False)
main.main(socket.socket(fileno=fd))
"""
_START_S = 120.0  # probing and importing the libraries, on a busy machine
_GRACE_S = 45.0  # beyond the deadline, for the guard's own work
_MAX_RESTARTS = 8

_log = logging.getLogger(__name__)


class LocalSandbox:
  """The `local` backend.

  Args:
    spec: the limits of each run.
    num_slots: how many runs may go on at once; each slot has cores and, for
      root, a uid of its own.
    min_level: refuse a machine that gives less.
    allow_unsafe: let L1 do where min_level cannot be had.
    force_level: use exactly this level.
    use_cgroups: False: meter by /proc even where cgroups can be made.
    reserved_cores: kept free for others, the trainer say.

  Raises:
    SandboxError: this machine gives less than `min_level`.
  """

  backend = 'local'

  def __init__(self, spec: base.SandboxSpec, *, num_slots: int = 1,
               min_level: str = 'L2', allow_unsafe: bool = False,
               force_level: str | None = None, use_cgroups: bool = True,
               reserved_cores: int = 0):
    for level in filter(None, (min_level, force_level)):
      if level not in LEVELS:
        raise ValueError(f'no level {level!r}: it is one of {LEVELS}')
    if num_slots < 1:
      raise ValueError(f'num_slots must be at least 1, not {num_slots}')
    self.spec, self.num_slots = spec, num_slots
    self._runtime = runtime.ensure()
    self._config = self._make_config(
        _wanted(min_level, allow_unsafe, force_level), use_cgroups)
    self.cores = cores.Cores(num_slots, spec.cpus, reserved=reserved_cores)
    self._lock = threading.Lock()
    self._closed = False
    self._running: dict[str, socket.socket] = {}  # by the job's key
    self._restarts = 0
    self._spawner = _Spawner(self._config)
    hello = self._spawner.hello
    self.level, self.reasons = hello['level'], tuple(hello['reasons'])
    self.cgroup: int | None = hello['cgroup']  # version
    self._slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(num_slots):
      self._slots.put(slot)
    _log.info('%s', self.describe())

  def describe(self) -> str:
    """One line: the level, and why it is no better."""
    meter = (f'cgroup v{self.cgroup}' if self.cgroup else 'sums over /proc')
    why = f' ({"; ".join(self.reasons)})' if self.reasons else ''
    places = '' if self.level == 'L3' else (
        '; programs find data/ and write submission.csv where they start, '
        'there is no /home/data and no /home/submission')
    return (f'sandbox: local, level {self.level}, metered by {meter}{why}'
            f'{places}')

  @property
  def spawner_pid(self) -> int:
    return self._spawner.pid

  def _make_config(self, levels: tuple[str, ...], use_cgroups: bool
                   ) -> dict[str, Any]:
    if levels == ('L1',):
      _log.warning('programs run without containment (allow_unsafe)')
    setup = dict(
        dataclasses.asdict(self.spec), num_slots=self.num_slots,
        runtime=str(self._runtime.python_dir), root=str(self._runtime.root),
        libs=list(self._runtime.libs))
    return dict(setup=setup, levels=levels, cgroups=use_cgroups,
                python=str(self._runtime.python))

  def run(self, job: types.Job,
          is_cancelled: Callable[[], bool] = base.never) -> types.Execution:
    """See base.Sandbox."""
    public_dir = None
    if job.public_dir is not None:
      public_dir = str(pathlib.Path(job.public_dir).resolve())
      if not os.path.isdir(public_dir):
        raise ValueError(f'no directory of public data: {public_dir}')
    source = job.program.encode('utf-8', 'surrogatepass')
    slot = self._take_slot()
    header = {'seed': job.seed, 'public_dir': public_dir,
              'cores': sorted(self.cores.of(slot)),
              'threads': self.cores.threads}
    try:
      with self._start(slot) as sock:
        self._running[job.key] = sock
        if is_cancelled():
          raise ConnectionError('the run was cancelled')
        wire.send(sock, header, source)
        reply, blobs = wire.receive(sock)
      return base.execution(reply, blobs, backend=self.backend,
                            level=self.level, pinned=self.cores.pinned)
    except (OSError, EOFError) as error:
      if isinstance(error, TimeoutError):  # a guard that hangs is no guard
        self._spawner.kill()
      return base.failed(f'{type(error).__name__}: {error}',
                         backend=self.backend, level=self.level)
    finally:
      self._running.pop(job.key, None)
      self._slots.put(slot)

  def expect(self, job: types.Job) -> None:
    """See base.Sandbox. A fork is all the preparation there is."""

  def cancel(self, key: str) -> None:
    """See base.Sandbox. A guard whose client hangs up kills its program.

    We go on listening until it has: the next run in its slot has its uid.
    """
    with contextlib.suppress(KeyError, OSError):
      self._running[key].shutdown(socket.SHUT_WR)

  def _take_slot(self) -> int:
    while True:
      if self._closed:
        raise ValueError('the sandbox is closed')
      with contextlib.suppress(queue.Empty):
        return self._slots.get(timeout=0.5)

  def _start(self, slot: int) -> socket.socket:
    """Has a guard forked; returns our end of its socket."""
    ours, theirs = socket.socketpair()
    ours.settimeout(self.spec.timeout_s + _GRACE_S)
    with theirs:
      try:
        with self._lock:
          self._revive()
          self._spawner.start_guard(slot, theirs)
      except OSError:
        ours.close()
        raise
    return ours

  def _revive(self) -> None:
    """Starts another spawner if this one has died; a bounded number of times.
    """
    if self._closed:
      raise ConnectionError('the sandbox is closed')
    if self._spawner.is_alive():
      return
    if self._restarts >= _MAX_RESTARTS:
      raise ConnectionError(
          f'the spawner died {self._restarts + 1} times; no further restart')
    self._restarts += 1
    _log.warning('the spawner died; restart %d', self._restarts)
    self._spawner.close()
    try:
      self._spawner = _Spawner(self._config)
    except base.SandboxError as error:
      raise ConnectionError(str(error)) from None

  def close(self) -> None:
    """See base.Sandbox. Runs in flight end as infra_error."""
    with self._lock:
      self._closed = True
      self._spawner.close()
      self.cores.close()

  def __enter__(self) -> LocalSandbox:
    return self

  def __exit__(self, *_) -> None:
    self.close()


def _wanted(min_level: str, allow_unsafe: bool, force_level: str | None
            ) -> tuple[str, ...]:
  """The levels to try, best first."""
  levels = LEVELS[:LEVELS.index(min_level) + 1]
  if allow_unsafe:
    levels = LEVELS
  if force_level is not None:
    levels = (force_level,)
  if 'L1' in levels and not allow_unsafe:
    raise base.SandboxError(
        'L1 is no sandbox: it needs allow_unsafe=True')
  return levels


class _Spawner:
  """The spawner's process, as seen from here."""

  def __init__(self, config: dict[str, Any]):
    """Starts it and waits for its hello.

    Raises:
      SandboxError: it did not start, or no level works.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here = os.path.dirname(os.path.abspath(__file__))
    with theirs:
      self._process = subprocess.Popen(
          # Not -I, which would ignore PYTHONHASHSEED; nothing else is in the
          # environment, so that -s and -P isolate as much.
          [config['python'], '-s', '-P', '-B', '-c', _SPAWNER, here,
           str(theirs.fileno())],
          env=confine.ENVIRONMENT, cwd='/', stdin=subprocess.DEVNULL,
          stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
          start_new_session=True)
    self._control = ours
    ours.settimeout(_START_S)
    try:
      wire.post(ours, {k: v for k, v in config.items() if k != 'python'})
      self.hello, _ = wire.collect(ours)
    except (OSError, EOFError) as error:
      self.close()
      raise base.SandboxError(
          f'the sandbox\'s spawner did not start: {error}') from error
    if not self.hello['level']:
      self.close()
      raise base.SandboxError(
          f'this machine gives no sandbox of level {config["levels"][-1]}: '
          + '; '.join(self.hello['reasons']))

  @property
  def pid(self) -> int:
    return self._process.pid

  def is_alive(self) -> bool:
    """Whether it takes runs: it may be on its way out."""
    hung_up = select.poll()
    hung_up.register(self._control, 0)
    return self._process.poll() is None and not hung_up.poll(0)

  def start_guard(self, slot: int, sock: socket.socket) -> None:
    wire.post(self._control, {'slot': slot}, [sock.fileno()])

  def kill(self) -> None:
    self._process.kill()

  def close(self) -> None:
    """Lets it clean up, and sees that it ends."""
    self._control.close()
    try:
      self._process.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    scratch = getattr(self, 'hello', {}).get('scratch')
    if scratch is not None:
      shutil.rmtree(scratch, ignore_errors=True)
