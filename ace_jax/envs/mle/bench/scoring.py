"""Our own graders, for competitions whose grade.py is not there.

They accept what MLE-bench's accept and give the same score; what is said to
the author of a bad submission is ours. Frames come from `read_table`.
"""

from __future__ import annotations

import io
import math
import pathlib

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics as sk

from ace_jax.envs.mle.bench import competitions
from ace_jax.envs.mle.bench.competitions import Competition

_SUM_ATOL = 1e-6  # numpy.isclose adds its relative 1e-5, there as here


class InvalidSubmission(ValueError):
  """The message goes to the author of the submission."""


def read_table(source: pathlib.Path | bytes) -> pd.DataFrame:
  """Reads csv as MLE-bench does, that is as pandas does by default."""
  if isinstance(source, bytes):
    source = io.BytesIO(source)
  return pd.read_csv(source)


def score(
    competition: Competition, submission: pd.DataFrame, answers: pd.DataFrame
) -> float:
  """The competition's metric, not rounded.

  Raises:
    InvalidSubmission: MLE-bench would give no score.
  """
  columns = targets(competition, answers)
  lacking = [c for c in columns if c not in submission.columns]
  if lacking:
    raise InvalidSubmission(f'column {lacking[0]!r} is missing')
  truth, guess = ALIGN[competition.align](
      submission, answers, competition.id_column)
  truth, guess = truth[columns], guess[columns]
  if competitions.METRICS[competition.metric].numeric:
    guess = _numbers(guess)
  for check in competition.checks:
    CHECKS[check](guess)
  return METRICS[competition.metric](truth.to_numpy(), guess.to_numpy())


def targets(competition: Competition, answers: pd.DataFrame) -> list[str]:
  """The columns that are graded."""
  return list(competition.targets) or [
      c for c in answers.columns if c != competition.id_column]


# --- Which row belongs to which -------------------------------------------


def _by_ids(submission, answers, id_column):
  submission, answers = _sorted(submission, answers, id_column)
  if (submission[id_column].to_numpy() != answers[id_column].to_numpy()).any():
    raise InvalidSubmission(f'the values of {id_column!r} are not those of '
                            'the sample submission')
  return answers, submission


def _sorted(submission, answers, id_column):
  if id_column not in submission.columns:
    raise InvalidSubmission(f'column {id_column!r} is missing')
  _same_length(submission, answers)
  return submission.sort_values(id_column), answers.sort_values(id_column)


def _by_sorted(submission, answers, id_column):
  return _sorted(submission, answers, id_column)[::-1]


def _by_order(submission, answers, id_column):
  del id_column
  _same_length(submission, answers)
  return answers, submission


def _same_length(submission, answers):
  if len(submission) != len(answers):
    raise InvalidSubmission(
        f'there are {len(submission)} rows, expected {len(answers)}')


ALIGN = {
    'ids': _by_ids,
    'sorted': _by_sorted,  # sorted by id on both sides, ids not compared
    'order': _by_order,  # row by row, whatever the ids say
}


# --- What predictions must be ---------------------------------------------


def _numbers(guess: pd.DataFrame) -> pd.DataFrame:
  try:
    guess = guess.astype(float)
  except (ValueError, TypeError) as e:
    raise InvalidSubmission('a prediction is not a number') from e
  if not np.isfinite(guess.to_numpy()).all():
    raise InvalidSubmission('a prediction is missing or not finite')
  return guess


def _unit(guess: pd.DataFrame) -> None:
  values = guess.to_numpy()
  if (values < 0).any() or (values > 1).any():
    raise InvalidSubmission('a probability is not in [0, 1]')


def _sums(guess: pd.DataFrame) -> None:
  _refuse_sums(np.isclose(guess.sum(axis=1), 1, atol=_SUM_ATOL))


def _sums_rounded(guess: pd.DataFrame) -> None:
  _refuse_sums(guess.sum(axis=1).round(6).eq(1).to_numpy())


def _refuse_sums(good: np.ndarray) -> None:
  if not good.all():
    raise InvalidSubmission(
        f'the probabilities of {(~good).sum()} rows do not sum to 1 '
        f'within {_SUM_ATOL:g}')


CHECKS = {'unit': _unit, 'sums': _sums, 'sums_rounded': _sums_rounded}


# --- Metrics: (answers [N, C], predictions [N, C]) → score -----------------


def _mean_auc(truth: np.ndarray, guess: np.ndarray) -> float:
  """ROC AUC of each column, averaged; rows marked −1 are left out."""
  kept = truth.sum(1) >= 0
  return float(np.mean([
      sk.roc_auc_score(t, g)  # NaN where there is one class alone
      for t, g in zip(truth[kept].T, guess[kept].T, strict=True)]))


def _log_loss(truth: np.ndarray, guess: np.ndarray) -> float:
  """Binary, of the one column's probability of 1; in nats."""
  return sk.log_loss(truth[:, 0], guess[:, 0], labels=[0, 1])


def _multi_log_loss(truth: np.ndarray, guess: np.ndarray) -> float:
  """Answers one-hot; in nats."""
  return sk.log_loss(truth.argmax(1), guess, labels=range(truth.shape[1]))


def _accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
  return sk.accuracy_score(truth[:, 0], guess[:, 0])


def _text_accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
  return float(np.mean(truth[:, 0].astype(str) == guess[:, 0].astype(str)))


def _quadratic_kappa(truth: np.ndarray, guess: np.ndarray) -> float:
  """Labels are ranked among those that occur on either side."""
  return sk.cohen_kappa_score(guess[:, 0], truth[:, 0], weights='quadratic')


def _rmse(truth: np.ndarray, guess: np.ndarray) -> float:
  return sk.root_mean_squared_error(truth, guess)


def _mean_rmsle(truth: np.ndarray, guess: np.ndarray) -> float:
  """Root mean squared log error of each column, averaged."""
  if (guess <= -1).any():
    raise InvalidSubmission('a prediction has no logarithm')
  return float(np.mean([
      sk.root_mean_squared_log_error(t, g)
      for t, g in zip(truth.T, guess.T, strict=True)]))


def _pearson(truth: np.ndarray, guess: np.ndarray) -> float:
  return float(stats.pearsonr(truth[:, 0], guess[:, 0])[0])


def _jaccard(truth: np.ndarray, guess: np.ndarray) -> float:
  """Words that two texts share among those of either, averaged over rows."""
  pairs = [(_words(t), _words(g))
           for t, g in zip(truth[:, 0], guess[:, 0], strict=True)]
  return math.fsum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs)


def _words(text: object) -> set[str]:
  return set() if pd.isna(text) else set(str(text).lower().split())


METRICS = {  # keys of competitions.METRICS
    'auc': _mean_auc,
    'mean_auc': _mean_auc,
    'log_loss': _log_loss,
    'multi_log_loss': _multi_log_loss,
    'accuracy': _accuracy,
    'text_accuracy': _text_accuracy,
    'quadratic_kappa': _quadratic_kappa,
    'rmse': _rmse,
    'mean_rmsle': _mean_rmsle,
    'pearson': _pearson,
    'jaccard': _jaccard,
}
