"""Sandboxes shared by the tests: starting one takes seconds, a run does not."""

from __future__ import annotations

import pathlib
import threading
import time

import bystander
import coverage
import kinds
import leftovers
import pytest
import spawner_lines

from ace_jax import types
from ace_jax.sandbox import SandboxError
from ace_jax.types import Status

VICTIM_S = 3.0
_CLOCK = 'import sys, time; print(time.monotonic(), file=sys.stderr)\n'


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

  def run_one(program: str, seed: int = 0, data: bool = True):
    job = types.Job('test', program, public_dir if data else None, seed)
    execution = sandbox.run(job)
    deadline = time.monotonic() + 1.0
    while (left := leftovers.of(sandbox)) and time.monotonic() < deadline:
      time.sleep(0.01)
    assert not left
    return execution

  return run_one


@pytest.fixture
def attack(run, sandbox, public_dir):
  """Runs a program while a bystander's runs go on in the other slot.

  Asserts that these notice nothing, and that nothing of any stays behind.
  """

  def run_beside(program: str, data: bool = False):
    stop, seen = threading.Event(), []

    def work():
      while not stop.is_set() or not seen:
        seen.append(sandbox.run(types.Job('by', bystander.PROGRAM, None)))
        stop.wait(0.5)

    thread = threading.Thread(target=work)
    thread.start()
    try:
      execution = sandbox.run(
          types.Job('test', program, public_dir if data else None))
    finally:
      stop.set()
      thread.join(60)
    run('', data=False)  # now that nothing else runs: nothing is left
    for other in seen:
      assert other.status == Status.OK, other
      assert other.stdout == bystander.USUAL
    return execution

  return run_beside


@pytest.fixture
def attack_on(run, sandbox):
  """(victim, program) → their executions, the second's within the first's.

  The victim sleeps at its end; that the program ran meanwhile is asserted by
  the clock that both print.
  """

  def run_both(victim: str, program: str):
    jobs = [
        types.Job('victim', f'{victim}\n{_CLOCK}time.sleep({VICTIM_S})\n'
                  + _CLOCK, None),
        types.Job('attack', f'{_CLOCK}{program}\n{_CLOCK}', None)]
    for job in jobs:
      sandbox.expect(job)
    for prepared in list(getattr(sandbox, '_stock', ())):
      prepared.wait()  # a container takes seconds
    ended = []
    thread = threading.Thread(target=lambda: ended.append(
        sandbox.run(jobs[0])))
    thread.start()
    time.sleep(0.5)
    execution = sandbox.run(jobs[1])
    thread.join(60)
    run('', data=False)
    assert ended[0].status == Status.OK, ended[0]
    begun, end = map(float, ended[0].stderr.split())
    times = [float(word) for word in execution.stderr.split()]
    assert begun < times[0] and times[-1] < end
    return ended[0], execution

  return run_both
