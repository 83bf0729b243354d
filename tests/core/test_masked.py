"""Masked statistics, against numpy on the entries that count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.core import masked

X = np.array([[1.0, -2.0, 4.0], [7.0, np.nan, np.inf]], np.float32)
MASK = np.array([[1, 1, 1], [1, 0, 0]], np.float32)


@pytest.mark.parametrize('mask', [MASK, MASK > 0, MASK.astype(np.int32)])
def test_padding_may_hold_anything(mask):
  assert masked.masked_sum(X, mask) == 10
  assert masked.masked_count(mask) == 4
  assert masked.masked_mean(X, mask) == 2.5
  assert masked.masked_max(X, mask) == 7


def test_axes():
  np.testing.assert_array_equal(masked.masked_sum(X, MASK, 1), [3, 7])
  np.testing.assert_array_equal(masked.masked_sum(X, MASK, 0), [8, -2, 4])
  np.testing.assert_array_equal(masked.masked_count(MASK, 1), [3, 1])
  np.testing.assert_array_equal(masked.masked_mean(X, MASK, 1), [1, 7])
  np.testing.assert_array_equal(masked.masked_mean(X, MASK, 0), [4, -2, 4])
  np.testing.assert_array_equal(masked.masked_max(X, MASK, 1), [4, 7])


@pytest.mark.parametrize(
    'fn', [masked.masked_sum, masked.masked_mean, masked.masked_max]
)
def test_keepdims(fn):
  assert fn(X, MASK, 1, keepdims=True).shape == (2, 1)
  assert fn(X, MASK, 1).shape == (2,)
  assert masked.masked_count(MASK, 1, keepdims=True).shape == (2, 1)


def test_nothing_counts():
  none = np.zeros_like(MASK)
  assert masked.masked_sum(X, none) == 0
  assert masked.masked_mean(X, none) == 0
  assert masked.masked_max(X, none) == -np.inf


def test_a_mask_is_broadcast_before_it_is_counted():
  mask = np.array([[1.0], [0.0]])
  assert masked.masked_mean(X, mask) == 1
  metric = masked.mean_metric(X, mask)
  assert (metric.total, metric.count) == (3, 3)


def test_count_is_float32_and_sees_only_the_sign():
  count = masked.masked_count(np.array([0.5, 2.0, 0.0, -1.0]))
  assert count == 2 and count.dtype == jnp.float32


def test_metrics_of_microbatches_merge_to_those_of_the_whole():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(4, 6)).astype(np.float32)
  mask = rng.random((4, 6)) < 0.3  # counts differ between the parts

  def metrics(x, mask):
    return {
        'mean': masked.mean_metric(x, mask),
        'max': masked.max_metric(x, mask),
    }

  _, stacked = jax.lax.scan(
      lambda _, part: (None, metrics(*part)),
      None,
      (x.reshape(2, 2, 6), mask.reshape(2, 2, 6)),
  )
  numbers = masked.finish(masked.merge(stacked))
  np.testing.assert_allclose(numbers['mean'], x[mask].mean(), rtol=1e-6)
  assert numbers['max'] == x[mask].max()
  empty = masked.finish(metrics(x, np.zeros_like(mask)))
  assert empty == {'mean': 0, 'max': 0}


def test_a_mean_of_one_is_itself():
  metrics = {'mean': masked.mean_metric(np.array([3.0]), np.array([1]))}
  assert masked.finish(metrics)['mean'] == 3
