"""What a block is made of: a norm, a projection.

Dimension letters: see transformer.py.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from ace_jax.policy.sharding import is_sharded

Array = jax.Array


def rms_norm(x: Array, scale: Array, eps: float) -> Array:
  """Root mean square norm over the last axis, in float32."""
  x32 = x.astype(jnp.float32)
  inv = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
  return (x32 * inv * scale).astype(x.dtype)


def project(x: Array, kernel: Array, num_in: int, precision: str) -> Array:
  """x [Q, T, in…] · kernel [in…, out…] → [Q, T, out…]."""
  kernel = kernel.astype(x.dtype)
  if is_sharded():
    return jnp.tensordot(x, kernel, axes=num_in, precision=precision)
  # One plain matrix product. With more axes its transpose in the backward
  # pass moves both operands around first. Not on a mesh, where merging axes
  # would gather the ones that are split.
  lead, ins, outs = x.shape[:2], kernel.shape[:num_in], kernel.shape[num_in:]
  y = jnp.matmul(
      x.reshape(-1, math.prod(ins)),
      kernel.reshape(math.prod(ins), math.prod(outs)),
      precision=precision,
  )
  return y.reshape(*lead, *outs)


class Linear(nn.Module):
  """A projection with a bias, kernel [in, out…]."""

  shape: tuple[int, ...]
  use_bias: bool

  @nn.compact
  def __call__(self, x: Array, precision: str) -> Array:
    init = nn.initializers.normal(0.02)
    y = project(x, self.param('kernel', init, self.shape), 1, precision)
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, self.shape[1:])
      y = y + bias.astype(y.dtype)
    return y
