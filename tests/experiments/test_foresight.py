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


def test_the_interval_draws_tasks_and_not_visits():
  some = visits(*((task, 0, value) for value, task in enumerate('abcdef')
                  for _ in range(50)))
  low, high = foresight.interval(
      some, lambda v: sum(x['found_spread'] for x in v) / len(v))
  # Of a mean of six, whose standard error is 1.708 / √6.
  assert (low, high) == pytest.approx((2.5 - 1.37, 2.5 + 1.37), abs=0.25)
