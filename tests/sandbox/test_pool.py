"""The pool, over a sandbox that only pretends."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time

import pytest

from ace_jax import types
from ace_jax.sandbox import Pool
from ace_jax.types import Status

OK = types.Execution(
    status=Status.OK, duration_s=0.0, cpu_s=0.0, peak_memory_mb=0.0,
    exit_code=0, stdout='', stderr='', files={}, backend='fake', level='L3')
INFRA = dataclasses.replace(OK, status=Status.INFRA_ERROR, exit_code=None)
WALL = dataclasses.replace(OK, status=Status.TIMEOUT, limit='wall')
CPU = dataclasses.replace(OK, status=Status.TIMEOUT, limit='cpu')


class Fake:
  """Answers with `script[key]` in turn, or calls it."""

  backend, level = 'fake', 'L3'

  def __init__(self, **script):
    self.script, self.calls, self.closed = script, [], False
    self.expected, self.cancelled = [], []

  def run(self, job, is_cancelled):
    self.calls.append(job.key)
    answer = self.script[job.key]
    self.is_cancelled = is_cancelled
    return answer() if callable(answer) else answer.pop(0)

  def expect(self, job):
    self.expected.append(job.key)

  def cancel(self, key):
    self.cancelled.append(key)

  def close(self):
    self.closed = True


def job(key):
  return types.Job(key, '', None)


def test_results_come_as_they_finish():
  gate = threading.Event()
  fake = Fake(slow=lambda: (gate.wait(5), OK)[1], fast=[OK])
  with Pool(fake, num_slots=2) as pool:
    pool.submit(job('slow'))
    pool.submit(job('fast'))
    assert pool.take(5)[0].key == 'fast'
    gate.set()
    assert pool.take(5)[0].key == 'slow'
    assert pool.num_pending == 0
  assert fake.closed


@pytest.mark.threat('host: a result delivered twice or late')
def test_infra_errors_are_retried_a_bounded_number_of_times():
  fake = Fake(good=[INFRA, INFRA, OK], bad=[INFRA] * 9)
  with Pool(fake, num_slots=1, max_infra_retries=2) as pool:
    for key in ('good', 'bad'):
      pool.submit(job(key))
    assert pool.take(5)[1].status == Status.OK
    assert pool.take(5)[1].status == Status.INFRA_ERROR
    assert fake.calls == ['good'] * 3 + ['bad'] * 3
    assert pool.num_infra_retries == 4


def test_a_wall_deadline_is_tried_once_more():
  fake = Fake(noise=[WALL, OK], sleeper=[WALL, WALL, OK], cpu=[CPU, OK])
  with Pool(fake, num_slots=1) as pool:
    for key in ('noise', 'sleeper', 'cpu'):
      pool.submit(job(key))
    results = [pool.take(5)[1] for _ in range(3)]
  assert [r.noisy for r in results] == [True, True, False]
  assert [r.limit for r in results] == [None, 'wall', 'cpu']
  assert pool.num_noisy == 2


def test_finish_is_applied_in_the_worker():
  with Pool(Fake(a=[OK]), num_slots=1, finish=lambda j, e: (
      j.key, e.status, threading.current_thread().name)) as pool:
    pool.submit(job('a'))
    assert pool.take(5)[1] == ('a', Status.OK, 'sandbox-0')


def test_a_workers_exception_reaches_the_caller():
  def broken():
    raise ZeroDivisionError('here')
  with Pool(Fake(a=broken), num_slots=1) as pool:
    pool.submit(job('a'))
    with pytest.raises(ZeroDivisionError, match='here'):
      pool.take(5)
    with pytest.raises(ZeroDivisionError):
      pool.submit(job('a'))


def test_take_waits_no_longer_than_told():
  gate = threading.Event()
  with Pool(Fake(a=lambda: (gate.wait(5), OK)[1]), num_slots=1) as pool:
    pool.submit(job('a'))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
      pool.take(0.1)
    assert time.monotonic() - begun < 1
    gate.set()
    pool.take(5)
    with pytest.raises(LookupError):
      pool.take(5)


def test_submit_refuses_more_than_max_queued():
  gate = threading.Event()
  with Pool(Fake(a=lambda: (gate.wait(5), OK)[1]), num_slots=1,
            max_queued=2) as pool:
    pool.submit(job('a'))
    pool.submit(job('a'))
    with pytest.raises(queue.Full):
      pool.submit(job('a'))
    gate.set()
    pool.take(5)
    pool.submit(job('a'))


def test_close_wakes_who_waits():
  gate = threading.Event()
  pool = Pool(Fake(a=lambda: (gate.wait(5), OK)[1]), num_slots=1)
  pool.submit(job('a'))
  threading.Timer(0.1, lambda: (gate.set(), pool.close())).start()
  gate.clear()
  try:
    pool.take(5)
  except RuntimeError as error:
    assert 'closed' in str(error)
  with pytest.raises(RuntimeError, match='closed'):
    pool.submit(job('a'))


def test_the_sandbox_is_told_what_will_come():
  fake = Fake(a=[OK], b=[OK])
  with Pool(fake, num_slots=1) as pool:
    for key in 'ab':
      pool.submit(job(key))
    assert [pool.take(5)[0].key for _ in 'ab'] == fake.expected == ['a', 'b']


@pytest.mark.threat('host: a result delivered twice or late')
def test_cancelled_jobs_are_never_taken():
  gate, begun = threading.Event(), threading.Event()
  done = lambda: (begun.set(), gate.wait(5), OK)[2]  # noqa: E731
  fake = Fake(ended=[OK], runs=done, queued=[OK], kept=[OK])
  with Pool(fake, num_slots=1) as pool:
    for key in fake.script:
      pool.submit(job(key))
    begun.wait(5)
    assert pool.cancel(['ended', 'runs', 'queued', 'unknown']) == 3
    # The sandbox need not expect the one that it will not run, either.
    assert sorted(fake.cancelled) == ['queued', 'runs']
    assert fake.is_cancelled() and pool.num_pending == 1
    gate.set()
    assert pool.take(5)[0].key == 'kept'
    with pytest.raises(LookupError):
      pool.take(5)
  assert 'queued' not in fake.calls


def test_who_waits_for_what_is_cancelled_hears_of_it():
  gate = threading.Event()
  with Pool(Fake(a=lambda: (gate.wait(5), OK)[1]), num_slots=1) as pool:
    pool.submit(job('a'))
    threading.Timer(0.1, pool.cancel, [['a']]).start()
    with pytest.raises(LookupError, match='cancelled'):
      pool.take(5)
    gate.set()


def test_a_job_is_expected_before_it_can_run():
  fake = Fake()
  expected_then = []
  fake.script['a'] = lambda: (expected_then.extend(fake.expected), OK)[1]
  fake.expect = lambda job: (time.sleep(0.1), fake.expected.append(job.key))
  with Pool(fake, num_slots=1) as pool:
    pool.submit(job('a'))
    pool.take(5)
  assert expected_then == ['a']


def test_what_is_dropped_is_not_begun_again():
  """A cancel between two attempts reaches no run."""
  fake = Fake()

  def fails():
    pool.cancel(['a'])
    return dataclasses.replace(OK, status=types.Status.INFRA_ERROR)

  fake.script = {'a': fails, 'b': [OK]}
  with Pool(fake, num_slots=1) as pool:
    pool.submit(job('a'))
    pool.submit(job('b'))
    assert pool.take(5)[0].key == 'b'
  assert fake.calls == ['a', 'b']
