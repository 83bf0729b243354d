"""A cancel counts from the moment that `run` was entered."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from ace_jax import types
from ace_jax.types import Status

LONG = 'import time; time.sleep(100)'


def is_inside(thread: threading.Thread, function) -> bool:
  frame = sys._current_frames().get(thread.ident)
  while frame is not None and frame.f_code is not function.__code__:
    frame = frame.f_back
  return frame is not None


@pytest.fixture
def entered(sandbox):
  """key → its execution, in a list, and the thread that is to fill it.

  A program that sleeps is in the hands of `run` when this returns.
  """

  def enter(key: str):
    ended = []
    job = types.Job(key, LONG, None)
    thread = threading.Thread(target=lambda: ended.append(sandbox.run(job)))
    thread.start()
    deadline = time.monotonic() + 10
    while not is_inside(thread, sandbox.run):
      assert time.monotonic() < deadline
      time.sleep(0.002)
    return ended, thread

  return enter


@pytest.mark.parametrize('after_s', [0.0, 0.1, 0.5, 3.0])
def test_a_run_ends_at_once_whenever_it_is_cancelled(
    entered, run, sandbox, after_s):
  """While it is prepared, handed over, or runs."""
  ended, thread = entered('long')
  time.sleep(after_s)
  begun = time.monotonic()
  sandbox.cancel('long')
  thread.join(20)
  assert ended[0].status == Status.INFRA_ERROR, ended
  assert time.monotonic() - begun < 1.5
  assert run('print(1)').stdout == '1\n'  # which sees that nothing is left


def test_a_run_that_waits_for_a_slot_is_cancelled_too(entered, sandbox):
  runs = {key: entered(key) for key in ('a', 'b', 'waits')}
  time.sleep(0.1)
  for key in ('waits', 'a', 'b'):
    sandbox.cancel(key)
  begun = time.monotonic()
  for ended, thread in runs.values():
    thread.join(20)
    assert ended[0].status == Status.INFRA_ERROR, ended
  assert time.monotonic() - begun < 3


def test_a_cancel_is_for_runs_that_are_under_way(sandbox, entered):
  """The key may come again, a retry say: neither cancel is for that."""
  job = types.Job('again', 'print(1)', None)
  sandbox.cancel('again')
  assert sandbox.run(job).stdout == '1\n'
  sandbox.cancel('again')
  assert sandbox.run(job).stdout == '1\n'
  _, thread = entered('again')
  sandbox.cancel('again')
  thread.join(20)
  assert sandbox.run(job).stdout == '1\n'


def test_who_has_the_slot_next_is_not_killed_with_it(entered, sandbox):
  """A guard at L2 kills by uid, which is the slot's."""
  runs = [entered(key) for key in ('a', 'b')]
  time.sleep(0.5)
  job = types.Job('next', 'import time; time.sleep(.5)', None)
  for key in ('a', 'b'):
    sandbox.cancel(key)
  for _, thread in runs:
    thread.join(20)
  assert sandbox.run(job).status == Status.OK
