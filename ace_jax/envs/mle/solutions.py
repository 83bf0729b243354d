"""The reference solutions of a ladder, from a dummy to tuned ensembles.

Each is a function of nothing that returns an unfitted scikit-learn
estimator. `linear` is the untuned linear model that the middle of a
leaderboard has to beat. Everything is seeded and runs on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from pandas.api.types import is_numeric_dtype
from sklearn import (
  calibration,
  compose,
  decomposition,
  discriminant_analysis,
  dummy,
  impute,
  kernel_approximation,
  model_selection,
  neighbors,
  neural_network,
  pipeline,
  svm,
  tree,
)
from sklearn import ensemble as en
from sklearn import linear_model as lm
from sklearn import preprocessing as pre
from sklearn.base import BaseEstimator, ClassifierMixin

from ace_jax.envs.mle import layout

Solution = Callable[[], object]
SEED = 0


def tabular(*, kind: str, needs: str, frame) -> dict[str, Solution]:
  """Solutions for a table of numbers and short strings.

  Args:
    kind: binary | multiclass | regression.
    needs: what the metric needs, see `metrics.Metric`.
    frame: [N, C] training features, for the types of the columns.
  """
  text = [c for c in frame if not is_numeric_dtype(frame[c])]
  raw = partial(_table, text=text)
  if kind == 'regression':
    return _regression(raw)
  return _classification(raw, calibrate=needs.startswith('probabilit'))


def _table(model, *steps, text: list[str]):
  """Median imputation and one-hot codes, then steps, then the model."""
  numbers = pipeline.make_pipeline(
      impute.SimpleImputer(strategy='median', keep_empty_features=True))
  codes = pipeline.make_pipeline(
      impute.SimpleImputer(strategy='constant', fill_value='missing'),
      pre.OneHotEncoder(handle_unknown='ignore', sparse_output=False,
                        max_categories=20))
  columns = compose.ColumnTransformer(
      [('text', codes, text)], remainder=numbers)
  return pipeline.make_pipeline(columns, *steps, model)


def _scaled(raw):
  return lambda model, *steps: raw(model, pre.StandardScaler(), *steps)


def _classification(raw, calibrate: bool) -> dict[str, Solution]:
  scaled = _scaled(raw)
  forest, extra = en.RandomForestClassifier, en.ExtraTreesClassifier
  boost, hist = en.GradientBoostingClassifier, en.HistGradientBoostingClassifier
  logistic = partial(lm.LogisticRegression, max_iter=500)

  def mlp(units, seed=SEED, **kwargs):
    return neural_network.MLPClassifier(
        (units,), random_state=seed, **kwargs)

  def svc(**kwargs):
    model = svm.SVC(**kwargs)
    return calibration.CalibratedClassifierCV(model, cv=3) if (
        calibrate) else model

  def vote(*names):
    return en.VotingClassifier([(n, models[n]()) for n in names],
                               voting='soft')

  s = {'random_state': SEED}
  h = {'random_state': SEED, 'max_iter': 60, 'early_stopping': False}
  models = {
      'dummy': lambda: raw(dummy.DummyClassifier(strategy='prior')),
      'stump': lambda: raw(tree.DecisionTreeClassifier(max_depth=1, **s)),
      'tree_3': lambda: raw(tree.DecisionTreeClassifier(max_depth=3, **s)),
      'tree_leaf_20': lambda: raw(
          tree.DecisionTreeClassifier(min_samples_leaf=20, **s)),
      'linear': lambda: raw(lm.LogisticRegression()),
      'linear_scaled': lambda: scaled(logistic()),
      'linear_scaled_c10': lambda: scaled(logistic(C=10)),
      'linear_quantile': lambda: raw(
          logistic(), pre.QuantileTransformer(
              n_quantiles=100, output_distribution='normal', **s)),
      'linear_cv': lambda: scaled(search(
          logistic(), {'C': [0.01, 0.1, 1.0, 10.0]})),
      'knn_15': lambda: scaled(neighbors.KNeighborsClassifier(15)),
      'knn_15_distance': lambda: scaled(
          neighbors.KNeighborsClassifier(15, weights='distance')),
      'knn_cv': lambda: scaled(search(
          neighbors.KNeighborsClassifier(weights='distance'),
          {'n_neighbors': [3, 7, 15, 31, 61], 'p': [1, 2]})),
      'nystroem_linear': lambda: scaled(
          logistic(), kernel_approximation.Nystroem(n_components=150, **s)),
      'svm_1': lambda: scaled(svc(C=1)),
      'svm_10': lambda: scaled(svc(C=10)),
      'svm_cv': lambda: scaled(search(
          svm.SVC(), {'C': [0.5, 2, 8, 32], 'gamma': ['scale', 0.02]},
          calibrate)),
      'mlp_64': lambda: scaled(mlp(64, max_iter=80, alpha=0.1)),
      'mlp_5': lambda: scaled(en.VotingClassifier(
          [(str(i), mlp(32, i, max_iter=50, alpha=1.0)) for i in range(5)],
          voting='soft')),
      'bagged_trees': lambda: raw(en.BaggingClassifier(
          tree.DecisionTreeClassifier(min_samples_leaf=3), 40, **s)),
      'forest_30': lambda: raw(forest(30, min_samples_leaf=2, **s)),
      'forest_100': lambda: raw(forest(100, **s)),
      'forest_leaf_3': lambda: raw(forest(150, min_samples_leaf=3, **s)),
      'forest_wide': lambda: raw(forest(
          100, min_samples_leaf=3, max_features=0.5, **s)),
      'forest_cv': lambda: raw(search(
          forest(60, **s), {'min_samples_leaf': [1, 4],
                            'max_features': ['sqrt', 0.5]})),
      'extra_100': lambda: raw(extra(100, **s)),
      'extra_leaf_3': lambda: raw(extra(150, min_samples_leaf=3, **s)),
      'extra_wide': lambda: raw(extra(
          150, min_samples_leaf=2, max_features=0.7, **s)),
      'extra_cv': lambda: raw(search(
          extra(80, **s), {'min_samples_leaf': [1, 4],
                           'max_features': ['sqrt', 0.7]})),
      'boost_30': lambda: raw(boost(n_estimators=30, max_features=0.5, **s)),
      'boost_60': lambda: raw(boost(
          n_estimators=60, subsample=0.7, max_features='sqrt', **s)),
      'boost_deep': lambda: raw(boost(
          n_estimators=60, max_depth=5, subsample=0.6, max_features='sqrt',
          min_samples_leaf=5, **s)),
      'hist': lambda: raw(hist(**h)),
      'hist_slow': lambda: raw(hist(
          **h, learning_rate=0.06, max_leaf_nodes=12)),
      'hist_leaf_30': lambda: raw(hist(
          **h, min_samples_leaf=30, l2_regularization=3.0)),
      'hist_columns': lambda: raw(hist(
          **h, max_features=0.4, learning_rate=0.08, max_leaf_nodes=16)),
      'hist_cv': lambda: raw(search(
          hist(**h), {'max_leaf_nodes': [5, 12]})),
      'vote_trees': lambda: vote('forest_leaf_3', 'extra_leaf_3', 'hist_slow'),
      'vote_mixed': lambda: vote(
          'linear_scaled', 'extra_wide', 'boost_60', 'mlp_64'),
      'vote_boosted': lambda: vote('boost_deep', 'hist_columns', 'extra_wide'),
      'stack': lambda: en.StackingClassifier(
          [(n, models[n]()) for n in
           ('linear_scaled', 'extra_wide', 'boost_60', 'knn_15')],
          logistic(C=0.3), cv=3),
  }
  return models


def image(*, frame) -> dict[str, Solution]:
  """Labels for an image a row: as for tables, and more by distance.

  Args:
    frame: [N, C] pixels of the training images.
  """
  knn = neighbors.KNeighborsClassifier
  pca = partial(decomposition.PCA, 30, random_state=SEED)
  make = pipeline.make_pipeline
  return tabular(kind='multiclass', needs='label', frame=frame) | {
      'knn_3': lambda: knn(3),
      'knn_1': lambda: knn(1),
      'knn_5_distance': lambda: knn(5, weights='distance'),
      'pca_knn_3': lambda: make(pca(), knn(3)),
      'pca_svm_5': lambda: make(pca(), svm.SVC(C=5)),
      'pca_discriminant': lambda: make(
          pca(), discriminant_analysis.QuadraticDiscriminantAnalysis(
              reg_param=0.1)),
      'pca_svm_cv': lambda: make(pca(), search(
          svm.SVC(), {'C': [1, 5, 20], 'gamma': [0.0005, 0.001, 0.002]})),
      'pca_scaled_svm': lambda: make(
          pre.MinMaxScaler(), pca(), svm.SVC(C=10)),
      'svm_pixels': lambda: svm.SVC(C=10, gamma=0.001),
      'svm_pixels_wide': lambda: svm.SVC(C=10, gamma=0.002),
      'svm_squares': lambda: svm.SVC(kernel='poly', degree=2, C=5),
      'svm_cubes': lambda: svm.SVC(kernel='poly', degree=3, C=5),
      'mlp_128': lambda: make(
          pre.MinMaxScaler(), neural_network.MLPClassifier(
              (128,), alpha=0.3, max_iter=150, random_state=SEED)),
  }


def ordinal(*, frame) -> dict[str, Solution]:
  """Ordered classes: regressions on the rank, rounded, and a few of labels.

  Args:
    frame: as in `tabular`.
  """
  labels = tabular(kind='multiclass', needs='label', frame=frame)
  values = tabular(kind='regression', needs='value', frame=frame)
  plain = ('dummy', 'linear', 'linear_scaled', 'forest_leaf_3', 'hist_slow',
           'vote_trees', 'vote_mixed')
  return {
      f'rounded_{name}': partial(lambda make: Rounded(make()), make)
      for name, make in values.items()
      if not name.startswith('dummy') and not name.endswith('_log')
  } | {name: labels[name] for name in plain}


class Rounded(ClassifierMixin, BaseEstimator):
  """A regression on the rank of ordered classes, rounded to a class."""

  def __init__(self, regressor):
    self.regressor = regressor

  def fit(self, x, y):
    self.classes_ = np.array(layout.sorted_classes(y))
    rank = {label: i for i, label in enumerate(self.classes_)}
    self.regressor.fit(x, np.array([float(rank[label]) for label in y]))
    return self

  def predict(self, x):
    rank = np.rint(self.regressor.predict(x)).astype(int)
    return self.classes_[np.clip(rank, 0, len(self.classes_) - 1)]


def _regression(raw) -> dict[str, Solution]:
  scaled = _scaled(raw)
  forest, extra = en.RandomForestRegressor, en.ExtraTreesRegressor
  boost, hist = en.GradientBoostingRegressor, en.HistGradientBoostingRegressor

  def log(model):
    """Learns log(1 + target) where that exists, for prices and wages."""
    return compose.TransformedTargetRegressor(
        model, func=_signed_log, inverse_func=_signed_exp)

  def unit(model):
    """Learns the standardised target: kernels and networks need it."""
    return compose.TransformedTargetRegressor(
        model, transformer=pre.StandardScaler())

  def mlp(units, seed=SEED, **kwargs):
    return neural_network.MLPRegressor(
        hidden_layer_sizes=(units,), random_state=seed, **kwargs)

  def vote(*names):
    return en.VotingRegressor([(n, models[n]()) for n in names])

  s = {'random_state': SEED}
  h = {'random_state': SEED, 'max_iter': 80, 'early_stopping': False}
  models = {
      'dummy': lambda: raw(dummy.DummyRegressor(strategy='mean')),
      'dummy_median': lambda: raw(dummy.DummyRegressor(strategy='median')),
      'stump': lambda: raw(tree.DecisionTreeRegressor(max_depth=1, **s)),
      'tree_3': lambda: raw(tree.DecisionTreeRegressor(max_depth=3, **s)),
      'tree_leaf_20': lambda: raw(
          tree.DecisionTreeRegressor(min_samples_leaf=20, **s)),
      'linear': lambda: raw(lm.LinearRegression()),
      'ridge_cv': lambda: scaled(lm.RidgeCV(np.logspace(-2, 3, 11))),
      'linear_log': lambda: scaled(log(lm.Ridge(1.0))),
      'linear_squares': lambda: scaled(
          lm.RidgeCV(np.logspace(-1, 4, 11)),
          pre.PolynomialFeatures(2, include_bias=False)),
      'knn_10': lambda: scaled(neighbors.KNeighborsRegressor(10)),
      'knn_15_distance': lambda: scaled(
          neighbors.KNeighborsRegressor(15, weights='distance')),
      'knn_cv': lambda: scaled(search(
          neighbors.KNeighborsRegressor(weights='distance'),
          {'n_neighbors': [3, 7, 15, 31, 61], 'p': [1, 2]})),
      'svm_1': lambda: scaled(unit(svm.SVR(C=1))),
      'svm_10': lambda: scaled(unit(svm.SVR(C=10))),
      'svm_log': lambda: scaled(log(unit(svm.SVR(C=3, gamma=0.1)))),
      'mlp_64': lambda: scaled(unit(mlp(64, max_iter=80, alpha=0.1))),
      'mlp_5': lambda: scaled(unit(en.VotingRegressor(
          [(str(i), mlp(32, i, max_iter=60, alpha=1.0)) for i in range(5)]))),
      'bagged_trees': lambda: raw(en.BaggingRegressor(
          tree.DecisionTreeRegressor(min_samples_leaf=3), 40, **s)),
      'forest_30': lambda: raw(forest(
          30, min_samples_leaf=5, max_features=0.5, **s)),
      'forest_100': lambda: raw(forest(100, min_samples_leaf=3, **s)),
      'forest_third': lambda: raw(forest(
          120, min_samples_leaf=3, max_features=0.33, **s)),
      'forest_log': lambda: raw(log(forest(
          100, min_samples_leaf=3, max_features=0.6, **s))),
      'forest_cv': lambda: raw(search(
          forest(60, **s), {'min_samples_leaf': [1, 4, 12],
                            'max_features': [0.33, 0.7]})),
      'extra_100': lambda: raw(extra(100, min_samples_leaf=4, **s)),
      'extra_leaf_10': lambda: raw(extra(100, min_samples_leaf=10, **s)),
      'extra_log': lambda: raw(log(extra(100, min_samples_leaf=4, **s))),
      'extra_cv': lambda: raw(search(
          extra(60, **s), {'min_samples_leaf': [1, 4, 12],
                           'max_features': [0.5, 1.0]})),
      'boost_50': lambda: raw(boost(n_estimators=50, **s)),
      'boost_100': lambda: raw(boost(subsample=0.7, **s)),
      'boost_200': lambda: raw(boost(
          n_estimators=200, learning_rate=0.05, max_depth=4, subsample=0.6,
          max_features=0.6, min_samples_leaf=5, **s)),
      'boost_huber': lambda: raw(boost(
          loss='huber', n_estimators=120, subsample=0.7, **s)),
      'boost_log': lambda: raw(log(boost(
          n_estimators=150, max_depth=4, subsample=0.6, **s))),
      'hist': lambda: raw(hist(**h)),
      'hist_slow': lambda: raw(hist(
          **h, learning_rate=0.06, max_leaf_nodes=12)),
      'hist_absolute': lambda: raw(hist(
          **h, loss='absolute_error', max_leaf_nodes=12)),
      'hist_columns': lambda: raw(hist(
          **h, max_features=0.4, learning_rate=0.08, max_leaf_nodes=16)),
      'hist_cv': lambda: raw(search(
          hist(**h), {'max_leaf_nodes': [5, 15],
                      'learning_rate': [0.05, 0.12]})),
      'vote_trees': lambda: vote('forest_third', 'extra_100', 'hist_slow'),
      'vote_boosted': lambda: vote('boost_200', 'boost_log', 'hist_columns'),
      'vote_mixed': lambda: vote('svm_10', 'extra_cv', 'boost_200'),
      'stack': lambda: en.StackingRegressor(
          [(n, models[n]()) for n in
           ('ridge_cv', 'extra_100', 'boost_200', 'svm_1')],
          lm.RidgeCV(np.logspace(-2, 3, 6)), cv=3),
  }
  return models


def search(model, grid: dict, calibrate: bool = False):
  """The model, tuned by three-fold cross-validation."""
  tuned = model_selection.GridSearchCV(model, grid, cv=3)
  return calibration.CalibratedClassifierCV(tuned, cv=3) if (
      calibrate) else tuned


def _signed_log(y: np.ndarray) -> np.ndarray:
  return np.sign(y) * np.log1p(np.abs(y))


def _signed_exp(z: np.ndarray) -> np.ndarray:
  return np.sign(z) * np.expm1(np.minimum(np.abs(z), 50))
