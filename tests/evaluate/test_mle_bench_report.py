"""MLE-bench's report fields, by hand."""

import json
import pathlib

import pytest

from ace_jax.evaluate import mle_bench
from ace_jax.types import Grade
from tests.evaluate.records import task

TEN = tuple(i / 10 for i in range(1, 11))
FIELDS = (
    'competition_id', 'score', 'gold_threshold', 'silver_threshold',
    'bronze_threshold', 'median_threshold', 'any_medal', 'gold_medal',
    'silver_medal', 'bronze_medal', 'above_median', 'submission_exists',
    'valid_submission', 'is_lower_better', 'created_at', 'submission_path')


def report(grade, lower=False):
  return mle_bench.competition(
      task('spooky', lower, TEN), grade, submission=pathlib.Path('s.csv'),
      created_at='2026-01-02T03:04:05')


def test_a_silver_medal():
  got = report(Grade(True, 0.9, 'silver', True, 0.9, rows='all'))
  assert tuple(got) == FIELDS
  assert got == {
      'competition_id': 'spooky', 'score': 0.9, 'gold_threshold': 1.0,
      'silver_threshold': 0.9, 'bronze_threshold': 0.7,
      'median_threshold': pytest.approx(0.55), 'any_medal': True,
      'gold_medal': False, 'silver_medal': True, 'bronze_medal': False,
      'above_median': True, 'submission_exists': True,
      'valid_submission': True, 'is_lower_better': False,
      'created_at': '2026-01-02T03:04:05', 'submission_path': 's.csv'}
  assert json.loads(json.dumps(got)) == got


def test_nothing_handed_in():
  got = report(None, lower=True)
  assert got['score'] is None and got['is_lower_better']
  assert (got['gold_threshold'], got['bronze_threshold']) == (0.1, 0.4)
  assert not any(got[f] for f in FIELDS if f.endswith(
      ('medal', 'median', 'exists', 'submission')))


def test_a_score_of_zero_and_an_invalid_submission():
  zero = report(Grade(True, 0.0, 'gold', True, 1.0, rows='all'), lower=True)
  assert zero['valid_submission'] and zero['score'] == 0.0
  invalid = report(Grade(False, rows='all'))
  assert invalid['submission_exists'] and not invalid['valid_submission']


def test_counts():
  grades = [Grade(True, 1.0, 'gold', True), Grade(True, 0.7, 'bronze', True),
            Grade(True, 0.1), Grade(False), None]
  got = mle_bench.aggregate([report(g) for g in grades])
  assert len(got.pop('competition_reports')) == 5
  assert got == {
      'total_runs': 5, 'total_runs_with_submissions': 4,
      'total_valid_submissions': 3, 'total_medals': 2, 'total_gold_medals': 1,
      'total_silver_medals': 0, 'total_bronze_medals': 1,
      'total_above_median': 2}
