"""One decoder for Llama, Qwen2 and Qwen3.

Dimension letters: `Q` rows, `G` completions of a row, `P` prompt, `C`
completion, `B` = Q·G sequences, `T` query time, `S` key time, `D` model, `F`
feed-forward, `V` vocabulary, `N` query heads, `K` kv heads, `R` = N/K query
heads of a kv head, `H` head size, `L` layers.

The layout is the packed row [prompt | completion_1 | … | completion_G]: the
prompt is computed once for the group. What is pointwise in time sees a row as
one sequence; only attention knows where a completion begins. `Block` therefore
gets attention as a function (`attend`), and training, prefill and decode run
the same block:

  logits, prefill    attend within the prompt
  completion_states  the same, and completions to the prompt and themselves
  decode_step        one token to the prompt's keys and a cache

Parameters are float32 with the layers stacked on a leading axis. Training
scans over it. Decode takes the layers apart once (`unstack`), since a scan
inside a token loop would copy every weight for every token.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ace_jax.policy.attention import (
  AttendFn,
  cached_attention,
  packed_attention,
  rope_table,
  rotate,
)
from ace_jax.policy.config import ModelConfig
from ace_jax.policy.layers import Linear, project, rms_norm
from ace_jax.policy.sharding import constrain, is_sharded

Array = jax.Array
Params = Any


# --- A layer ----------------------------------------------------------------


class Block(nn.Module):
  """Attention and feed-forward, pre-norm, x [Q, T, D] → ([Q, T, D], kept)."""

  config: ModelConfig

  @nn.compact
  def __call__(
      self, x: Array, rope: tuple[Array, Array], attend: AttendFn
  ) -> tuple[Array, Any]:
    c = self.config
    groups, reps = c.num_kv_heads, c.num_heads // c.num_kv_heads
    init = nn.initializers.normal(0.02)
    # What adds to the residual stream starts smaller in a deeper model.
    out_init = nn.initializers.normal(0.02 / math.sqrt(2 * c.num_layers))
    ones = nn.initializers.ones

    # One kernel for q, k and v: per kv head its R query heads, then k, then v.
    h = rms_norm(x, self.param('attn_norm', ones, (c.dim,)), c.norm_eps)
    shape = c.dim, groups, reps + 2, c.head_dim
    qkv = Linear(shape, c.qkv_bias, name='qkv')(h, c.precision)
    qkv = constrain(qkv, 'batch', None, 'heads', None, None)
    qk, v = qkv[..., :-1, :], qkv[..., -1, :]
    if c.qk_norm:
      q_scale = self.param('q_norm', ones, (c.head_dim,))
      k_scale = self.param('k_norm', ones, (c.head_dim,))
      qk = rms_norm(qk, jnp.stack([q_scale] * reps + [k_scale]), c.norm_eps)
    qk = rotate(qk, rope)
    out, kept = attend(qk[..., :-1, :], qk[..., -1, :], v)
    kernel = self.param('out', out_init, (groups, reps, c.head_dim, c.dim))
    x = x + project(out, kernel, 3, c.precision)
    x = constrain(x, 'batch', None, None)

    h = rms_norm(x, self.param('mlp_norm', ones, (c.dim,)), c.norm_eps)
    kernel = self.param('gate_up', init, (c.dim, 2, c.ff_dim))
    h = project(h, kernel, 1, c.precision)
    h = constrain(h, 'batch', None, None, 'ff')
    h = nn.silu(h[..., 0, :]) * h[..., 1, :]
    kernel = self.param('down', out_init, (c.ff_dim, c.dim))
    x = x + project(h, kernel, 1, c.precision)
    return constrain(x, 'batch', None, None), kept


class ValueHead(nn.Module):
  """Two layers on the final hidden state; exactly 0 at initialisation."""

  dim: int

  @nn.compact
  def __call__(self, hidden: Array) -> Array:
    # The critic must not move the trunk: the policy's loss alone does.
    x = jax.lax.stop_gradient(hidden).astype(jnp.float32)
    x = nn.tanh(nn.Dense(self.dim, name='hidden')(x))
    zeros = nn.initializers.zeros
    return nn.Dense(1, name='out', kernel_init=zeros)(x)[..., 0]


# --- The model --------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Transformer:
  """The decoder's functions over a tree of parameters.

  The tree: `embed` [V, D], `layers` (a Block's, stacked on L), `final_norm`
  [D], `unembed` [D, V] unless tied, `value` if there is a value head.
  """

  config: ModelConfig

  def init(self, rng: Array) -> Params:
    """Random float32 parameters."""
    c = self.config
    embed_rng, layers_rng, unembed_rng, value_rng = jax.random.split(rng, 4)
    x = jnp.zeros((1, 1, c.dim))
    rope = self._rope(jnp.zeros((1, 1)))
    attend = packed_attention(jnp.ones((1, 1)), 0, precision=c.precision)
    block = Block(c)
    layers = jax.vmap(lambda rng: block.init(rng, x, rope, attend)['params'])(
        jax.random.split(layers_rng, c.num_layers)
    )
    normal = nn.initializers.normal(0.02)
    params = {
        'embed': normal(embed_rng, (c.vocab_size, c.dim)),
        'layers': layers,
        'final_norm': jnp.ones(c.dim),
    }
    if not c.tie_embeddings:
      params['unembed'] = normal(unembed_rng, (c.dim, c.vocab_size))
    if c.value_head:
      params['value'] = self.init_value(value_rng)
    return params

  def init_value(self, rng: Array) -> Params:
    """The value head's own parameters, for `params['value']`."""
    dim = self.config.dim
    return ValueHead(dim).init(rng, jnp.zeros((1, dim)))['params']

  def unembedding(self, params: Params) -> Array:
    """The vocabulary head, [D, V]."""
    c = self.config
    return params['embed'].T if c.tie_embeddings else params['unembed']

  def values(self, params: Params, hidden: Array) -> Array:
    """hidden [..., D] → values [...], float32; no gradient to the trunk."""
    return ValueHead(self.config.dim).apply({'params': params['value']}, hidden)

  def logits(
      self, params: Params, tokens_BT: Array, mask_BT: Array | None = None
  ) -> Array:
    """[B, T, V] float32; the whole array, so for small uses only."""
    mask_BT = jnp.ones(tokens_BT.shape) if mask_BT is None else mask_BT
    hidden, _ = self._prompt_states(params, tokens_BT, mask_BT)
    return self._head(params, hidden)

  def completion_states(
      self,
      params: Params,
      prompt_QP: Array,
      prompt_mask_QP: Array,
      completion_QGC: Array,
  ) -> Array:
    """The normed states that predict each completion token, [Q, G, C, D].

    The first token of a completion is predicted by the last prompt position,
    token j by token j − 1; the last token is never fed.
    """
    num_rows, num_completions, length = completion_QGC.shape
    p = prompt_QP.shape[1]
    fed = completion_QGC[:, :, :-1].reshape(num_rows, -1)
    tokens = jnp.concatenate([prompt_QP, fed], axis=1)
    own = prompt_mask_QP.sum(1, keepdims=True) + jnp.tile(
        jnp.arange(length - 1), num_completions
    )
    positions = jnp.concatenate([_positions(prompt_mask_QP), own], axis=1)
    attend = packed_attention(
        prompt_mask_QP,
        num_completions if length > 1 else 0,
        precision=self.config.precision,
    )
    hidden, _ = self._trunk(params, tokens, positions, attend)
    group = num_rows, num_completions
    first = jnp.broadcast_to(
        hidden[:, None, p - 1 : p], (*group, 1, self.config.dim)
    )
    rest = hidden[:, p:].reshape(*group, length - 1, self.config.dim)
    return jnp.concatenate([first, rest], axis=2)

  def prefill(
      self, params: Params, prompt_QP: Array, prompt_mask_QP: Array
  ) -> tuple[Array, list[tuple[Array, Array]]]:
    """Logits [Q, V] of the first new token, and each layer's prefix (k, v)."""
    hidden, kept = self._prompt_states(params, prompt_QP, prompt_mask_QP)
    return self._head(params, hidden[:, -1]), unstack(kept, self.config)

  def empty_cache(
      self, num_rows: int, num_completions: int, max_new: int
  ) -> list[tuple[Array, Array]]:
    """Each layer's completions' k [Q, G, K, H, C] and v [Q, G, K, C, H]."""
    c = self.config
    heads = num_rows, num_completions, c.num_kv_heads
    k = jnp.zeros((*heads, c.head_dim, max_new), c.dtype)
    v = jnp.zeros((*heads, max_new, c.head_dim), c.dtype)
    return [(k, v)] * c.num_layers

  def decode_step(
      self,
      params: Params,
      layers: list[Params],
      token_QG: Array,
      step: Array,
      prompt_mask_QP: Array,
      prefix: list[tuple[Array, Array]],
      cache: list[tuple[Array, Array]],
  ) -> tuple[Array, list[tuple[Array, Array]]]:
    """Feeds token number `step` of every completion.

    Args:
      params: the tree; its 'layers' are not used.
      layers: `unstack(params['layers'], config)`, taken outside the loop.
      token_QG: int32.
      step: [] int32.
      prompt_mask_QP: 1 on real prompt tokens.
      prefix: of `prefill`.
      cache: of `empty_cache` or the step before.

    Returns:
      Logits [Q, G, V] of the next token, and the cache with this one.
    """
    c = self.config
    rope = self._rope(prompt_mask_QP.sum(1, keepdims=True) + step)
    x = params['embed'][token_QG].astype(c.dtype)
    block, new_cache = Block(c), []
    for layer, far, own in zip(layers, prefix, cache, strict=True):
      attend = cached_attention(
          prompt_mask_QP, far, own, step, precision=c.precision
      )
      x, own = block.apply({'params': layer}, x, rope, attend)
      new_cache.append(own)
    return self._decode_head(params, self._final_norm(params, x)), new_cache

  def _prompt_states(self, params, tokens, mask):
    attend = packed_attention(mask, 0, precision=self.config.precision)
    return self._trunk(params, tokens, _positions(mask), attend)

  def _trunk(self, params, tokens, positions, attend):
    """tokens, positions [Q, T] → normed states [Q, T, D], kept [L, …]."""
    rope = self._rope(positions)
    x = params['embed'][tokens].astype(self.config.dtype)
    block = Block(self.config)

    def layer_fn(x, layer):
      return block.apply({'params': layer}, x, rope, attend)

    if self.config.remat:
      layer_fn = jax.checkpoint(layer_fn)
    x, kept = jax.lax.scan(
        layer_fn, constrain(x, 'batch', None, None), params['layers']
    )
    return self._final_norm(params, x), kept

  def _rope(self, positions):
    c = self.config
    return rope_table(
        positions,
        head_dim=c.head_dim,
        theta=c.rope_theta,
        scaling=c.rope_scaling,
    )

  def _final_norm(self, params, x):
    return rms_norm(x, params['final_norm'], self.config.norm_eps)

  def head_input(self, hidden: Array) -> Array:
    """Final states in the vocabulary head's dtype."""
    return hidden.astype(self.config.head_dtype or hidden.dtype)

  def _head(self, params, hidden):
    hidden = self.head_input(hidden)
    return jnp.einsum(
        '...d,dv->...v',
        hidden,
        self.unembedding(params).astype(hidden.dtype),
        precision=self.config.head_precision,
        preferred_element_type=jnp.float32,
    )

  def _decode_head(self, params, hidden):
    """`_head` for few states, the tied embedding as the left operand.

    So a CPU reads it in order, without packing it first: 13 → 9 ms for 16
    states. The barriers keep XLA from swapping the operands back.
    """
    if not self.config.tie_embeddings or is_sharded():
      return self._head(params, hidden)
    hidden = self.head_input(hidden)
    hidden_DB = hidden.reshape(-1, self.config.dim).T
    logits_VB = jnp.matmul(
        params['embed'].astype(hidden.dtype),
        jax.lax.optimization_barrier(hidden_DB),
        precision=self.config.head_precision,
        preferred_element_type=jnp.float32,
    )
    logits = jax.lax.optimization_barrier(logits_VB).T
    return logits.reshape(*hidden.shape[:-1], -1)


def unstack(layers: Any, config: ModelConfig) -> list[Any]:
  """A tree stacked on L → a list of L trees."""
  return [
      jax.tree.map(lambda x: x[i], layers)  # noqa: B023, consumed at once
      for i in range(config.num_layers)
  ]


def _positions(mask: Array) -> Array:
  """0, 1, … over the real tokens of mask [Q, T]; padding gets 0."""
  return jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0)
