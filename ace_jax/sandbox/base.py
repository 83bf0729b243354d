"""What every backend promises: one job in, one execution out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ace_jax import types


class SandboxError(RuntimeError):
  """This machine cannot run programs as asked. One line, for the user."""


@dataclasses.dataclass(frozen=True)
class SandboxSpec:
  """What one run may use.

  CPU time decides, so that a busy machine does not change a result; the wall
  deadline is for programs that sleep.
  """

  timeout_s: float = 60.0  # wall deadline
  cpu_limit_s: float | None = None  # of all its processes; None: timeout_s
  memory_mb: int = 1024  # MiB, all processes and files in memory together
  disk_mb: int = 64  # MiB, all that can be written
  output_kb: int = 256  # KiB kept of each stream; more, in all: output_limit
  max_processes: int = 32  # threads count
  cpus: int = 1  # cores to run on

  def __post_init__(self):
    if self.cpu_limit_s is None:
      object.__setattr__(self, 'cpu_limit_s', float(self.timeout_s))
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if not value > 0 or value == float('inf'):
        raise ValueError(
            f'{field.name} must be positive and finite, not {value}')
      if not field.type.startswith('float') and value != int(value):
        raise ValueError(f'{field.name} must be a whole number, not {value}')


def execution(reply: dict[str, Any], blobs: Sequence[bytes], *, backend: str,
              level: str, pinned: bool) -> types.Execution:
  """What a supervisor answered (spawner/run.py) as an Execution."""
  if reply['status'] == types.Status.INFRA_ERROR:
    return failed(reply['error'], backend=backend, level=level)
  stdout, stderr, *contents = blobs
  return types.Execution(
      status=types.Status(reply['status']),
      duration_s=reply['duration_s'],
      cpu_s=reply['cpu_s'],
      peak_memory_mb=reply['peak_memory_mb'],
      exit_code=reply['exit_code'],
      stdout=stdout.decode('utf-8', 'replace'),
      stderr=stderr.decode('utf-8', 'replace'),
      files=dict(zip(reply['names'], contents, strict=True)),
      backend=backend,
      level=level,
      limit=reply['limit'],
      pinned=pinned)


def failed(error: str, *, backend: str, level: str) -> types.Execution:
  """A failure of our own machinery."""
  return types.Execution(
      status=types.Status.INFRA_ERROR, duration_s=0.0, cpu_s=0.0,
      peak_memory_mb=0.0, exit_code=None, stdout='', stderr='', files={},
      backend=backend, level=level, error=error)


def out_of_memory(spec: SandboxSpec, duration_s: float, *, backend: str,
                  level: str, pinned: bool) -> types.Execution:
  """A run whose supervisor the kernel killed with it, for memory."""
  return types.Execution(
      status=types.Status.OOM, duration_s=duration_s, cpu_s=0.0,
      peak_memory_mb=float(spec.memory_mb), exit_code=None, stdout='',
      stderr='', files={}, backend=backend, level=level, limit='memory',
      pinned=pinned)


def never() -> bool:
  """The answer of who does not cancel."""
  return False


class Sandbox(Protocol):
  """Runs jobs, each in a sandbox of its own that is used once."""

  backend: str  # local | docker | ray
  level: str  # L3 | L2 | L1 | container

  def run(self, job: types.Job, is_cancelled: Callable[[], bool] = never
          ) -> types.Execution:
    """Blocks until the sandbox of the job is empty. Thread-safe.

    The program runs as `program.py` in an empty working directory with the
    public data in `data/`. `files` holds what it left directly in there:
    `submission.csv` up to the disk limit, and up to 32 other plain files of
    at most 1 MiB; links, directories and special files are left out.

    Whatever the program does is in the Execution; so is a failure of our own
    machinery, as infra_error, and so ends a run that is cancelled.

    `is_cancelled` is asked once `cancel` would find the run, so that who
    makes it true and then calls `cancel` is always heard.

    Raises:
      ValueError: the job itself is impossible.
    """

  def expect(self, job: types.Job) -> None:
    """Says that `job` will be run before long, so as to prepare for it."""

  def cancel(self, key: str) -> None:
    """Ends the run of the job with this key, if there is one, and expects
    none any more.
    """

  def close(self) -> None:
    """Kills what still runs. Running it twice is harmless."""
