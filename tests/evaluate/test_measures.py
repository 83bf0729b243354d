"""Figures of the protocol against numbers worked out by hand."""

import dataclasses
import itertools
import math
import statistics

import pytest

from ace_jax.envs import lineage
from ace_jax.evaluate import measures
from ace_jax.evaluate.measures import Cell
from ace_jax.types import Status
from tests.evaluate.records import attempt, task


def cell(*attempts, lower=False, seed=0, name='t', arm='frozen/drafts'):
  seconds = tuple(a.duration_s + 0.5 for a in attempts)
  return Cell(arm, task(name, lower), seed, attempts, seconds)


FAILED = attempt('f', program='b = 2')
LOST = attempt('x', status=Status.INFRA_ERROR, program='z = 1')


def test_one_search_by_hand():
  better = attempt('a', 0.6, 0.85, medal='silver', above_median=True)
  chosen = attempt('b', 0.7, 0.65, program='c = 1', duration_s=2.5)
  again = attempt('c', 0.1, 0.3, program='c=1 # the same',
                  problem=lineage.child(chosen))
  got = measures.of_cell(cell(FAILED, LOST, better, chosen, again))
  assert got == pytest.approx({
      'attempts': 4, 'valid_rate': 0.75, 'valid_submission': 1.0,
      'any_medal': 0.0, 'above_median': 0.0,  # of b, which was selected
      'official_any_medal': 0.0, 'official_above_median': 0.0,
      'human_rank': 0.65, 'oracle_human_rank': 0.85,
      'mean_human_rank': (0.85 + 0.65 + 0.3) / 4, 'score@1': 0.45,
      'score@8': None, 'score@32': None,
      'distinct_programs': 2,  # b = 2, and a = 1 whatever its name
      'first_valid': 2, 'improve_share': 0.25, 'debug_share': 0.0,
      'seconds': 1.5 + 1.5 + 3.0 + 1.5, 'score': 0.65, 'oracle_score': 0.85})
  assert tuple(got) == measures.MEASURES


def test_lower_is_better():
  got = measures.of_cell(cell(
      attempt('a', 2.0, 1.0, rank=0.9), attempt('b', 1.0, 3.0, rank=0.2),
      lower=True))
  assert (got['score'], got['oracle_score']) == (3.0, 1.0)
  assert (got['human_rank'], got['oracle_human_rank']) == (0.2, 0.9)


def test_medals_of_what_is_handed_in():
  got = measures.of_cell(cell(
      attempt('a', 0.6, 0.85, medal='gold', above_median=True)))
  assert got['any_medal'] == got['official_any_medal'] == 1
  assert got['above_median'] == got['official_above_median'] == 1


def test_official_medals_are_on_all_rows():
  made = attempt('a', 0.6, 0.85)
  report, every = made.audits
  every = dataclasses.replace(every, medal='bronze', above_median=True)
  got = measures.of_cell(cell(
      dataclasses.replace(made, audits=(report, every))))
  assert got['any_medal'] == got['above_median'] == 0
  assert got['official_any_medal'] == got['official_above_median'] == 1


def test_nothing_valid_is_censored_at_the_budget():
  got = measures.of_cell(cell(FAILED, FAILED, FAILED))
  assert got['first_valid'] == 3 and got['valid_submission'] == 0
  assert got['human_rank'] == got['oracle_human_rank'] == got['score@1'] == 0
  assert got['score'] is got['oracle_score'] is None


def test_only_failures_of_the_machinery_say_nothing():
  got = measures.of_cell(cell(LOST))
  assert got.pop('attempts') == 0
  assert set(got.values()) == {None}
  assert (*got,) == measures.MEASURES[1:]


def test_the_expected_best_is_the_mean_over_all_subsets():
  values = [0.2, 0.9, 0.2, 0.0, 0.5]
  for k in range(1, 6):
    subsets = [max(s) for s in itertools.combinations(values, k)]
    assert measures.expected_best(values, k) == pytest.approx(
        statistics.fmean(subsets))
  assert measures.expected_best(values, 6) is None
  assert measures.expected_best([0.5] * 3000, 1500) == pytest.approx(0.5)


def test_mean_and_standard_error():
  assert measures.mean_se([1.0, None, 2.0, 6.0]) == pytest.approx(
      {'mean': 3.0, 'se': math.sqrt(7 / 3)})
  assert measures.mean_se([1.0]) == {'mean': 1.0, 'se': None}
  assert measures.mean_se([None]) == {'mean': None, 'se': None}


def table(values):
  """{(task, seed): value} → a table in which every measure has that value."""
  return {key: dict.fromkeys(measures.MEASURES, value)
          for key, value in values.items()}


A = table({('t', 0): 1.0, ('u', 0): 3.0, ('t', 1): 2.0, ('u', 1): 6.0})
B = table({('t', 0): 2.0, ('u', 0): 7.0, ('t', 1): 3.0, ('u', 1): None})


def test_summary_is_over_seeds():
  got = measures.summary(A)
  # Seeds: 2 and 4.
  assert got['pooled']['human_rank'] == pytest.approx({'mean': 3, 'se': 1})
  assert got['tasks']['t']['score'] == pytest.approx({'mean': 1.5, 'se': 0.5})
  assert got['tasks']['u']['score'] == pytest.approx({'mean': 4.5, 'se': 1.5})
  assert 'score' not in got['pooled']  # units do not mix


def test_differences_are_paired():
  got = measures.difference(A, B)['human_rank']
  # t: 1, 1; u: 4, –. Seeds: 2.5 and 1; tasks: 1 and 4.
  assert got == pytest.approx({'mean': 1.75, 'se': 0.75, 'se_tasks': 1.5})
  same = measures.difference(A, A)['seconds']
  assert same == {'mean': 0.0, 'se': 0.0, 'se_tasks': 0.0}


CURVED = cell(
    FAILED, attempt('a', 0.5, 0.6), LOST, attempt('b', 0.7, 0.4),
    attempt('c', 0.6, 0.9))


def test_best_so_far_is_what_would_be_handed_in():
  # Seconds 1.5 each; the report rows of b are worse, and are taken all the
  # same; c is not selected.
  assert measures.best_so_far(CURVED) == [
      (1.5, 0.0), (3.0, 0.6), (4.5, 0.4), (6.0, 0.4)]


def test_curves():
  other = cell(attempt('d', 0.5, 1.0), seed=1)
  got = measures.curve([CURVED, other], [1, 2, 9], by='attempts')
  assert got == [
      pytest.approx({'x': 1, 'mean': 0.5, 'se': 0.5}),
      pytest.approx({'x': 2, 'mean': 0.8, 'se': 0.2}),
      pytest.approx({'x': 9, 'mean': 0.7, 'se': 0.3})]
  got = measures.curve([CURVED, other], [1.0, 1.5, 3.0], by='seconds')
  assert [p['mean'] for p in got] == pytest.approx([0.0, 0.5, 0.8])
