"""The grammar's estimators: families, from poor to strong, with their ranges.

A level says what is usual for a family on small tables, not what is true of a
given task: a linear model wins some, and a forest is poor at others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from ace_jax.envs.mle import options
from ace_jax.envs.mle.options import Options, Rng, Shape


@dataclasses.dataclass(frozen=True)
class Family:
  """One class of scikit-learn, and how its arguments are drawn."""

  module: str
  name: str
  options: Callable[[Shape, Rng], Options]
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
  family = options.pick(rng, families)
  steps = []
  if shape.text:
    steps.append(_vectorizer(level, rng))
  elif not (shape.dense or family.missing):
    strategy = options.pick(rng, ['mean', 'median', 'most_frequent'])
    steps.append(('impute', 'SimpleImputer', f"strategy='{strategy}'"))
  if family.scaled:
    scaler = options.pick(rng, ['StandardScaler'] * 3 + ['MinMaxScaler'])
    steps.append(('preprocessing', scaler, ''))
  drawn = list(family.options(shape, rng).items())
  # The first option makes the family what it is here. The others stay at
  # their defaults more often than not: shorter, and still of many forms.
  kept = drawn[:1] + [option for option in drawn[1:] if rng.random() < 0.4]
  steps.append((family.module, family.name, _arguments(kept)))
  imports = [f'from sklearn.{step[0]} import {step[1]}' for step in steps]
  calls = [f'{name}({args})' for _, name, args in steps]
  if len(steps) == 1:
    return imports, calls[0]
  pipeline = 'from sklearn.pipeline import make_pipeline'
  return [pipeline, *imports], f'make_pipeline({", ".join(calls)})'


def _arguments(drawn: Iterable[tuple[str, str]]) -> str:
  return ', '.join(f'{name}={value}' for name, value in drawn)


def _vectorizer(level: str, rng: Rng) -> tuple[str, str, str]:
  """(module, name, arguments): few words, many words, or word pairs."""
  name = options.pick(rng, ['TfidfVectorizer', 'CountVectorizer'])
  drawn = options.words(level, rng)
  return 'feature_extraction.text', name, _arguments(drawn.items())


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
_DUMMY_C = Family('dummy', 'DummyClassifier', options.dummy_classifier)
_DUMMY_R = Family('dummy', 'DummyRegressor', options.dummy_regressor,
                  bounded=True)

CLASSIFIERS = {
    'weak': (
        _DUMMY_C,
        Family(*_TREE_C, options.stump),
        Family(*_KNN_C, options.many_neighbours),
        Family(*_LOGISTIC, options.over_regularised),
        Family(*_RF_C, options.small_forest),
        Family('ensemble', 'AdaBoostClassifier', options.few_rounds),
        Family('naive_bayes', 'BernoulliNB', options.binary_bayes),
        Family('linear_model', 'RidgeClassifier', options.heavy_penalty,
               probabilities=False),
    ),
    'fair': (
        Family('naive_bayes', 'GaussianNB', options.smoothing),
        Family(*_TREE_C, options.tree),
        Family(*_KNN_C, options.neighbours),
        Family('discriminant_analysis', 'LinearDiscriminantAnalysis',
               options.shrinkage),
        Family('linear_model', 'SGDClassifier', options.sgd, scaled=True),
        Family('ensemble', 'AdaBoostClassifier', options.ada),
        Family('linear_model', 'RidgeClassifier', options.ridge, scaled=True,
               probabilities=False),
        Family(*_LOGISTIC, options.logistic, scaled=True),
    ),
    'strong': (
        Family(*_RF_C, options.forest),
        Family(*_ET_C, options.forest),
        Family('ensemble', 'GradientBoostingClassifier', options.boosting),
        Family('ensemble', 'HistGradientBoostingClassifier', options.hist,
               missing=True),
        Family('ensemble', 'BaggingClassifier', options.bagging),
        Family('svm', 'SVC', options.svm, scaled=True, probabilities=False),
        Family('neural_network', 'MLPClassifier', options.mlp, scaled=True),
        Family(*_KNN_C, options.neighbours, scaled=True),
    ),
}
REGRESSORS = {
    'weak': (
        _DUMMY_R,
        Family(*_TREE_R, options.stump, bounded=True),
        Family(*_KNN_R, options.many_neighbours, bounded=True),
        Family(*_RF_R, options.small_forest, bounded=True),
        Family('ensemble', 'AdaBoostRegressor', options.few_rounds),
        Family('linear_model', 'Ridge', options.heavy_penalty),
        Family('linear_model', 'Lasso', options.heavy_penalty),
    ),
    'fair': (
        Family('linear_model', 'LinearRegression', options.none),
        Family('linear_model', 'Ridge', options.ridge, scaled=True),
        Family('linear_model', 'Lasso', options.ridge, scaled=True),
        Family('linear_model', 'ElasticNet', options.elastic, scaled=True),
        Family(*_TREE_R, options.tree, bounded=True),
        Family(*_KNN_R, options.neighbours, bounded=True),
        Family('ensemble', 'AdaBoostRegressor', options.ada),
        Family('linear_model', 'BayesianRidge', options.none),
    ),
    'strong': (
        Family(*_RF_R, options.forest, bounded=True),
        Family(*_ET_R, options.forest, bounded=True),
        Family('ensemble', 'GradientBoostingRegressor', options.boosting),
        Family('ensemble', 'HistGradientBoostingRegressor', options.hist,
               missing=True),
        Family('ensemble', 'BaggingRegressor', options.bagging, bounded=True),
        Family(*_KNN_R, options.neighbours, scaled=True, bounded=True),
        Family('svm', 'SVR', options.svm, scaled=True),
    ),
}
TEXT_CLASSIFIERS = {
    'weak': (
        _DUMMY_C,
        Family('naive_bayes', 'MultinomialNB', options.flat_counts),
        Family(*_TREE_C, options.stump),
        Family(*_LOGISTIC, options.over_regularised),
        Family(*_KNN_C, options.many_neighbours),
    ),
    'fair': (
        Family('naive_bayes', 'BernoulliNB', options.counts),
        Family(*_TREE_C, options.tree),
        Family(*_KNN_C, options.neighbours),
        Family(*_RF_C, options.small_forest),
        Family(*_LOGISTIC, options.logistic),
    ),
    'strong': (
        Family('naive_bayes', 'MultinomialNB', options.counts),
        Family('naive_bayes', 'ComplementNB', options.counts),
        Family(*_LOGISTIC, options.text_logistic),
        Family('linear_model', 'SGDClassifier', options.sgd),
        Family('svm', 'LinearSVC', options.linear_svc, probabilities=False),
    ),
}
TEXT_REGRESSORS = {
    'weak': (_DUMMY_R, Family('linear_model', 'Ridge', options.heavy_penalty)),
    'fair': (Family(*_KNN_R, options.neighbours, bounded=True),),
    'strong': (Family('linear_model', 'Ridge', options.ridge),),
}
