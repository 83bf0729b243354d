"""What a reader of MLE-bench's contract is likely to get wrong."""

import hashlib
import warnings

import numpy as np
import pandas as pd
import pytest
from bench_data import to_bytes

from ace_jax.envs.mle import grading, layout, leaderboard, tasks
from ace_jax.envs.mle.bench import definition, preview
from ace_jax.envs.mle.bench.competitions import COMPETITIONS

SPOOKY = 'spooky-author-identification'
NOMAD = 'nomad2018-predict-transparent-conductors'
PIZZA = 'random-acts-of-pizza'
INSULTS = 'detecting-insults-in-social-commentary'
DECEMBER = 'tabular-playground-series-dec-2021'
PATENT = 'us-patent-phrase-to-phrase-matching'
MAY = 'tabular-playground-series-may-2022'


def answers(path) -> pd.DataFrame:
  return pd.read_csv(path / 'prepared' / 'private' / 'test.csv')


def test_a_score_of_zero_is_valid(prepared):
  path = prepared(DECEMBER)
  wrong = answers(path)[['Id', 'Cover_Type']]
  wrong['Cover_Type'] = wrong['Cover_Type'] % 7 + 1
  grade = grading.grade(tasks.load_task(path), to_bytes(wrong), 'all')
  assert grade.valid and grade.score == 0.0 and grade.error is None


def test_nomad_is_graded_by_the_order_of_rows(prepared):
  path = prepared(NOMAD)
  task = tasks.load_task(path)
  truth = answers(path)[['id', 'formation_energy_ev_natom',
                         'bandgap_energy_ev']]
  renumbered = truth.assign(id=truth['id'][::-1].to_numpy())
  for rows in leaderboard.ROWS:
    assert grading.grade(task, to_bytes(renumbered), rows).score == 0.0
    no_ids = to_bytes(truth.drop(columns='id'))
    assert grading.grade(task, no_ids, rows).score == 0.0
  shuffled = truth.sample(frac=1, random_state=0)  # with their ids
  assert grading.grade(task, to_bytes(shuffled), 'all').score > 0.1


@pytest.mark.parametrize('excess, valid', [
    (0, True), (9e-7, True), (-9e-7, True), (2e-5, False), (-2e-5, False),
    (1e-2, False)])
def test_rows_of_probabilities_sum_to_one(prepared, excess, valid):
  """1e-6, and isclose's own relative 1e-5 as in MLE-bench."""
  path = prepared(SPOOKY)
  table = pd.read_csv(path / 'prepared/public/sample_submission.csv')
  table.loc[17, 'EAP'] += excess
  grade = grading.grade(tasks.load_task(path), to_bytes(table), 'select')
  assert grade.valid == valid
  if not valid:
    assert grade.error == ('the probabilities of 1 rows do not sum to 1 '
                           'within 1e-06')


@pytest.mark.parametrize('name, file', [
    (INSULTS, 'sample_submission_null.csv'), (PIZZA, 'sampleSubmission.csv'),
    (SPOOKY, 'sample_submission.csv')])
def test_sample_submissions_have_odd_names(prepared, name, file):
  known = definition.define(prepared(name))
  assert known.sample.name == file
  assert known.columns[0] == COMPETITIONS[name].id_column
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    shown = preview.preview(tasks.load_task(known.path))
  assert f'data/{file}' in shown.contract


def test_pizza_gives_its_label_away(prepared):
  path = prepared(PIZZA)

  def state():
    files = sorted(p for p in path.rglob('*') if p.is_file())
    return {p: hashlib.sha256(p.read_bytes()).digest() for p in files}

  before, task = state(), tasks.load_task(path)
  with pytest.warns(UserWarning, match='giver_username_if_known') as told:
    shown = preview.preview(task)
  assert len(told) == 1
  assert 'giver_username_if_known' not in repr(shown)
  assert 'request_title' in [c.name for c in shown.columns]
  grading.grade(task, b'request_id\n', 'reward')
  assert state() == before


def test_scores_have_five_decimals(prepared):
  path = prepared(MAY)
  table = pd.read_csv(path / 'prepared/public/sample_submission.csv')
  table['target'] = np.random.default_rng(0).random(len(table))
  score = grading.grade(tasks.load_task(path), to_bytes(table), 'all').score
  assert score == round(score, 5) != round(score, 4)


