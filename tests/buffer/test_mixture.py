"""Tasks are dealt like cards; what was solved may come back to be improved."""

from collections import Counter

import pytest

from ace_jax import types
from ace_jax.buffer import mixture
from tests.buffer.streams import group

TASKS = ('a', 'b', 'c', 'd', 'e')


def draw(step, seed=0, solutions=None, improve_share=0.5):
  return mixture.sample(
      solutions or mixture.init(TASKS), step=step, num_problems=2, seed=seed,
      improve_share=improve_share)


def tasks(step, seed=0):
  problems = draw(step, seed)
  assert all(p.kind == 'draft' and p.parent is None for p in problems)
  return [p.task for p in problems]


def solved(*names, ranks=(0.5,), number=0):
  return [group(types.Problem(name), ranks, f'{number}/{name}')
          for name in names]


def test_every_task_once_per_round():
  dealt = [task for step in range(10) for task in tasks(step)]
  for i in range(0, 20, 5):
    assert sorted(dealt[i : i + 5]) == list(TASKS)
  assert Counter(dealt) == dict.fromkeys(TASKS, 4)


def test_a_function_of_seed_and_step_alone():
  assert tasks(7) == tasks(7)
  runs = {
      tuple(t for s in range(10) for t in tasks(s, seed)) for seed in (1, 2)}
  assert len(runs) == 2


def test_rounds_are_shuffled_anew():
  dealt = [task for step in range(50) for task in tasks(step)]
  assert len({tuple(dealt[i : i + 5]) for i in range(0, 100, 5)}) > 5


def test_the_share_of_improves_is_what_was_asked_for():
  solutions = mixture.insert(mixture.init(TASKS), solved(*TASKS))
  kinds = Counter(
      p.kind for s in range(500) for p in draw(s, solutions=solutions))
  assert kinds['improve'] / 1000 == pytest.approx(0.5, abs=0.05)
  for share, kind in ((0.0, 'draft'), (1.0, 'improve')):
    drawn = {p.kind for s in range(20) for p in draw(
        s, solutions=solutions, improve_share=share)}
    assert drawn == {kind}


def test_tasks_without_a_solution_are_drafted_and_dealt_as_before():
  solutions = mixture.insert(mixture.init(TASKS), solved('b', 'c'))
  for step in range(20):
    problems = draw(step, solutions=solutions, improve_share=1.0)
    assert [p.task for p in problems] == tasks(step)
    for p in problems:
      assert p.kind == ('improve' if p.task in 'bc' else 'draft')


def test_failures_are_not_kept():
  failed = solved('a', ranks=(None, None))
  assert mixture.insert(mixture.init(TASKS), failed) == mixture.init(TASKS)


def test_the_last_distinct_solutions_are_kept():
  solutions = mixture.init(TASKS)
  for i in range(30):
    solutions = mixture.insert(solutions, solved('a', number=i))
  solutions = mixture.insert(solutions, solved('a', number=20))
  keys = [p.parent.key for _, p in solutions['a']]
  assert keys == [f'{i}/a/0' for i in (*range(14, 20), *range(21, 30), 20)]
  assert mixture.metrics(solutions) == {
      'buffer/size': 16.0, 'buffer/solved_tasks_share': 0.2}
