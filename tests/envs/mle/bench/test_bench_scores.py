"""Scores against each metric's formula, written out in loops."""

import math

import bench_data
import numpy as np
import pandas as pd
import pytest
from bench_data import to_bytes

from ace_jax.envs.mle import grading, layout, tasks
from ace_jax.types import Grade

# --- The formulas ---------------------------------------------------------


def auc(truth, guess):
  """The share of (positive, negative) pairs in the right order."""
  won = pairs = 0
  for t, g in zip(truth, guess, strict=True):
    for u, h in zip(truth, guess, strict=True):
      if t == 1 and u == 0:
        pairs += 1
        won += 1 if g > h else .5 if g == h else 0
  return won / pairs


def mean_auc(truth, guess):
  kept = [i for i, row in enumerate(truth) if sum(row) >= 0]
  columns = range(len(truth[0]))
  return sum(auc([truth[i][c] for i in kept], [guess[i][c] for i in kept])
             for c in columns) / len(columns)


def log_loss(truth, guess):
  total = 0
  for t, g in zip(truth, guess, strict=True):
    total -= math.log(g if t else 1 - g)
  return total / len(truth)


def multi_log_loss(truth, guess):
  total = 0
  for t, g in zip(truth, guess, strict=True):
    total -= math.log(max(g[list(t).index(1)], np.finfo(float).eps))
  return total / len(truth)


def accuracy(truth, guess):
  return sum(t == g for t, g in zip(truth, guess, strict=True)) / len(truth)


def kappa(truth, guess):
  labels = sorted({*truth, *guess})
  place = {label: i for i, label in enumerate(labels)}
  seen = chance = 0
  for t, g in zip(truth, guess, strict=True):
    seen += (place[t] - place[g]) ** 2
  for t in truth:
    for g in guess:
      chance += (place[t] - place[g]) ** 2
  return 1 - seen * len(truth) / chance


def rmse(truth, guess):
  return math.sqrt(sum((t - g) ** 2 for t, g in zip(
      truth, guess, strict=True)) / len(truth))


def mean_rmsle(truth, guess):
  columns = zip(zip(*truth, strict=True), zip(*guess, strict=True),
                strict=True)
  return sum(rmse([math.log(1 + x) for x in t], [math.log(1 + x) for x in g])
             for t, g in columns) / len(truth[0])


def pearson(truth, guess):
  a, b = sum(truth) / len(truth), sum(guess) / len(guess)
  dot = sum((t - a) * (g - b) for t, g in zip(truth, guess, strict=True))
  return dot / math.sqrt(sum((t - a) ** 2 for t in truth)
                         * sum((g - b) ** 2 for g in guess))


def jaccard(truth, guess):
  total = 0
  for t, g in zip(truth, guess, strict=True):
    t, g = set(t.lower().split()), set(g.lower().split())
    total += len(t & g) / len(t | g)
  return total / len(truth)


# --- Against the grader ---------------------------------------------------


def chances(rng, n, classes):
  """Probabilities whose rows sum to one as far as floats can."""
  values = rng.random((n, classes)) + .01
  return values / values.sum(1, keepdims=True)


def some(draw):
  return lambda rng, n, c: draw(rng, (n, c))


UNIT = some(lambda rng, shape: rng.random(shape))
CASES = {  # name → (formula, predictions)
    'spooky-author-identification': (multi_log_loss, chances),
    'leaf-classification': (multi_log_loss, chances),
    'detecting-insults-in-social-commentary': (auc, UNIT),
    'random-acts-of-pizza': (auc, UNIT),
    'nomad2018-predict-transparent-conductors': (mean_rmsle, UNIT),
    'tabular-playground-series-may-2022': (auc, UNIT),
    'tabular-playground-series-dec-2021': (
        accuracy, some(lambda rng, shape: rng.integers(1, 8, shape))),
    'aerial-cactus-identification': (auc, some(
        lambda rng, shape: rng.integers(0, 4, shape) / 4)),  # with ties
    'learning-agency-lab-automated-essay-scoring-2': (
        kappa, some(lambda rng, shape: rng.integers(2, 6, shape))),
    'us-patent-phrase-to-phrase-matching': (pearson, some(
        lambda rng, shape: rng.normal(size=shape))),
    'tweet-sentiment-extraction': (jaccard, some(
        lambda rng, shape: rng.choice(['Sad today', 'NA so', 'but'], shape))),
    'plant-pathology-2020-fgvc7': (mean_auc, some(
        lambda rng, shape: rng.normal(size=shape))),  # any score will do
    'jigsaw-toxic-comment-classification-challenge': (mean_auc, UNIT),
    'dogs-vs-cats-redux-kernels-edition': (log_loss, UNIT),
    'new-york-city-taxi-fare-prediction': (rmse, some(
        lambda rng, shape: rng.random(shape) * 60)),
}


