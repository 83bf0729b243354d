"""The yardsticks of bench_pool; what it measures, it measures when run."""

import time

import pytest

from ace_jax import types
from ace_jax.sandbox import LocalSandbox, Pool, SandboxSpec
from experiments import bench_pool


def test_a_list_schedule_takes_jobs_in_their_order():
  assert bench_pool.list_schedule_s([3, 1, 1, 1], 2) == 3
  assert bench_pool.list_schedule_s([1, 1, 1, 3], 2) == 4
  assert bench_pool.list_schedule_s([2.0], 8) == 2


def test_per_minute_counts_what_ended():
  found = bench_pool.per_minute(lambda: time.sleep(0.05), 0.5, 4)
  assert 0.5 * 4800 < found <= 4800


@pytest.fixture
def sandbox():
  with LocalSandbox(SandboxSpec(timeout_s=1), num_slots=2) as made:
    yield made


def test_what_fails_is_no_measurement(sandbox, monkeypatch):
  monkeypatch.setattr(bench_pool, 'FIT', 'raise SystemExit(1)')
  with pytest.raises(RuntimeError, match='Status.ERROR'):
    bench_pool.in_sandbox(sandbox)()
  with Pool(sandbox, num_slots=2) as pool:
    with pytest.raises(RuntimeError, match='TIMEOUT'):
      bench_pool.utilisation(pool, [60.0], 2)


def test_the_deadline_is_measured_by_the_executor(sandbox):
  assert bench_pool.deadline_error_s(sandbox, 2) < 0.5


def test_the_programs_do_what_they_are_for(sandbox):
  assert bench_pool.handover_ms(sandbox, 3, 0.05) < 1000
  for program in (bench_pool.FIT, bench_pool.SPIN):
    execution = sandbox.run(types.Job('a', program, None))
    assert execution.cpu_s > 0.01 and execution.stdout == ''
