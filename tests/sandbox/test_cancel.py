"""Runs that are cancelled, whenever that is."""

from __future__ import annotations

import threading
import time

import pytest

from ace_jax import types
from ace_jax.types import Status

LONG = 'import time; time.sleep(100)'


class Run:
  """A long run in a thread, which can be cancelled as the pool does it."""

  def __init__(self, sandbox, key: str):
    self._sandbox, self._key = sandbox, key
    self._cancelled = threading.Event()
    self.ended: list[types.Execution] = []
    self._thread = threading.Thread(target=self._run)
    self._thread.start()

  def _run(self):
    job = types.Job(self._key, LONG, None)
    self.ended.append(self._sandbox.run(job, self._cancelled.is_set))

  def cancel(self) -> None:
    self._cancelled.set()
    self._sandbox.cancel(self._key)

  def join(self) -> None:
    self._thread.join(20)
    assert self.ended[0].status == Status.INFRA_ERROR


@pytest.mark.parametrize('after_s', [0.0, 0.1, 0.5, 3.0])
def test_a_run_ends_at_once_whenever_it_is_cancelled(
    run, sandbox, after_s):
  """Before it begins, while it is prepared, handed over, or runs."""
  long = Run(sandbox, 'long')
  time.sleep(after_s)
  begun = time.monotonic()
  long.cancel()
  long.join()
  assert time.monotonic() - begun < 1.5
  assert run('print(1)').stdout == '1\n'  # which sees that nothing is left


def test_a_cancel_is_for_runs_that_are_under_way(sandbox):
  """The key may come again, a retry say: neither cancel is for that."""
  job = types.Job('again', 'print(1)', None)
  sandbox.cancel('again')
  assert sandbox.run(job).stdout == '1\n'
  sandbox.cancel('again')
  assert sandbox.run(job).stdout == '1\n'
  cancelled = Run(sandbox, 'again')
  cancelled.cancel()
  cancelled.join()
  assert sandbox.run(job).stdout == '1\n'


def test_who_has_the_slot_next_is_not_killed_with_it(sandbox):
  """A guard at L2 kills by uid, which is the slot's."""
  for _ in range(3):
    runs = [Run(sandbox, key) for key in ('a', 'b')]
    time.sleep(0.5)
    for cancelled in runs:
      cancelled.cancel()
    for cancelled in runs:
      cancelled.join()
    job = types.Job('next', 'import time; time.sleep(.5)', None)
    assert sandbox.run(job).status == Status.OK
