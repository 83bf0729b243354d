"""The grammar's estimators: families, from poor to strong, with their ranges.

A level says what is usual for a family on small tables, not what is true of a
given task: a linear model wins some, and a forest is poor at others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Shape:
  """What the choice of an estimator depends on."""

  rows: int  # of train.csv
  columns: int  # of X, about
  classes: int  # 0: regression
  probabilities: bool  # the metric wants predict_proba
  absolute: bool = False  # the metric is an absolute error
  text: bool = False  # X is a column of strings
  dense: bool = True  # nothing is missing in X


@dataclasses.dataclass(frozen=True)
class Family:
  """One class of scikit-learn, and how its arguments are drawn."""

  module: str
  name: str
  options: Callable[[Shape, Rng], dict[str, str]]
  scaled: bool = False  # behind a scaler
  probabilities: bool = True  # has predict_proba
  missing: bool = False  # takes NaN
  bounded: bool = False  # a regressor that stays within the training labels


def draw(
    shape: Shape, level: str, rng: Rng, *, bounded: bool = False
) -> tuple[list[str], str]:
  """Draws an estimator.

  Args:
    shape: of the data.
    level: weak | fair | strong.
    rng: consumed.
    bounded: only regressors whose predictions stay within the labels seen.

  Returns:
    Import statements, and the expression that builds it.
  """
  if shape.text:
    table = TEXT_CLASSIFIERS if shape.classes else TEXT_REGRESSORS
  else:
    table = CLASSIFIERS if shape.classes and not bounded else REGRESSORS
  families = [
      f for f in table[level]
      if (f.probabilities or not shape.probabilities)
      and (f.bounded or not bounded)
  ]
  family = _pick(rng, families)
  steps = []
  if shape.text:
    steps.append(_vectorizer(level, rng))
  elif not (shape.dense or family.missing):
    strategy = _pick(rng, ['mean', 'median', 'most_frequent'])
    steps.append(('impute', 'SimpleImputer', f"strategy='{strategy}'"))
  if family.scaled:
    scaler = _pick(rng, ['StandardScaler'] * 3 + ['MinMaxScaler'])
    steps.append(('preprocessing', scaler, ''))
  # Half of the options are left at their defaults, so that programs differ in
  # length as well as in numbers; the first one is what makes the level.
  options = list(family.options(shape, rng).items())
  kept = options[:1] + [o for o in options[1:] if rng.random() < 0.5]
  steps.append(
      (family.module, family.name, ', '.join(f'{k}={v}' for k, v in kept))
  )
  imports = [f'from sklearn.{module} import {name}' for module, name, _ in steps]
  calls = [f'{name}({args})' for _, name, args in steps]
  if len(steps) == 1:
    return imports, calls[0]
  pipeline = 'from sklearn.pipeline import make_pipeline'
  return [pipeline, *imports], f'make_pipeline({", ".join(calls)})'


# --- Numbers ---------------------------------------------------------------


def _pick(rng: Rng, items: list) -> object:
  return items[rng.integers(len(items))]


def _whole(rng: Rng, low: float, high: float) -> str:
  """A whole number, uniform in the logarithm."""
  return str(round(_log_uniform(rng, low, max(low, high))))


def _real(rng: Rng, low: float, high: float) -> str:
  """A number of two digits, uniform in the logarithm."""
  x = _log_uniform(rng, low, high)
  digits = max(1 - math.floor(math.log10(x)), 0)
  return f'{round(x, digits):.{digits}f}'.rstrip('0').rstrip('.') or '0'


def _log_uniform(rng: Rng, low: float, high: float) -> float:
  return math.exp(rng.uniform(math.log(low), math.log(high)))


def _quoted(rng: Rng, *items: str) -> str:
  return repr(_pick(rng, list(items)))


def _most(shape: Shape, per_unit: float, *, outputs: bool = False) -> float:
  """How many trees or rounds fit about 1.5 s of one core.

  Args:
    shape: of the data.
    per_unit: seconds for a million cells of X.
    outputs: whether a round costs once per class.
  """
  cells = shape.rows * shape.columns / 1e6
  if outputs and shape.classes > 2:
    cells *= shape.classes
  return max(1.5 / (per_unit * cells + 0.002), 5)


# --- Options of a family ---------------------------------------------------


def _dummy_classifier(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'strategy': _quoted(rng, 'prior', 'most_frequent', 'stratified')}


def _dummy_regressor(shape: Shape, rng: Rng) -> dict[str, str]:
  if rng.random() < 0.5:
    return {'strategy': _quoted(rng, 'mean', 'median')}
  return {'quantile': _real(rng, 0.1, 0.9), 'strategy': "'quantile'"}


def _stump(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'max_depth': _whole(rng, 1, 2),
      'min_samples_leaf': _whole(rng, 2, shape.rows / 8),
  }


def _tree(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'max_depth': _whole(rng, 3, 14),
      'min_samples_leaf': _whole(rng, 2, 30),
  }


def _small_forest(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'n_estimators': _whole(rng, 2, 9),
      'max_depth': _whole(rng, 1, 4),
  }


def _forest(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'n_estimators': _whole(rng, 40, min(300, _most(shape, 0.4))),
      'max_depth': _whole(rng, 6, 25),
      'min_samples_leaf': _whole(rng, 1, 6),
      'max_features': _real(rng, 0.2, 0.9),
  }


def _boosting(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'n_estimators': _whole(
          rng, 20, min(300, _most(shape, 0.5, outputs=True))
      ),
      'learning_rate': _real(rng, 0.02, 0.4),
      'max_depth': _whole(rng, 2, 4),
      'subsample': _real(rng, 0.4, 0.95),
  }


def _hist(shape: Shape, rng: Rng) -> dict[str, str]:
  most = _most(shape, 0.05, outputs=True) / max(shape.classes / 2, 1) / 2
  drawn = {
      'max_iter': _whole(rng, 15, min(300, most)),
      'learning_rate': _real(rng, 0.02, 0.4),
      'max_leaf_nodes': _whole(rng, 4, 40),
      'l2_regularization': _real(rng, 0.1, 10),
  }
  if shape.absolute:
    drawn['loss'] = "'absolute_error'"
  return drawn


def _few_rounds(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'n_estimators': _whole(rng, 2, 6)}


def _ada(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'n_estimators': _whole(rng, 20, min(120, _most(shape, 0.4))),
      'learning_rate': _real(rng, 0.1, 1.5),
  }


def _bagging(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'n_estimators': _whole(rng, 15, min(80, _most(shape, 1.0))),
      'max_samples': _real(rng, 0.4, 0.95),
      'max_features': _real(rng, 0.4, 0.95),
  }


def _many_neighbours(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'n_neighbors': _whole(rng, shape.rows / 5, shape.rows / 2)}


def _neighbours(shape: Shape, rng: Rng) -> dict[str, str]:
  return {
      'n_neighbors': _whole(rng, 2, 30),
      'weights': "'distance'",
      'p': '1',
  }


def _over_regularised(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'C': _real(rng, 0.0002, 0.01), 'max_iter': _whole(rng, 10, 60)}


def _logistic(shape: Shape, rng: Rng) -> dict[str, str]:
  drawn = {
      'C': _real(rng, 0.05, 20),
      'max_iter': _whole(rng, 200, 900),
  }
  if not shape.probabilities:
    drawn['class_weight'] = "'balanced'"
  return drawn


def _linear_svc(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'C': _real(rng, 0.05, 5)}


def _svm(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'C': _real(rng, 0.3, 30), 'gamma': _real(rng, 0.01, 0.3)}


def _heavy_penalty(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'alpha': _whole(rng, 1000, 90000)}


def _ridge(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'alpha': _real(rng, 0.02, 50)}


def _elastic(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'alpha': _real(rng, 0.02, 2), 'l1_ratio': _real(rng, 0.1, 0.9)}


def _sgd(shape: Shape, rng: Rng) -> dict[str, str]:
  loss = "'log_loss'" if shape.probabilities else _quoted(
      rng, 'log_loss', 'modified_huber', 'hinge')
  return {'loss': loss, 'alpha': _real(rng, 0.0001, 0.03)}


def _smoothing(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'var_smoothing': _real(rng, 0.0001, 0.5)}


def _binary_bayes(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'alpha': _real(rng, 0.1, 20), 'binarize': _real(rng, 0.1, 5)}


def _shrinkage(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'solver': "'lsqr'", 'shrinkage': _real(rng, 0.05, 0.9)}


def _mlp(shape: Shape, rng: Rng) -> dict[str, str]:
  epochs = min(300, 1e5 / shape.rows)
  return {
      'hidden_layer_sizes': f'({_whole(rng, 15, 90)},)',
      'max_iter': _whole(rng, epochs / 2, epochs),
      'alpha': _real(rng, 0.001, 2),
      'learning_rate_init': _real(rng, 0.002, 0.03),
  }


def _none(shape: Shape, rng: Rng) -> dict[str, str]:
  return {}


def _counts(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'alpha': _real(rng, 0.02, 3)}


def _flat_counts(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'alpha': _whole(rng, 200, 9000)}


def _text_logistic(shape: Shape, rng: Rng) -> dict[str, str]:
  return {'C': _real(rng, 0.5, 50)}


def _vectorizer(level: str, rng: Rng) -> tuple[str, str, str]:
  name = _pick(rng, ['TfidfVectorizer'] * 2 + ['CountVectorizer'])
  if level == 'weak':
    options = {'max_features': _whole(rng, 3, 60)}
  elif level == 'fair':
    options = {
        'max_features': _whole(rng, 200, 3000), 'stop_words': "'english'"
    }
  else:
    options = {
        'ngram_range': f'(1, {rng.integers(1, 3)})',
        'min_df': _whole(rng, 1, 4),
        'max_df': _real(rng, 0.3, 0.9),
    }
  kept = {k: v for k, v in options.items() if rng.random() < 0.7}
  if level == 'weak':
    kept = options
  args = ', '.join(f'{k}={v}' for k, v in kept.items())
  return 'feature_extraction.text', name, args


# --- The tables ------------------------------------------------------------

_TREE_C = ('tree', 'DecisionTreeClassifier')
_TREE_R = ('tree', 'DecisionTreeRegressor')
_KNN_C = ('neighbors', 'KNeighborsClassifier')
_KNN_R = ('neighbors', 'KNeighborsRegressor')
_RF_C = ('ensemble', 'RandomForestClassifier')
_RF_R = ('ensemble', 'RandomForestRegressor')
_ET_C = ('ensemble', 'ExtraTreesClassifier')
_ET_R = ('ensemble', 'ExtraTreesRegressor')
_LOGISTIC = ('linear_model', 'LogisticRegression')
_DUMMY_C = Family('dummy', 'DummyClassifier', _dummy_classifier)
_DUMMY_R = Family('dummy', 'DummyRegressor', _dummy_regressor, bounded=True)

CLASSIFIERS = {
    'weak': (
        _DUMMY_C,
        Family(*_TREE_C, _stump),
        Family(*_KNN_C, _many_neighbours),
        Family(*_LOGISTIC, _over_regularised),
        Family(*_RF_C, _small_forest),
        Family('ensemble', 'AdaBoostClassifier', _few_rounds),
        Family('naive_bayes', 'BernoulliNB', _binary_bayes),
        Family('linear_model', 'RidgeClassifier', _heavy_penalty,
               probabilities=False),
    ),
    'fair': (
        Family('naive_bayes', 'GaussianNB', _smoothing),
        Family(*_TREE_C, _tree),
        Family(*_KNN_C, _neighbours),
        Family('discriminant_analysis', 'LinearDiscriminantAnalysis',
               _shrinkage),
        Family('linear_model', 'SGDClassifier', _sgd, scaled=True),
        Family('ensemble', 'AdaBoostClassifier', _ada),
        Family('linear_model', 'RidgeClassifier', _ridge, scaled=True,
               probabilities=False),
        Family(*_LOGISTIC, _logistic, scaled=True),
    ),
    'strong': (
        Family(*_RF_C, _forest),
        Family(*_ET_C, _forest),
        Family('ensemble', 'GradientBoostingClassifier', _boosting),
        Family('ensemble', 'HistGradientBoostingClassifier', _hist,
               missing=True),
        Family('ensemble', 'BaggingClassifier', _bagging),
        Family('svm', 'SVC', _svm, scaled=True, probabilities=False),
        Family('neural_network', 'MLPClassifier', _mlp, scaled=True),
        Family(*_KNN_C, _neighbours, scaled=True),
    ),
}
REGRESSORS = {
    'weak': (
        _DUMMY_R,
        Family(*_TREE_R, _stump, bounded=True),
        Family(*_KNN_R, _many_neighbours, bounded=True),
        Family(*_RF_R, _small_forest, bounded=True),
        Family('ensemble', 'AdaBoostRegressor', _few_rounds),
        Family('linear_model', 'Ridge', _heavy_penalty),
        Family('linear_model', 'Lasso', _heavy_penalty),
    ),
    'fair': (
        Family('linear_model', 'LinearRegression', _none),
        Family('linear_model', 'Ridge', _ridge, scaled=True),
        Family('linear_model', 'Lasso', _ridge, scaled=True),
        Family('linear_model', 'ElasticNet', _elastic, scaled=True),
        Family(*_TREE_R, _tree, bounded=True),
        Family(*_KNN_R, _neighbours, bounded=True),
        Family('ensemble', 'AdaBoostRegressor', _ada),
        Family('linear_model', 'BayesianRidge', _none),
    ),
    'strong': (
        Family(*_RF_R, _forest, bounded=True),
        Family(*_ET_R, _forest, bounded=True),
        Family('ensemble', 'GradientBoostingRegressor', _boosting),
        Family('ensemble', 'HistGradientBoostingRegressor', _hist,
               missing=True),
        Family('ensemble', 'BaggingRegressor', _bagging, bounded=True),
        Family(*_KNN_R, _neighbours, scaled=True, bounded=True),
        Family('svm', 'SVR', _svm, scaled=True),
    ),
}
TEXT_CLASSIFIERS = {
    'weak': (
        _DUMMY_C,
        Family('naive_bayes', 'MultinomialNB', _flat_counts),
        Family(*_TREE_C, _stump),
        Family(*_LOGISTIC, _over_regularised),
        Family(*_KNN_C, _many_neighbours),
    ),
    'fair': (
        Family('naive_bayes', 'BernoulliNB', _counts),
        Family(*_TREE_C, _tree),
        Family(*_KNN_C, _neighbours),
        Family(*_RF_C, _small_forest),
        Family(*_LOGISTIC, _logistic),
    ),
    'strong': (
        Family('naive_bayes', 'MultinomialNB', _counts),
        Family('naive_bayes', 'ComplementNB', _counts),
        Family(*_LOGISTIC, _text_logistic),
        Family('linear_model', 'SGDClassifier', _sgd),
        Family('svm', 'LinearSVC', _linear_svc, probabilities=False),
    ),
}
TEXT_REGRESSORS = {
    'weak': (_DUMMY_R, Family('linear_model', 'Ridge', _heavy_penalty)),
    'fair': (Family(*_KNN_R, _neighbours, bounded=True),),
    'strong': (Family('linear_model', 'Ridge', _ridge),),
}
