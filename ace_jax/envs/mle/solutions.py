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
  dummy,
  feature_extraction,
  impute,
  kernel_approximation,
  model_selection,
  naive_bayes,
  neighbors,
  neural_network,
  pipeline,
  svm,
  tree,
)
from sklearn import ensemble as en
from sklearn import linear_model as lm
from sklearn import preprocessing as pre

Solution = Callable[[], object]
_SEED = 0


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

  def mlp(units, **kwargs):
    return neural_network.MLPClassifier(
        (units,), random_state=_SEED, **kwargs)

  def svc(**kwargs):
    model = svm.SVC(**kwargs)
    return calibration.CalibratedClassifierCV(model, cv=3) if (
        calibrate) else model

  def vote(*names):
    return en.VotingClassifier([(n, models[n]()) for n in names],
                               voting='soft')

  s = {'random_state': _SEED}
  h = {'random_state': _SEED, 'max_iter': 60, 'early_stopping': False}
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
      'linear_cv': lambda: scaled(_search(
          logistic(), {'C': [0.01, 0.1, 1.0, 10.0]})),
      'knn_15': lambda: scaled(neighbors.KNeighborsClassifier(15)),
      'knn_15_distance': lambda: scaled(
          neighbors.KNeighborsClassifier(15, weights='distance')),
      'knn_cv': lambda: scaled(_search(
          neighbors.KNeighborsClassifier(weights='distance'),
          {'n_neighbors': [3, 7, 15, 31, 61], 'p': [1, 2]})),
      'nystroem_linear': lambda: scaled(
          logistic(), kernel_approximation.Nystroem(n_components=150, **s)),
      'svm_1': lambda: scaled(svc(C=1)),
      'svm_10': lambda: scaled(svc(C=10)),
      'svm_cv': lambda: scaled(_search(
          svm.SVC(), {'C': [0.5, 2, 8, 32], 'gamma': ['scale', 0.02]},
          calibrate)),
      'mlp_64': lambda: scaled(mlp(64, max_iter=80, alpha=0.1)),
      'mlp_bag': lambda: scaled(en.BaggingClassifier(
          mlp(32, max_iter=50, alpha=1.0), 5, **s)),
      'bagged_trees': lambda: raw(en.BaggingClassifier(
          tree.DecisionTreeClassifier(min_samples_leaf=3), 40, **s)),
      'forest_30': lambda: raw(forest(30, min_samples_leaf=2, **s)),
      'forest_100': lambda: raw(forest(100, **s)),
      'forest_leaf_3': lambda: raw(forest(150, min_samples_leaf=3, **s)),
      'forest_wide': lambda: raw(forest(
          100, min_samples_leaf=3, max_features=0.5, **s)),
      'forest_cv': lambda: raw(_search(
          forest(80, **s), {'min_samples_leaf': [1, 3, 8],
                            'max_features': ['sqrt', 0.6]})),
      'extra_100': lambda: raw(extra(100, **s)),
      'extra_leaf_3': lambda: raw(extra(150, min_samples_leaf=3, **s)),
      'extra_wide': lambda: raw(extra(
          150, min_samples_leaf=2, max_features=0.7, **s)),
      'extra_cv': lambda: raw(_search(
          extra(80, **s), {'min_samples_leaf': [1, 3, 8],
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
      'hist_cv': lambda: raw(_search(
          hist(**h), {'max_leaf_nodes': [5, 15],
                      'learning_rate': [0.05, 0.12]})),
      'vote_trees': lambda: vote('forest_leaf_3', 'extra_leaf_3', 'hist_slow'),
      'vote_mixed': lambda: vote(
          'linear_scaled', 'extra_wide', 'boost_60', 'mlp_64'),
      'vote_boosted': lambda: vote('boost_deep', 'hist_columns', 'extra_cv'),
      'stack': lambda: en.StackingClassifier(
          [(n, models[n]()) for n in
           ('linear_scaled', 'extra_wide', 'boost_60', 'knn_15')],
          logistic(C=0.3), cv=3),
  }
  return models


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

  def mlp(units, **kwargs):
    return neural_network.MLPRegressor(
        hidden_layer_sizes=(units,), random_state=_SEED, **kwargs)

  def vote(*names):
    return en.VotingRegressor([(n, models[n]()) for n in names])

  s = {'random_state': _SEED}
  h = {'random_state': _SEED, 'max_iter': 80, 'early_stopping': False}
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
      'knn_cv': lambda: scaled(_search(
          neighbors.KNeighborsRegressor(weights='distance'),
          {'n_neighbors': [3, 7, 15, 31, 61], 'p': [1, 2]})),
      'svm_1': lambda: scaled(unit(svm.SVR(C=1))),
      'svm_10': lambda: scaled(unit(svm.SVR(C=10))),
      'svm_log': lambda: scaled(log(unit(svm.SVR(C=3, gamma=0.1)))),
      'mlp_64': lambda: scaled(unit(mlp(64, max_iter=80, alpha=0.1))),
      'mlp_bag': lambda: scaled(unit(en.BaggingRegressor(
          mlp(32, max_iter=60, alpha=1.0), 5, **s))),
      'bagged_trees': lambda: raw(en.BaggingRegressor(
          tree.DecisionTreeRegressor(min_samples_leaf=3), 40, **s)),
      'forest_30': lambda: raw(forest(
          30, min_samples_leaf=5, max_features=0.5, **s)),
      'forest_100': lambda: raw(forest(100, min_samples_leaf=3, **s)),
      'forest_third': lambda: raw(forest(
          120, min_samples_leaf=3, max_features=0.33, **s)),
      'forest_log': lambda: raw(log(forest(
          100, min_samples_leaf=3, max_features=0.6, **s))),
      'forest_cv': lambda: raw(_search(
          forest(60, **s), {'min_samples_leaf': [1, 4, 12],
                            'max_features': [0.33, 0.7]})),
      'extra_100': lambda: raw(extra(100, min_samples_leaf=4, **s)),
      'extra_leaf_10': lambda: raw(extra(100, min_samples_leaf=10, **s)),
      'extra_log': lambda: raw(log(extra(100, min_samples_leaf=4, **s))),
      'extra_cv': lambda: raw(_search(
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
      'hist_cv': lambda: raw(_search(
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


def text(*, needs: str) -> dict[str, Solution]:
  """Solutions for one column of text and two or more classes."""
  del needs  # every one of them has predict_proba or is used for labels
  count = feature_extraction.text.CountVectorizer
  tfidf = partial(feature_extraction.text.TfidfVectorizer, sublinear_tf=True)
  logistic = partial(lm.LogisticRegression, max_iter=500)
  make = pipeline.make_pipeline
  vectors = {
      'count': count,
      'tfidf': tfidf,
      'tfidf_2': partial(tfidf, ngram_range=(1, 2)),
      'chars': partial(tfidf, analyzer='char_wb', ngram_range=(2, 5),
                       min_df=3),
  }
  heads = {
      'linear': logistic,
      'linear_c5': partial(logistic, C=5),
      'ridge': partial(lm.RidgeClassifier, alpha=2.0),
      'svm': partial(svm.LinearSVC, C=0.3),
      'bayes': partial(naive_bayes.MultinomialNB, alpha=0.5),
      'complement': partial(naive_bayes.ComplementNB, alpha=1.0),
      'sgd': partial(lm.SGDClassifier, alpha=3e-4, random_state=_SEED),
  }
  models = {
      f'{v}_{m}': partial(lambda v, m: make(v(), m()), vector, head)
      for v, vector in vectors.items() for m, head in heads.items()}
  del models['count_linear']
  forest = partial(en.RandomForestClassifier, 100, random_state=_SEED)

  def both(head):  # words and characters beside each other
    return make(
        pipeline.make_union(tfidf(ngram_range=(1, 2)), vectors['chars']()),
        head)

  models |= {
      'dummy': lambda: make(count(max_features=1), dummy.DummyClassifier()),
      'linear': lambda: make(count(), lm.LogisticRegression()),
      'stump': lambda: make(
          count(), tree.DecisionTreeClassifier(max_depth=1)),
      'tree_10': lambda: make(
          count(), tree.DecisionTreeClassifier(max_depth=10, random_state=0)),
      'forest': lambda: make(count(min_df=3), forest()),
      'both_linear': lambda: both(logistic(C=3)),
      'both_svm': lambda: both(svm.LinearSVC(C=0.2)),
      'both_linear_cv': lambda: both(_search(
          logistic(), {'C': [0.5, 2.0, 8.0]})),
      'vote': lambda: en.VotingClassifier(
          [(n, models[n]()) for n in
           ('chars_linear', 'tfidf_2_bayes', 'both_linear')], voting='soft'),
  }
  return models


def _search(model, grid: dict, calibrate: bool = False):
  cv = 3
  search = model_selection.GridSearchCV(model, grid, cv=cv)
  return calibration.CalibratedClassifierCV(search, cv=3) if (
      calibrate) else search


def _signed_log(y: np.ndarray) -> np.ndarray:
  return np.sign(y) * np.log1p(np.abs(y))


def _signed_exp(z: np.ndarray) -> np.ndarray:
  return np.sign(z) * np.expm1(np.minimum(np.abs(z), 50))
