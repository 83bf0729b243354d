"""Attention over packed rows and over a cache, and rotary positions.

The row layout is [prompt | completion_1 | … | completion_G]. Keys are laid out
[Q, K, H, S] and values [Q, K, S, H], as a plain batched product reads its
right operand: neither is transposed again once it is in a cache. Dimension
letters: see transformer.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
MASKED = -1e30  # finite: a row with nothing to see must not become NaN

# attend(q [Q, T, K, R, H], k [Q, T, K, H], v [Q, T, K, H]) → (the output
# [Q, T, K, R, H], whatever the caller wants to keep, such as the cache).
AttendFn = Callable[[Array, Array, Array], tuple[Array, Any]]


class RopeScaling(NamedTuple):
  """Llama 3's stretching of the low rotary frequencies."""

  factor: float
  low_freq_factor: float
  high_freq_factor: float
  original_max_len: int


def rope_table(
    positions: Array,
    *,
    head_dim: int,
    theta: float,
    scaling: RopeScaling | None = None,
) -> tuple[Array, Array]:
  """Rotary embedding (arXiv 2104.09864): positions [..., T] → cos, sin.

  Returns two float32 arrays [..., T, 1, 1, H/2], to broadcast over K and R.
  """
  half = head_dim // 2
  # On the host, as transformers does it: an accelerator's power function is
  # some ulp off, and the angle multiplies that by the position.
  power = np.arange(half, dtype=np.float32) / np.float32(half)
  freq = np.float32(1) / np.float32(theta) ** power
  if (s := scaling) is not None:
    # Long wavelengths are divided by `factor`, short ones kept, those between
    # the two limits interpolated linearly in cycles per original length.
    cycles = s.original_max_len * freq / (2 * math.pi)
    keep = (cycles - s.low_freq_factor) / (
        s.high_freq_factor - s.low_freq_factor
    )
    keep = np.clip(keep, 0.0, 1.0)
    freq = (keep * freq + (1 - keep) * freq / s.factor).astype(np.float32)
  angle = positions[..., None, None, None].astype(jnp.float32) * freq
  return jnp.cos(angle), jnp.sin(angle)


def rotate(x: Array, rope: tuple[Array, Array]) -> Array:
  """Rotates the pairs (i, i + H/2) of x [..., T, K, R, H]."""
  cos, sin = rope
  a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  rotated = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return rotated.astype(x.dtype)


def _einsum(precision: str) -> Callable[..., Array]:
  """Products accumulate and come out in float32."""
  return functools.partial(
      jnp.einsum, precision=precision, preferred_element_type=jnp.float32
  )


def _heads_first(k: Array, v: Array) -> tuple[Array, Array]:
  """[…, S, K, H] → keys […, K, H, S] and values […, K, S, H]."""
  return jnp.moveaxis(k, -3, -1), jnp.swapaxes(v, -3, -2)


def _joint_attention(
    einsum: Callable[..., Array],
    q: Array,  # [Q, G, T, K, R, H], scaled
    prefix: tuple[Array, Array],  # [Q, K, H, P], [Q, K, P, H]
    prefix_seen: Array,  # [Q, P] bool
    own: tuple[Array, Array],  # [Q, G, K, H, S], [Q, G, K, S, H]
    own_seen: Array,  # [T, S] bool
) -> Array:
  """Softmax attention over a shared prefix and each completion's own keys.

  The prefix meets the queries of all completions in one product; it is never
  repeated. Each product has its operands and its result in batch, row, column
  order (QKRGT… and QGKRT…), which is what fast kernels take: only queries,
  outputs and row sums are transposed, and no [.., P + S] array is ever built.
  Returns [Q, G, T, K, R, H].
  """
  q_near = q.transpose(0, 1, 3, 4, 2, 5)
  far = einsum('qkrgth,qkhs->qkrgts', jnp.moveaxis(q_near, 1, 3), prefix[0])
  far = jnp.where(prefix_seen[:, None, None, None, None], far, MASKED)
  near = einsum('qgkrth,qgkhs->qgkrts', q_near, own[0])
  near = jnp.where(own_seen, near, MASKED)
  peak = jnp.maximum(jnp.moveaxis(far.max(-1), 3, 1), near.max(-1))
  peak = jax.lax.stop_gradient(peak)  # QGKRT; cancels in the quotient
  far = jnp.exp(far - jnp.moveaxis(peak, 1, 3)[..., None])
  near = jnp.exp(near - peak[..., None])
  total = jnp.moveaxis(far.sum(-1), 3, 1) + near.sum(-1)
  dtype = own[1].dtype
  far = einsum('qkrgts,qksh->qkrgth', far.astype(dtype), prefix[1])
  near = einsum('qgkrts,qgksh->qgkrth', near.astype(dtype), own[1])
  out = (jnp.moveaxis(far, 3, 1) + near) / total[..., None]
  return out.astype(dtype).transpose(0, 1, 4, 2, 3, 5)


