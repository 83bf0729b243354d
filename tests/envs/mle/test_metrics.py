"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest

from ace_jax.envs.mle import catalog, layout
from ace_jax.envs.mle.metrics import METRICS


def score(name, answers, predictions, classes=()):
  return METRICS[name].fn(np.array(answers), np.array(predictions), classes)


def test_accuracy_counts_equal_labels():
  got = score('accuracy', ['a', 'b', 'c', 'a'], ['a', 'b', 'a', 'b'])
  assert got == 0.5


def test_macro_f1_averages_classes_without_weights():
  # a: precision 2/3, recall 1 → .8; b: 1/2, 1/2 → .5; c: nothing right → 0.
  got = score('macro_f1', ['a', 'a', 'b', 'b', 'c'], ['a', 'a', 'b', 'a', 'b'])
  assert got == pytest.approx((0.8 + 0.5 + 0) / 3)


def test_macro_f1_leaves_out_classes_that_no_answer_has():
  got = score('macro_f1', ['a', 'a'], ['a', 'b'], ('a', 'b'))
  assert got == pytest.approx(2 / 3)


def test_quadratic_kappa_weights_by_squared_distance():
  # answers 1 1 2 3, predictions 1 2 2 1; O·w = 1 + 4 = 5 (rows 2 and 4).
  # Expected: margins 2,1,1 and 2,2,0: (2·2·1 + 1·2·1 + 1·2·4 + 1·2·1)/4 = 4.
  got = score('quadratic_kappa', ['1', '1', '2', '3'], ['1', '2', '2', '1'],
              ('1', '2', '3'))
  assert got == pytest.approx(1 - 5 / 4)


def test_quadratic_kappa_takes_the_order_from_the_classes():
  # Ranks 0 1 2 against 1 1 2: O·w = 1, expected (2+4 + 1 + 2)/3 = 3. With the
  # classes in the order of text, '10' < '2' < '9', it would be 1 − 1/5.
  got = score('quadratic_kappa', ['2', '9', '10'], ['9', '9', '10'],
              ('2', '9', '10'))
  assert got == pytest.approx(1 - 1 / 3)


def test_quadratic_kappa_of_one_class_is_no_agreement():
  assert score('quadratic_kappa', ['1', '1'], ['1', '1'], ('1', '2')) == 0.0


def test_auc_counts_pairs_in_order():
  # pairs (positive, negative): .9>.1, .9>.5, .5>.1, .5=.5 → 3.5 of 4.
  got = score('auc', ['1', '0', '1', '0'], [0.9, 0.1, 0.5, 0.5])
  assert got == pytest.approx(3.5 / 4)


def test_log_loss_of_two_classes():
  got = score('log_loss', ['1', '0'], [0.8, 0.3])
  assert got == pytest.approx(-(math.log(0.8) + math.log(0.7)) / 2)


def test_log_loss_survives_a_certain_error():
  assert math.isfinite(score('log_loss', ['1', '0'], [0.0, 0.0]))


def test_multi_class_log_loss_follows_the_columns():
  got = score('multi_log_loss', ['10', '9'], [[0.2, 0.3, 0.5],
                                              [0.1, 0.6, 0.3]],
              ('2', '9', '10'))
  # 9 is the second column and 10 the third, though '10' < '9' as text.
  assert got == pytest.approx(-(math.log(0.5) + math.log(0.6)) / 2)


def test_multi_class_log_loss_scales_rows_that_nearly_sum_to_one():
  got = score('multi_log_loss', ['a'], [[0.4995, 0.4995]], ('a', 'b'))
  assert got == pytest.approx(math.log(2))


def test_errors_of_numbers():
  assert score('rmse', [0.0, 0.0], [3.0, 4.0]) == pytest.approx(
      math.sqrt(12.5))
  assert score('mae', [0.0, 1.0], [3.0, -1.0]) == pytest.approx(2.5)


def test_directions_and_needs_agree_with_what_is_declared_elsewhere():
  # catalog and layout repeat them so as not to import scikit-learn.
  for name, metric in METRICS.items():
    assert metric.lower_is_better == (name in catalog.LOWER_IS_BETTER)
    assert metric.needs == layout.NEEDS.get(name, 'label')
    assert name in layout.TITLES