def test_every_competition_made_here_has_a_case():
  assert CASES.keys() == bench_data.MAKERS.keys()


def case(path):
  """(task, answers, submission, target columns)."""
  task = tasks.load_task(path)
  private = path / 'prepared' / 'private'
  file, = (f for f in private.iterdir() if f.suffix == '.csv')
  read = dict(keep_default_na=False)
  answers = pd.read_csv(file, **read)
  sample, = (f for f in task.public_dir.iterdir()
             if 'sample' in f.name.lower())
  submission = pd.read_csv(sample, **read)
  targets = [c for c in submission.columns
             if c not in (task.id_column, 'Date')]
  rng = np.random.default_rng(11)
  guess = CASES[path.name][1](rng, len(answers), len(targets))
  submission[targets] = pd.DataFrame(guess, columns=targets)
  return task, answers, submission, targets


def values(frame, targets):
  columns = frame[targets].to_numpy().tolist()
  return [row[0] for row in columns] if len(targets) == 1 else columns


@pytest.mark.parametrize('name', CASES)
def test_score_is_the_formula(prepared, name):
  task, answers, submission, targets = case(prepared(name))
  formula = CASES[name][0]
  grade = grading.grade(task, to_bytes(submission), 'all')
  wanted = round(formula(values(answers, targets),
                         values(submission, targets)), 5)
  assert grade.valid, grade.error
  assert grade.score == pytest.approx(wanted, abs=1e-9)
  assert 0 < abs(wanted) < 30


@pytest.mark.parametrize('name', CASES)
def test_parts_are_scored_by_the_hash_of_their_ids(prepared, name):
  task, answers, submission, targets = case(prepared(name))
  formula, content = CASES[name][0], to_bytes(submission)
  sizes = 0
  for i, rows in enumerate(('reward', 'select', 'report')):
    part = [int(layout.fraction(name, 'rows', x) * 3) == i
            for x in answers[task.id_column]]
    sizes += sum(part)
    wanted = formula(values(answers[part], targets),
                     values(submission[part], targets))
    grade = grading.grade(task, content, rows)
    assert grade.rows == rows
    assert grade.score == pytest.approx(round(wanted, 5), abs=1e-9)
  assert sizes == len(answers)


@pytest.mark.parametrize('name', set(CASES) - {
    'nomad2018-predict-transparent-conductors',
    'detecting-insults-in-social-commentary'})  # whose ids repeat here
def test_the_order_of_rows_does_not_matter(prepared, name):
  task, _, submission, _ = case(prepared(name))
  shuffled = submission.sample(frac=1, random_state=3)
  assert grading.grade(task, to_bytes(shuffled), 'reward') == grading.grade(
      task, to_bytes(submission), 'reward')


@pytest.mark.parametrize('name', CASES)
def test_the_truth_is_gold_and_broken_files_are_invalid(prepared, name):
  task, answers, submission, targets = case(prepared(name))
  truth = submission.assign(**answers[targets])
  if name != 'jigsaw-toxic-comment-classification-challenge':
    grade = grading.grade(task, to_bytes(truth), 'all')
    assert grade.medal == 'gold' and grade.above_median
    assert grade.human_rank == 1.0
  for bad, words in (
      (None, 'there is no submission.csv'),
      (b'', 'not readable'),
      (b'\xff\xfe\x00', 'not readable'),
      (to_bytes(submission[:-1]), f'{len(answers) - 1} rows, expected'),
      (to_bytes(submission.drop(columns=targets[0])),
       f"column '{targets[0]}' is missing")):
    grade = grading.grade(task, bad, 'reward')
    assert not grade.valid and words in grade.error
    assert grade == Grade(False, error=grade.error, rows='reward')
