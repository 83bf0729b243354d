"""The grammar's estimators: families, from poor to strong, with their ranges.

A level says what is usual for a family on small tables, not what is true of a
given task: a linear model wins some, and a forest is poor at others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from ace_jax.envs.mle import options
from ace_jax.envs.mle.options import Options, Rng, Shape

_PIPELINE = 'from sklearn.pipeline import make_pipeline'
_TEXT = 'feature_extraction.text'
_VECTORIZERS = ('TfidfVectorizer', 'CountVectorizer')


@dataclasses.dataclass(frozen=True)
class Family:
  """One class of scikit-learn, and how its arguments are drawn."""

  module: str
  name: str
  options: Callable[[Shape, Rng], Options]


def draw(shape: Shape, level: str, rng: Rng) -> tuple[list[str], str]:
  """Draws an estimator.

  Args:
    shape: of the data.
    level: weak | fair | strong.
    rng: consumed.

  Returns:
    Import statements, and the expression that builds it.
  """
  table = _table(text=shape.text, classes=shape.classes)
  family = options.pick(rng, table[level])
  steps = []
  if shape.text:
    steps.append(_vectorizer(level, rng))
  drawn = list(family.options(shape, rng).items())
  # The first option makes the family what it is here. The others stay at
  # their defaults more often than not: shorter, and still of many forms.
  kept = drawn[:1] + [option for option in drawn[1:] if rng.random() < 0.3]
  steps.append((family.module, family.name, _arguments(kept)))
  needed = [_import(*step[:2]) for step in steps]
  calls = [f'{name}({args})' for _, name, args in steps]
  if len(steps) == 1:
    return needed, calls[0]
  return [_PIPELINE, *needed], f'make_pipeline({", ".join(calls)})'


def imports(*, text: bool, classes: int) -> list[str]:
  """Import statements of all families for such data, each once."""
  statements = {}  # an ordered set
  if text:
    statements = dict.fromkeys(
        [_PIPELINE, *(_import(_TEXT, name) for name in _VECTORIZERS)]
    )
  for families in _table(text=text, classes=classes).values():
    statements |= {_import(f.module, f.name): None for f in families}
  return list(statements)


def _table(*, text: bool, classes: int) -> Mapping[str, Sequence[Family]]:
  if text:
    return TEXT_CLASSIFIERS if classes else TEXT_REGRESSORS
  return CLASSIFIERS if classes else REGRESSORS


def _import(module: str, name: str) -> str:
  return f'from sklearn.{module} import {name}'


def _arguments(drawn: Iterable[tuple[str, str]]) -> str:
  return ', '.join(f'{name}={value}' for name, value in drawn)


def _vectorizer(level: str, rng: Rng) -> tuple[str, str, str]:
  """(module, name, arguments): few words, many words, or word pairs."""
  name = options.pick(rng, _VECTORIZERS)
  drawn = options.words(level, rng)
  return _TEXT, name, _arguments(drawn.items())


# --- The tables ------------------------------------------------------------

# Few families, in pairs that share a name: a small policy has to learn each
# class's module and arguments from a few examples. Hyper-parameters, drawn
# from wide ranges, make the programs differ. Boosting is left to the policy:
# it grows a tree per class and round, and a number of rounds copied from a
# table of two classes runs out of time on one of ten.
_KNN_C = ('neighbors', 'KNeighborsClassifier')
_KNN_R = ('neighbors', 'KNeighborsRegressor')
_TREE_C = ('tree', 'DecisionTreeClassifier')
_TREE_R = ('tree', 'DecisionTreeRegressor')
_RF_C = ('ensemble', 'RandomForestClassifier')
_RF_R = ('ensemble', 'RandomForestRegressor')
_LOGISTIC = ('linear_model', 'LogisticRegression')
_RIDGE = ('linear_model', 'Ridge')
_BAYES = ('naive_bayes', 'MultinomialNB')

CLASSIFIERS = {
    'weak': (
        Family(*_TREE_C, options.stump),
        Family(*_KNN_C, options.many_neighbours),
        Family(*_RF_C, options.small_forest),
    ),
    'fair': (
        Family(*_TREE_C, options.tree),
        Family(*_KNN_C, options.neighbours),
        Family(*_LOGISTIC, options.logistic),
    ),
    'strong': (
        Family(*_RF_C, options.forest),
        Family('ensemble', 'ExtraTreesClassifier', options.forest),
    ),
}
REGRESSORS = {
    'weak': (
        Family(*_TREE_R, options.stump),
        Family(*_KNN_R, options.many_neighbours),
        Family(*_RF_R, options.small_forest),
    ),
    'fair': (
        Family(*_TREE_R, options.tree),
        Family(*_KNN_R, options.neighbours),
        Family(*_RIDGE, options.ridge),
    ),
    'strong': (
        Family(*_RF_R, options.forest),
        Family('ensemble', 'ExtraTreesRegressor', options.forest),
    ),
}
TEXT_CLASSIFIERS = {
    'weak': (
        Family(*_BAYES, options.flat_counts),
        Family(*_TREE_C, options.stump),
        Family(*_KNN_C, options.many_neighbours),
    ),
    'fair': (
        Family(*_TREE_C, options.tree),
        Family(*_KNN_C, options.neighbours),
        Family(*_RF_C, options.small_forest),
    ),
    'strong': (
        Family(*_BAYES, options.counts),
        Family(*_LOGISTIC, options.text_logistic),
    ),
}
TEXT_REGRESSORS = {
    'weak': (Family(*_RIDGE, options.heavy_penalty),),
    'fair': (Family(*_KNN_R, options.neighbours),),
    'strong': (Family(*_RIDGE, options.ridge),),
}
