"""Tasks are dealt like cards."""

from collections import Counter

from ace_jax.buffer import mixture

TASKS = ('a', 'b', 'c', 'd', 'e')


def draw(step, seed=0):
  problems = mixture.sample(TASKS, step=step, num_problems=2, seed=seed)
  assert all(p.kind == 'draft' and p.parent is None for p in problems)
  return [p.task for p in problems]


def test_every_task_once_per_round():
  dealt = [task for step in range(10) for task in draw(step)]
  for i in range(0, 20, 5):
    assert sorted(dealt[i : i + 5]) == list(TASKS)
  assert Counter(dealt) == dict.fromkeys(TASKS, 4)


def test_a_function_of_seed_and_step_alone():
  assert draw(7) == draw(7)
  runs = {tuple(t for s in range(10) for t in draw(s, seed)) for seed in (1, 2)}
  assert len(runs) == 2


def test_rounds_are_shuffled_anew():
  dealt = [task for step in range(50) for task in draw(step)]
  assert len({tuple(dealt[i : i + 5]) for i in range(0, 100, 5)}) > 5
