"""Sandboxes shared by the tests: starting one takes seconds, a run does not."""

from __future__ import annotations

import pathlib
import time

import coverage
import kinds
import leftovers
import pytest
import spawner_lines

from ace_jax import types
from ace_jax.sandbox import SandboxError


@pytest.fixture(scope='session', autouse=True)
def _coverage(tmp_path_factory):
  cov = coverage.Coverage.current()
  if cov is None:
    yield
    return
  with spawner_lines.recorded(cov, tmp_path_factory.mktemp('spawner')):
    yield


@pytest.fixture(scope='session', params=kinds.KINDS)
def sandbox(request):
  """One per kind, with two slots."""
  if request.param == 'docker':
    request.getfixturevalue('docker_daemon')
  try:
    made = kinds.make(request.param)
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

  def run_one(program: str, seed: int = 0, data: bool = True,
              settle: bool = True):
    job = types.Job('test', program, public_dir if data else None, seed)
    execution = sandbox.run(job)
    if not settle:  # others run too
      return execution
    deadline = time.monotonic() + 1.0
    while (left := leftovers.of(sandbox)) and time.monotonic() < deadline:
      time.sleep(0.01)
    assert not left
    return execution

  return run_one