def packed_attention(
    prompt_mask_QP: Array, num_completions: int, *, precision: str
) -> AttendFn:
  """Attention of packed rows; keeps the prompt's (k, v), heads first.

  Prompt positions see earlier real prompt positions. A completion sees the
  real prompt and its own earlier tokens, never another completion.
  """
  einsum = _einsum(precision)
  num_rows, p = prompt_mask_QP.shape
  seen_QP = prompt_mask_QP > 0
  causal_PP = jnp.tril(jnp.ones((p, p), bool))
  prompt_seen = (causal_PP & seen_QP[:, None])[:, None, None]  # QKRTS

  def within_prompt(q, k, v):
    score = einsum('qkrth,qkhs->qkrts', q.transpose(0, 2, 3, 1, 4), k)
    prob = jax.nn.softmax(jnp.where(prompt_seen, score, MASKED), axis=-1)
    out = einsum('qkrts,qksh->qkrth', prob.astype(v.dtype), v)
    return out.astype(v.dtype).transpose(0, 3, 1, 2, 4)

  def attend(q, k, v):
    q = q * q.shape[-1] ** -0.5
    prefix = _heads_first(k[:, :p], v[:, :p])
    prompt = within_prompt(q[:, :p], *prefix)
    if not num_completions:
      return prompt, prefix
    q, k, v = (
        x[:, p:].reshape(num_rows, num_completions, -1, *x.shape[2:])
        for x in (q, k, v)
    )
    own = _heads_first(k, v)
    causal = jnp.tril(jnp.ones((q.shape[2],) * 2, bool))
    rest = _joint_attention(einsum, q, prefix, seen_QP, own, causal)
    rest = rest.reshape(num_rows, -1, *rest.shape[3:])
    return jnp.concatenate([prompt, rest], axis=1), prefix

  return attend


def cached_attention(
    prompt_mask_QP: Array,
    prefix: tuple[Array, Array],
    cache: tuple[Array, Array],
    step: Array,
    *,
    precision: str,
) -> AttendFn:
  """Attention of one new token of each completion; keeps the new cache.

  Args:
    prompt_mask_QP: 1 on real prompt tokens.
    prefix: the prompt's k [Q, K, H, P] and v [Q, K, P, H].
    cache: the completions' k [Q, G, K, H, C] and v [Q, G, K, C, H], filled
      before `step`.
    step: [] int32, where the new token stands in its completion.
  """
  num_rows, num_completions, _, max_new, _ = cache[1].shape
  write = jax.lax.dynamic_update_slice_in_dim

  def attend(q, k, v):
    q, k, v = (
        x.reshape(num_rows, num_completions, *x.shape[2:])
        for x in (q * q.shape[-1] ** -0.5, k, v)
    )
    own = (
        write(cache[0], k[..., None], step, axis=4),
        write(cache[1], v[:, :, :, None], step, axis=3),
    )
    out = _joint_attention(
        _einsum(precision),
        q[:, :, None],
        prefix,
        prompt_mask_QP > 0,
        own,
        (jnp.arange(max_new) <= step)[None],
    )
    return out.reshape(num_rows, -1, *out.shape[3:]), own

  return attend


