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


def draw(shape: Shape, level: str, rng: Rng) -> tuple[list[str], str]:
  """Draws an estimator.

  Args:
    shape: of the data.
    level: weak | fair | strong.
    rng: consumed.

  Returns:
    Import statements, and the expression that builds it.
  """
  if shape.text:
    table = TEXT_CLASSIFIERS if shape.classes else TEXT_REGRESSORS
  else:
    table = CLASSIFIERS if shape.classes else REGRESSORS
  families = [
      f for f in table[level]
      if f.probabilities or not shape.probabilities
  ]
  family = options.pick(rng, families)
  steps = []
  if shape.text:
    steps.append(_vectorizer(level, rng))
  if family.scaled:
    steps.append(('preprocessing', 'StandardScaler', ''))
  drawn = list(family.options(shape, rng).items())
  # The first option makes the family what it is here. The others stay at
  # their defaults more often than not: shorter, and still of many forms.
  kept = drawn[:1] + [option for option in drawn[1:] if rng.random() < 0.3]
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

# Few families, most of them in pairs: a policy that has learnt one of a pair
# has nearly learnt the other. Their hyper-parameters make the programs differ.
_KNN_C = ('neighbors', 'KNeighborsClassifier')
_KNN_R = ('neighbors', 'KNeighborsRegressor')
_TREE_C = ('tree', 'DecisionTreeClassifier')
_TREE_R = ('tree', 'DecisionTreeRegressor')
_RF_C = ('ensemble', 'RandomForestClassifier')
_RF_R = ('ensemble', 'RandomForestRegressor')
_LOGISTIC = ('linear_model', 'LogisticRegression')

CLASSIFIERS = {
    'weak': (
        Family('dummy', 'DummyClassifier', options.dummy_classifier),
        Family(*_TREE_C, options.stump),
        Family(*_KNN_C, options.many_neighbours),
        Family(*_RF_C, options.small_forest),
        Family('ensemble', 'AdaBoostClassifier', options.few_rounds),
    ),
    'fair': (
        Family('naive_bayes', 'GaussianNB', options.smoothing),
        Family(*_TREE_C, options.tree),
        Family(*_KNN_C, options.neighbours),
        Family('ensemble', 'AdaBoostClassifier', options.ada),
        Family(*_LOGISTIC, options.logistic, scaled=True),
    ),
    'strong': (
        Family(*_RF_C, options.forest),
        Family('ensemble', 'ExtraTreesClassifier', options.forest),
        Family('ensemble', 'GradientBoostingClassifier', options.boosting),
        Family('ensemble', 'HistGradientBoostingClassifier', options.hist),
        Family('svm', 'SVC', options.svm, scaled=True, probabilities=False),
    ),
}
REGRESSORS = {
    'weak': (
        Family('dummy', 'DummyRegressor', options.dummy_regressor),
        Family(*_TREE_R, options.stump),
        Family(*_KNN_R, options.many_neighbours),
        Family(*_RF_R, options.small_forest),
        Family('ensemble', 'AdaBoostRegressor', options.few_rounds),
    ),
    'fair': (
        Family('linear_model', 'LinearRegression', options.none),
        Family(*_TREE_R, options.tree),
        Family(*_KNN_R, options.neighbours),
        Family('ensemble', 'AdaBoostRegressor', options.ada),
        Family('linear_model', 'Ridge', options.ridge, scaled=True),
    ),
    'strong': (
        Family(*_RF_R, options.forest),
        Family('ensemble', 'ExtraTreesRegressor', options.forest),
        Family('ensemble', 'GradientBoostingRegressor', options.boosting),
        Family('ensemble', 'HistGradientBoostingRegressor', options.hist),
        Family('svm', 'SVR', options.svm, scaled=True),
    ),
}
TEXT_CLASSIFIERS = {
    'weak': (
        Family('dummy', 'DummyClassifier', options.dummy_classifier),
        Family('naive_bayes', 'MultinomialNB', options.flat_counts),
        Family(*_TREE_C, options.stump),
        Family(*_KNN_C, options.many_neighbours),
    ),
    'fair': (
        Family(*_TREE_C, options.tree),
        Family(*_KNN_C, options.neighbours),
        Family(*_RF_C, options.small_forest),
        Family(*_LOGISTIC, options.logistic),
    ),
    'strong': (
        Family('naive_bayes', 'MultinomialNB', options.counts),
        Family(*_LOGISTIC, options.text_logistic),
        Family('svm', 'LinearSVC', options.linear_svc, probabilities=False),
    ),
}
TEXT_REGRESSORS = {
    'weak': (
        Family('dummy', 'DummyRegressor', options.dummy_regressor),
        Family('linear_model', 'Ridge', options.heavy_penalty),
    ),
    'fair': (Family(*_KNN_R, options.neighbours),),
    'strong': (Family('linear_model', 'Ridge', options.ridge),),
}