@pytest.mark.parametrize('board, medal, above', [
    ([.6, .5, .4], 'gold', True),  # ties the first
    ([.7, .6, .5], None, False),  # ties the median
    ([.9, .8, .7, .6, .5], 'bronze', False),  # rank 2 of 5 is .8
    ([.5, .6, .9], 'silver', False),  # lower is better here
])
def test_medals_are_inclusive_and_the_median_is_strict(
    prepared, board, medal, above):
  """A grader that gives .6, against made-up leaderboards."""
  path = prepared(MAY)
  (path / 'grade.py').write_text(
      'def grade(submission, answers):\n  return 0.6\n')
  # Twenty rows for each, so that medals stand on different ranks.
  scores = np.repeat(board, 20)
  pd.DataFrame({'score': scores}).to_csv(
      path / 'leaderboard.csv', index=False)
  task = tasks.load_task(path)
  sample = (path / 'prepared/public/sample_submission.csv').read_bytes()
  grade = grading.grade(task, sample, 'all')
  assert task.lower_is_better == (board[0] < board[-1])
  n = len(scores)
  ranks = leaderboard.medal_positions(n)
  better = sum(scores < .6) if task.lower_is_better else sum(scores > .6)
  wanted = next((m for m, r in ranks.items() if better < r), None)
  assert grade.medal == wanted
  assert grade.above_median == above
  assert grade.human_rank == (n - better) / n


@pytest.mark.parametrize('name', [
    line.split(',')[0] for line in
    definition.THRESHOLDS.read_text().splitlines()[1:]])
def test_shipped_thresholds_are_exact(name):
  table = pd.read_csv(definition.THRESHOLDS, index_col='competition')
  row = table.loc[name]
  marks = row[list(definition.MEDALS)].astype(float).tolist()
  worst = definition._worst(COMPETITIONS[name], marks[-1])
  board = definition.approximate(marks, worst)
  lower = bool(row['lower_is_better'])
  assert lower == (board[0] < board[-1])
  assert list(board) == sorted(board, reverse=not lower)
  bad = 1e-5 if lower else -1e-5
  for medal in ('gold', 'silver', 'bronze'):
    earned = leaderboard.medal(row[medal], board, lower)
    assert row[earned] == row[medal]  # the best of equal thresholds
    missed = leaderboard.medal(row[medal] + bad, board, lower)
    assert missed != earned
  assert not leaderboard.above_median(row['median'], board, lower)
  assert leaderboard.above_median(row['median'] - bad / 2, board, lower)
  assert leaderboard.human_rank(row['median'], board, lower) > .5
  assert leaderboard.human_rank(worst, board, lower) < .01


def test_a_part_without_a_class_is_told_once(prepared):
  path = prepared(MAY)
  table = answers(path)
  reward = [layout.fraction(MAY, 'rows', i) < 1 / 3 for i in table['id']]
  table.loc[reward, 'target'] = 0
  table.to_csv(path / 'prepared' / 'private' / 'test.csv', index=False)
  task = tasks.load_task(path)
  guess = table[['id', 'target']].copy()
  guess['target'] = np.random.default_rng(1).random(len(guess))
  with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter('default')
    grades = [grading.grade(task, to_bytes(guess), 'reward')
              for _ in range(3)]
  assert [str(w.message) for w in told] == [
      f'{MAY}: its metric is undefined on the reward rows alone; all rows are '
      'scored instead']
  official = grading.grade(task, to_bytes(guess), 'all')
  assert grades[0].rows == 'reward' and grades[0].score == official.score
  assert grading.grade(task, to_bytes(guess), 'report').score != official.score


def test_no_score_at_all_is_invalid(prepared):
  """Pearson of a constant is no number; MLE-bench's own gives NaN."""
  path = prepared(PATENT)
  sample = (path / 'prepared/public/sample_submission.csv').read_bytes()
  grade = grading.grade(tasks.load_task(path), sample, 'reward')
  assert grade.error == 'the predictions have no finite score'


@pytest.mark.parametrize('cell, words', [
    ('', 'missing or not finite'), ('inf', 'missing or not finite'),
    ('yes', 'not a number'), ('1.5', 'not in [0, 1]'),
    ('-0.1', 'not in [0, 1]')])
def test_bad_cells(prepared, cell, words):
  path = prepared(MAY)
  sample = (path / 'prepared/public/sample_submission.csv').read_text()
  bad = sample.rstrip('\n').rpartition(',')[0] + f',{cell}\n'
  grade = grading.grade(tasks.load_task(path), bad.encode(), 'reward')
  assert not grade.valid and words in grade.error


def test_ids_of_other_rows(prepared):
  path = prepared(MAY)
  table = pd.read_csv(path / 'prepared/public/sample_submission.csv')
  table.loc[3, 'id'] = table.loc[4, 'id']
  grade = grading.grade(tasks.load_task(path), to_bytes(table), 'reward')
  assert "the values of 'id' are not those" in grade.error


