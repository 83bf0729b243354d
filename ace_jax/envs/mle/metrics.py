"""The metrics that tasks are scored by, through scikit-learn.

A metric says what a submission holds: a `label` per row, a `value`, the
`probability` of the positive class, or `probabilities`, one column a class.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk


@dataclasses.dataclass(frozen=True)
class Metric:
  fn: Callable[..., float]  # (answers, predictions, classes) → score
  lower_is_better: bool
  needs: str  # label | value | probability | probabilities
  kinds: tuple[str, ...]  # kinds of task that it fits
  title: str  # how a description names it


def accuracy(answers: np.ndarray, labels: np.ndarray, classes) -> float:
  """Share of equal labels, [N] strings each."""
  del classes
  return sk.accuracy_score(answers, labels)


def macro_f1(answers: np.ndarray, labels: np.ndarray, classes) -> float:
  """F1 of each class of the answers, averaged without weights."""
  del classes
  return sk.f1_score(
      answers, labels, labels=np.unique(answers), average='macro',
      zero_division=0)


def quadratic_kappa(answers: np.ndarray, labels: np.ndarray, classes) -> float:
  """Cohen's kappa, disagreement weighted by squared distance in `classes`.

  `classes` are in their order; with a single class on both sides kappa is
  undefined (0/0) and we say 0: no agreement beyond chance was shown.
  """
  rank = {label: i for i, label in enumerate(classes)}
  a = [rank[x] for x in answers]
  b = [rank[x] for x in labels]
  if len(set(a) | set(b)) < 2:
    return 0.0
  return sk.cohen_kappa_score(
      a, b, labels=list(range(len(classes))), weights='quadratic')


def auc(answers: np.ndarray, probability: np.ndarray, classes) -> float:
  """Area under the ROC curve; answers [N] '0' or '1', probability [N]."""
  del classes
  return sk.roc_auc_score(answers == '1', probability)


def log_loss(answers: np.ndarray, probability: np.ndarray, classes) -> float:
  """Mean negative log-likelihood in nats.

  probability: [N] of the class '1', or [N, C] in the order of `classes`.
  """
  if probability.ndim == 2:
    probability = probability / probability.sum(1, keepdims=True)
    # By number: scikit-learn takes the columns in the order of sorted labels.
    rank = {label: i for i, label in enumerate(classes)}
    return sk.log_loss([rank[x] for x in answers], probability,
                       labels=list(range(len(classes))))
  return sk.log_loss(
      (answers == '1').astype(int),
      np.stack([1 - probability, probability], 1), labels=[0, 1])


def rmse(answers: np.ndarray, values: np.ndarray, classes) -> float:
  del classes
  return math.sqrt(sk.mean_squared_error(answers, values))


def mae(answers: np.ndarray, values: np.ndarray, classes) -> float:
  del classes
  return sk.mean_absolute_error(answers, values)


BOTH = ('binary', 'multiclass')
METRICS = {
    'accuracy': Metric(accuracy, False, 'label', BOTH, 'accuracy'),
    'macro_f1': Metric(macro_f1, False, 'label', BOTH, 'macro-averaged F1'),
    'quadratic_kappa': Metric(
        quadratic_kappa, False, 'label', BOTH, 'quadratic weighted kappa'),
    'auc': Metric(auc, False, 'probability', ('binary',), 'ROC AUC'),
    'log_loss': Metric(log_loss, True, 'probability', ('binary',), 'log loss'),
    'multi_log_loss': Metric(
        log_loss, True, 'probabilities', ('multiclass',),
        'multi-class log loss'),
    'rmse': Metric(
        rmse, True, 'value', ('regression',), 'root mean squared error'),
    'mae': Metric(mae, True, 'value', ('regression',), 'mean absolute error'),
}
