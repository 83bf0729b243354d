"""Reference solutions for one column of running text, see solutions.py."""

from __future__ import annotations

from functools import partial

from sklearn import (
  calibration,
  decomposition,
  dummy,
  naive_bayes,
  pipeline,
  svm,
  tree,
)
from sklearn import ensemble as en
from sklearn import linear_model as lm
from sklearn.feature_extraction import text as vectors

from ace_jax.envs.mle.solutions import SEED, Solution, search

logistic = partial(lm.LogisticRegression, max_iter=500)
make = pipeline.make_pipeline


def text(*, needs: str) -> dict[str, Solution]:
  """Solutions for classes: words or characters, and a linear model mostly.

  Args:
    needs: what the metric needs; heads without probabilities get them by
      calibration where it needs those.
  """

  def calibrated(model):
    return calibration.CalibratedClassifierCV(model, cv=3) if (
        needs.startswith('probabilit')) else model

  heads = {
      'linear_5': partial(logistic, C=5),
      'linear_20': partial(logistic, C=20),
      'ridge': lambda: calibrated(lm.RidgeClassifier()),
      'svm': lambda: calibrated(svm.LinearSVC(C=0.3)),
      'svm_1': lambda: calibrated(svm.LinearSVC(C=1)),
      'sgd': lambda: calibrated(
          lm.SGDClassifier(alpha=2e-4, random_state=SEED)),
  }
  models = {
      f'{view.__name__}_{name}': partial(
          lambda view, head: make(view(), head()), view, head)
      for view in (chars, long_chars, both) for name, head in heads.items()}
  models |= {
      'dummy': lambda: make(words(max_features=1), dummy.DummyClassifier()),
      'stump': lambda: make(count(), tree.DecisionTreeClassifier(max_depth=1)),
      'tree_10': lambda: make(count(), tree.DecisionTreeClassifier(
          max_depth=10, random_state=SEED)),
      'linear': lambda: make(count(), lm.LogisticRegression()),
      'forest': lambda: make(count(min_df=3), en.RandomForestClassifier(
          100, random_state=SEED)),
      'count_linear_5': lambda: make(count(), logistic(C=5)),
      'count_bayes': lambda: make(
          count(), naive_bayes.MultinomialNB(alpha=0.5)),
      'count_complement': lambda: make(count(), naive_bayes.ComplementNB()),
      'words_linear': lambda: make(words(), logistic()),
      'words_linear_5': lambda: make(words(), logistic(C=5)),
      'words_svm': lambda: make(words(), heads['svm']()),
      'topics_linear': lambda: make(
          words(min_df=2), decomposition.TruncatedSVD(100, random_state=SEED),
          logistic(C=20)),
      'chars_cv': lambda: make(chars(), search(
          logistic(), {'C': [2.0, 8.0, 32.0]})),
      'both_cv': lambda: make(both(), search(
          logistic(), {'C': [2.0, 8.0, 32.0]})),
      'vote': lambda: en.VotingClassifier(
          [(n, models[n]()) for n in
           ('count_linear_5', 'chars_linear_20', 'both_linear_5')],
          voting='soft'),
  }
  return models


def count(**kwargs):
  """Counts of words."""
  return vectors.CountVectorizer(**kwargs)


def words(**kwargs):
  """Words, and their rarity."""
  return vectors.TfidfVectorizer(sublinear_tf=True, **kwargs)


def chars():
  """Pieces of words: 2 to 5 characters."""
  return words(analyzer='char_wb', ngram_range=(2, 5), min_df=3)


def long_chars():
  """Pieces of words: 3 to 6 characters."""
  return words(analyzer='char_wb', ngram_range=(3, 6), min_df=2)


def both():
  """Words, pairs of words and pieces of words beside each other."""
  return pipeline.make_union(words(ngram_range=(1, 2)), chars())
