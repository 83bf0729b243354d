"""Sandboxes shared by the tests: starting one takes seconds, a run does not."""

from __future__ import annotations

import pathlib
import time

import coverage
import leftovers
import pytest
import spawner_lines

from ace_jax import types
from ace_jax.sandbox import LocalSandbox, SandboxError, SandboxSpec

# A slow machine needs most of a second to fill the memory limit.
SPEC = SandboxSpec(timeout_s=5.0, cpu_limit_s=1.5, memory_mb=300, disk_mb=16,
                   output_kb=64, max_processes=16)
KINDS = {
    'L3': dict(force_level='L3'),
    'L3-watched': dict(force_level='L3', use_cgroups=False),
    'L2-watched': dict(force_level='L2', use_cgroups=False),
}


@pytest.fixture(scope='session', autouse=True)
def _coverage(tmp_path_factory):
  cov = coverage.Coverage.current()
  if cov is None:
    yield
    return
  with spawner_lines.recorded(cov, tmp_path_factory.mktemp('spawner')):
    yield


@pytest.fixture(scope='session', params=KINDS)
def sandbox(request):
  """One per kind, with two slots."""
  try:
    made = LocalSandbox(SPEC, num_slots=2, **KINDS[request.param])
  except SandboxError as error:
    pytest.skip(str(error))
  with made:
    yield made


@pytest.fixture
def public_dir(tmp_path) -> pathlib.Path:
  path = tmp_path / 'public'
  path.mkdir()
  (path / 'train.csv').write_text('id,x\n1,2\n')
  path.chmod(0o777)  # so that only the sandbox keeps programs from writing
  (path / 'train.csv').chmod(0o666)
  return path


@pytest.fixture
def run(sandbox, public_dir):
  """Runs a program and asserts that nothing of it stays behind."""

  def run_one(program: str, seed: int = 0, data: bool = True):
    job = types.Job('test', program, public_dir if data else None, seed)
    execution = sandbox.run(job)
    deadline = time.monotonic() + 1.0
    while (left := leftovers.of(sandbox)) and time.monotonic() < deadline:
      time.sleep(0.01)
    assert not left
    return execution

  return run_one
