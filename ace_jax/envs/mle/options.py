"""Hyper-parameters of the grammar's estimators, drawn from wide ranges.

Each function gives the options of a family as source text, the one that makes
the family what it is first. Ranges end where a fit would take longer than
about 1 s of one core.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar('T')
Rng = np.random.Generator
Options = dict[str, str]  # argument → source text

_BUDGET_S = 1.0


@dataclasses.dataclass(frozen=True)
class Shape:
  """What the choice of an estimator depends on."""

  rows: int  # of train.csv
  columns: int  # of X, about
  classes: int  # 0: regression
  text: bool = False  # X is a column of strings


# --- Numbers ---------------------------------------------------------------


def pick(rng: Rng, items: Sequence[T]) -> T:
  return items[rng.integers(len(items))]


def whole(rng: Rng, low: float, high: float) -> str:
  """A whole number, uniform in the logarithm."""
  return str(round(log_uniform(rng, low, max(low, high))))


def real(rng: Rng, low: float, high: float) -> str:
  """A number of two digits, uniform in the logarithm."""
  x = log_uniform(rng, low, high)
  digits = max(1 - math.floor(math.log10(x)), 0)
  return f'{round(x, digits):.{digits}f}'.rstrip('0').rstrip('.') or '0'


def log_uniform(rng: Rng, low: float, high: float) -> float:
  return math.exp(rng.uniform(math.log(low), math.log(high)))


def _num_trees(shape: Shape) -> float:
  """How many trees fit the budget.

  A tree costs about 1.3 µs a row and 0.09 µs a cell of X (measured).
  """
  return _BUDGET_S / (shape.rows * (1.3e-6 + 9e-8 * shape.columns))


# --- Options ---------------------------------------------------


def stump(shape: Shape, rng: Rng) -> Options:
  return {
      'min_samples_leaf': whole(rng, shape.rows / 20, shape.rows / 3),
      'max_depth': whole(rng, 1, 2),
  }


def tree(shape: Shape, rng: Rng) -> Options:
  return {
      'min_samples_leaf': whole(rng, 2, 30),
      'max_depth': whole(rng, 5, 14),
  }


def small_forest(shape: Shape, rng: Rng) -> Options:
  return {
      'n_estimators': whole(rng, 2, 9),
      'max_depth': whole(rng, 1, 4),
  }


def forest(shape: Shape, rng: Rng) -> Options:
  return {
      'n_estimators': whole(rng, 20, min(150, _num_trees(shape))),
      'max_depth': whole(rng, 6, 25),
      'min_samples_leaf': whole(rng, 1, 6),
  }


def many_neighbours(shape: Shape, rng: Rng) -> Options:
  return {'n_neighbors': whole(rng, shape.rows / 5, shape.rows / 2)}


def neighbours(shape: Shape, rng: Rng) -> Options:
  return {
      'n_neighbors': whole(rng, 2, 30),
      'weights': "'distance'",
  }


def logistic(shape: Shape, rng: Rng) -> Options:
  return {
      'C': real(rng, 0.05, 20),
      'max_iter': whole(rng, 100, 500),
  }


def heavy_penalty(shape: Shape, rng: Rng) -> Options:
  return {'alpha': whole(rng, 1000, 90000)}


def ridge(shape: Shape, rng: Rng) -> Options:
  return {'alpha': real(rng, 0.02, 50)}


def counts(shape: Shape, rng: Rng) -> Options:
  return {'alpha': real(rng, 0.02, 3)}


def flat_counts(shape: Shape, rng: Rng) -> Options:
  return {'alpha': whole(rng, 200, 9000)}


def text_logistic(shape: Shape, rng: Rng) -> Options:
  return {'C': real(rng, 0.5, 50)}


def words(level: str, rng: Rng) -> Options:
  """Of a vectorizer."""
  if level == 'weak':
    return {'max_features': whole(rng, 3, 60)}
  if level == 'fair':
    return {'max_features': whole(rng, 200, 3000)}
  if rng.random() < 0.5:
    return {'min_df': whole(rng, 1, 5)}
  return {'ngram_range': '(1, 2)', 'min_df': whole(rng, 1, 4)}
