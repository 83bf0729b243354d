"""Wrong labels among the private answers, which give away who copied them.

A tenth of the lines in prepared/private/test.csv bear another label than the
right one: the next class, or the value of the next such line. The grader puts
them right again as it reads, so scores are what they would be without. Nobody
else does: a submission that repeats the wrong labels, and only there, has seen
the file. What remains possible: to know this rule, and undo it.

Which lines are canaries is a hash of the id. An honest submission cannot tell
them from the rest, so the chance that it is accused is at most MAX_P.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHARE = 0.1
AT_LEAST = 12  # of a small task's rows; a quarter of them at most
MAX_P = 1e-8
COPIED = 'the submission has labels that only a copy of the answers has'


def chosen(hashes: Sequence[float]) -> np.ndarray:
  """[N] bool: the rows with the lowest of N hashes."""
  total = len(hashes)
  count = max(round(SHARE * total), min(AT_LEAST, total // 4))
  out = np.zeros(total, bool)
  out[np.argsort(hashes)[:count]] = True
  return out


def plant(labels: Sequence[str], is_canary: np.ndarray,
          classes: Sequence[str]) -> list[str]:
  """The labels as the file holds them: wrong for the canaries."""
  return _moved(labels, is_canary, classes, 1)


def lift(labels: Sequence[str], is_canary: np.ndarray,
         classes: Sequence[str]) -> list[str]:
  """What `plant` was given."""
  return _moved(labels, is_canary, classes, -1)


def _moved(labels, is_canary, classes, by) -> list[str]:
  out = list(labels)
  (at,) = np.nonzero(is_canary)
  for i, other in zip(at, np.roll(at, -by), strict=True):
    if classes:
      out[i] = classes[(classes.index(labels[i]) + by) % len(classes)]
    else:
      out[i] = labels[other]
  return out


def p_value(target: np.ndarray, predicted: np.ndarray, is_canary: np.ndarray,
            classes: Sequence[str]) -> float:
  """How likely an honest submission looks as much as a copy as this one.

  Fisher's exact test, one-sided: do predictions of what `plant` makes of the
  right label fall on the canaries rather than on the other rows?

  Args:
    target: [N] right labels (str), or numbers.
    predicted: [N] of the same, or [N] probabilities of the second class, or
      [N, C] of all.
    is_canary: [N] bool.
    classes: () for regression.
  """
  from scipy import stats  # here, so that tasks are made without it

  if classes:
    if predicted.dtype.kind == 'f':
      best = (predicted > 0.5 if predicted.ndim == 1
              else predicted.argmax(1))
      predicted = np.array(classes)[best.astype(int)]
    wrong = plant(target, np.ones(len(target), bool), classes)
    hit = predicted == np.array(wrong)
  else:
    hit = np.zeros(len(target), bool)
    for part in (is_canary, ~is_canary):
      next_one = np.roll(target[part], -1)
      hit[part] = (abs(predicted[part] - next_one)
                   < abs(predicted[part] - target[part]))
  return float(stats.hypergeom.sf(
      hit[is_canary].sum() - 1, len(hit), is_canary.sum(), hit.sum()))
