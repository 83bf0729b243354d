"""Rank correlations of what was predicted and what was found, by hand."""

import pytest

from experiments import foresight


def visits(*rows):
  return [{'task': task, 'potential': p, 'found_spread': s}
          for task, p, s in rows]


def test_correlation_is_of_ranks():
  some = visits(('a', 1, 0.1), ('a', 2, 0.2), ('b', 100, 0.3))
  assert foresight.correlation(some, 'potential') == pytest.approx(1)
  some[0]['found_spread'] = 0.4
  assert foresight.correlation(some, 'potential') == pytest.approx(-0.5)
  assert foresight.correlation(some[:1], 'potential') == 0.0


def test_what_only_tells_tasks_apart_tells_nothing_within_them():
  some = visits(('a', 1, 0.1), ('a', 1, 0.2), ('b', 2, 0.3), ('b', 2, 0.4))
  assert foresight.correlation(some, 'potential') > 0.8
  assert foresight.within_tasks(some, 'potential') == 0.0
  some = visits(('a', 1, 0.1), ('a', 2, 0.2), ('b', 3, 0.3), ('b', 4, 0.4))
  assert foresight.within_tasks(some, 'potential') == pytest.approx(1)


def test_the_interval_draws_tasks():
  some = visits(*((task, i + 10 * t, i + 10 * t + i % 3)
                  for t, task in enumerate('abcdef') for i in range(5)))
  rho = foresight.correlation(some, 'potential')
  low, high = foresight.interval(
      some, lambda v: foresight.correlation(v, 'potential'), repeats=200)
  assert low <= rho <= high and high - low < 0.2
