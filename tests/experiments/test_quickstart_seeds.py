"""The experiment's figures, from samples whose answer NumPy knows."""

import math
import sqlite3

import numpy as np
import pytest

from experiments import quickstart_seeds as seeds


def figures(rank, *, distinct=5):
  """One side of the table from HumanRank per sample; 0 is not valid."""
  rank = np.asarray(rank, float)
  valid = rank[rank > 0]

  def mean(name, x):
    if not len(x):
      return {name: None, f'{name}_se': None}
    return {name: x.mean(), f'{name}_se': x.std(ddof=1) / math.sqrt(len(x))}

  return {
      'n': len(rank),
      'num_valid': len(valid),
      'distinct_programs': distinct,
      **mean('valid_rate', (rank > 0).astype(float)),
      **mean('human_rank', rank),
      **mean('human_rank_valid', valid),
  }


def result(before, after, *, seed=0, wall_s=600.0, distinct=(30, 30)):
  row = {
      'split': 'held_out',
      'task': 'all tasks',
      'pooled': True,
      'before': figures(before, distinct=distinct[0]),
      'after': figures(after, distinct=distinct[1]),
  }
  return {
      'seed': seed,
      'wall_s': wall_s,
      'comparison': [row, row | {'split': 'train'}],
      'singletons': {'before': 20, 'after': 20},
  }


def samples(rng, num_valid, low=0.2):
  return np.concatenate([np.zeros(64 - num_valid),
                         rng.uniform(low, 1, num_valid)])


def test_pooling_seeds_is_pooling_their_samples():
  rng = np.random.default_rng(0)
  parts = [samples(rng, n)[:size] for n, size in ((50, 64), (20, 60))]
  pooled = seeds.pool([
      figures(p) | {'distinct_programs_se': e}
      for p, e in zip(parts, (3.0, 4.0), strict=True)
  ])
  truth = figures(np.concatenate(parts))
  for name in seeds.MEANS:
    assert pooled[name] == pytest.approx(truth[name])
    assert pooled[f'{name}_se'] == pytest.approx(truth[f'{name}_se'])
  assert pooled['n'] == 124
  assert pooled['distinct_programs'] == 10
  assert pooled['distinct_programs_se'] == pytest.approx(5)


def test_the_error_of_a_count_of_distinct_programs_is_the_jackknifes():
  programs = ['a', 'a', 'b', 'c', 'c', 'c', 'd']
  n = len(programs)
  left = [len(set(programs[:i] + programs[i + 1:])) for i in range(n)]
  expected = math.sqrt((n - 1) / n * np.sum((left - np.mean(left)) ** 2))
  assert seeds.distinct_error(n, 2) == pytest.approx(expected)


def verdicts(*results):
  pooled = {
      p: seeds.pool([seeds.side(r, p) for r in results]) for p in seeds.PHASES
  }
  return list(seeds.criteria(results, pooled).values())


def test_what_is_promised_is_checked():
  rng = np.random.default_rng(1)
  low, high = samples(rng, 30), samples(rng, 60)
  good = result(low, high)
  assert all(verdicts(good, good, good))
  # In the order of the criteria: enough samples, in time, then valid rate and
  # HumanRank on each seed and pooled, then what must not fall.
  worse = verdicts(good, good, result(high, low))
  assert worse[:2] == [True, True]
  assert not worse[2] and not worse[4]
  assert not verdicts(result(low, high[:63]))[0]
  assert not verdicts(result(low, high, wall_s=721.0))[1]
  assert not verdicts(result(low, high, wall_s=None))[1]
  same = verdicts(result(low, low))
  assert not any(same[2:6]) and all(same[6:])
  assert not verdicts(result(low, samples(rng, 60, low=0.01) / 3))[6]
  assert not verdicts(result(low, high, distinct=(40, 20)))[7]


def test_programs_written_once_are_counted(tmp_path):
  rows = [
      ('before', 'iris', 'x', 'ok'), ('before', 'iris', 'x', 'error'),
      ('before', 'iris', 'y', 'ok'), ('before', 'iris', None, None),
      ('before', 'wine', 'z', 'ok'),  # a training task
      ('before', 'iris', 'w', 'infra_error'), ('after', 'iris', 'x', 'ok'),
  ]
  with sqlite3.connect(tmp_path / 'attempts.sqlite') as db:
    db.execute('CREATE TABLE attempts (phase, task, program_hash, status)')
    db.executemany('INSERT INTO attempts VALUES (?, ?, ?, ?)', rows)
  table = [
      {'split': 'held_out', 'task': 'iris', 'pooled': False},
      {'split': 'train', 'task': 'wine', 'pooled': False},
  ]
  assert seeds.singletons(tmp_path, table) == {'before': 1, 'after': 1}


def test_the_table_has_a_line_per_seed_and_one_for_all():
  rng = np.random.default_rng(2)
  results = [result(samples(rng, 30), samples(rng, 60), seed=s)
             for s in (0, 1)]
  pooled = {
      p: seeds.pool([seeds.side(r, p) for r in results]) for p in seeds.PHASES
  }
  lines = seeds.markdown(results, pooled).splitlines()
  assert len({line.count('|') for line in lines}) == 1
  assert [line.split('|')[1].strip() for line in lines[2:]] == ['0', '1', 'all']
  assert f'{pooled["after"]["valid_rate"]:.3f} ±' in lines[-1]


def test_a_seed_without_a_valid_program_is_in_the_table():
  rng = np.random.default_rng(0)
  results = [
      result(samples(rng, 10), samples(rng, 0)),
      result(samples(rng, 10), samples(rng, 20), seed=1),
  ]
  pooled = {
      p: seeds.pool([seeds.side(r, p) for r in results]) for p in seeds.PHASES
  }
  failed = seeds.markdown(results, pooled).splitlines()[2]
  assert '→ 0.000 ± 0.000' in failed and '→ – |' in failed
  assert not all(seeds.criteria(results, pooled).values())
