"""Masked sums and counts, kept apart until the last division.

A mask is 1 (or True) where an entry counts and 0 where it is padding; padding
may hold anything, NaN included. Sums and counts of microbatches and of hosts
add up exactly to those of the whole batch; means would not.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Axis = int | tuple[int, ...] | None


def masked_sum(
    x: jax.Array, mask: jax.Array, axis: Axis = None, keepdims: bool = False
) -> jax.Array:
  return jnp.sum(jnp.where(mask > 0, x, 0), axis=axis, keepdims=keepdims)


def masked_count(
    mask: jax.Array, axis: Axis = None, keepdims: bool = False
) -> jax.Array:
  """Number of entries that count, as float32."""
  return jnp.sum(mask > 0, axis=axis, keepdims=keepdims, dtype=jnp.float32)


def masked_mean(
    x: jax.Array, mask: jax.Array, axis: Axis = None, keepdims: bool = False
) -> jax.Array:
  """0 where nothing counts."""
  x, mask = jnp.broadcast_arrays(x, mask)
  count = masked_count(mask, axis, keepdims)
  return masked_sum(x, mask, axis, keepdims) / jnp.maximum(count, 1)


def masked_max(
    x: jax.Array, mask: jax.Array, axis: Axis = None, keepdims: bool = False
) -> jax.Array:
  """-inf where nothing counts."""
  return jnp.max(jnp.where(mask > 0, x, -jnp.inf), axis=axis, keepdims=keepdims)


class Mean(NamedTuple):
  """A metric that is a mean, before its division."""

  total: jax.Array  # []
  count: jax.Array  # []


class Max(NamedTuple):
  """A metric that is a maximum."""

  value: jax.Array  # []


Metrics = dict[str, Mean | Max]


def mean_metric(x: jax.Array, mask: jax.Array) -> Mean:
  x, mask = jnp.broadcast_arrays(x, mask)
  return Mean(masked_sum(x, mask), masked_count(mask))


def max_metric(x: jax.Array, mask: jax.Array) -> Max:
  return Max(masked_max(x, mask))


def merge(stacked: Metrics) -> Metrics:
  """Joins metrics stacked along new axes, as `lax.scan` returns them."""

  def join(metric: Mean | Max) -> Mean | Max:
    reduce = jnp.sum if isinstance(metric, Mean) else jnp.max
    return jax.tree.map(reduce, metric)

  return {name: join(metric) for name, metric in stacked.items()}


def finish(metrics: Metrics) -> dict[str, Any]:
  """The numbers to report: name → []. Of nothing, a mean or maximum is 0."""
  return {
      name: metric.total / jnp.maximum(metric.count, 1)
      if isinstance(metric, Mean)
      else jnp.where(metric.value == -jnp.inf, 0, metric.value)
      for name, metric in metrics.items()
  }
