"""In-process sampling with a key/value cache: the reference.

One jitted program prefills the prompts and decodes. Its shapes are bucketed:
prompts are padded to a multiple of `bucket`, the cache holds a multiple of
`bucket` new tokens. A run therefore compiles a handful of programs. Each
prompt is computed once, and its keys are shared by all its completions.

Randomness is a function of (key, prompt index, sample index, token index)
alone: neither padding nor the other rows of a call change what is drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ace_jax.core.sampling import sample
from ace_jax.policy.transformer import ModelConfig, Transformer, unstack
from ace_jax.types import Completion, Segment


class JaxSampler:
  """See `sampler.base.Sampler`."""

  def __init__(
      self,
      model_config: ModelConfig,
      params: Any,
      *,
      stop_ids: Sequence[int],
      pad_id: int,
      temperature: float,
      top_k: int,
      top_p: float,
      max_prompt_tokens: int,
      max_new_tokens: int,
      bucket: int,
      max_rows: int = 64,
      keep_frozen: bool = False,
  ):
    """A sampler with version 0 of the policy.

    Args:
      model_config: the architecture.
      params: the policy's parameters.
      stop_ids: tokens that end a completion.
      pad_id: fills what is masked.
      temperature: default for `generate`.
      top_k: 0: off.
      top_p: 1: off.
      max_prompt_tokens: longer prompts are refused.
      max_new_tokens: default for `generate`.
      bucket: lengths are rounded up to multiples of this.
      max_rows: completions decoded at a time, at least one prompt's; bounds
        the memory of the cache.
      keep_frozen: keep a copy of `params` for `which='frozen'`.
    """
    self.version = 0
    self._model = Transformer(model_config)
    self._params = jax.tree.map(jnp.asarray, params)
    self._frozen = None
    if keep_frozen:
      self.freeze()
    self._draw = functools.partial(
        _generate, self._model, tuple(stop_ids), top_k, top_p
    )
    self._pad_id = pad_id
    self._temperature = temperature
    self._max_prompt_tokens = max_prompt_tokens
    self._max_new_tokens = max_new_tokens
    self._bucket = bucket
    self._max_rows = max_rows

  def sync(self, params: Any, version: int) -> None:
    """Takes the policy's new weights; no copy."""
    self._params, self.version = params, version

  def freeze(self) -> None:
    """Keeps the present weights for `which='frozen'`.

    A copy: the learner may donate its buffers.
    """
    self._frozen = jax.tree.map(jnp.copy, self._params)

  def generate(
      self,
      prompts: Sequence[np.ndarray],
      rng: jax.Array,
      *,
      num_samples: int,
      temperature: float | None = None,
      max_new_tokens: int | None = None,
      which: str = 'policy',
  ) -> list[list[Completion]]:
    """See `sampler.base.Sampler.generate`."""
    if temperature is None:
      temperature = self._temperature
    if max_new_tokens is None:
      max_new_tokens = self._max_new_tokens
    params, version = self._weights(which)
    self._check(prompts, num_samples, max_new_tokens)
    if not prompts:
      return []
    # Equal slices of at most `max_rows` rows, so that all share one shape.
    most = max(self._max_rows // num_samples, 1)
    size = -(-len(prompts) // -(-len(prompts) // most))
    keys = _fold_in(rng, np.arange(len(prompts)), np.arange(num_samples))
    rows = []
    for start in range(0, len(prompts), size):
      part = prompts[start : start + size]
      prompt, mask = self._pad(part, size)
      tokens, logp, length, finished = jax.device_get(
          self._draw(
              _round_up(max_new_tokens, self._bucket),
              params,
              prompt,
              mask,
              _take(keys, start, size),
              np.arange(size) < len(part),
              np.float32(temperature),
              np.int32(max_new_tokens),
          )
      )
      rows += [
          [
              Completion(
                  (Segment(tokens[q, g, :n], logp[q, g, :n]),),
                  policy_version=version,
                  finished=bool(finished[q, g]),
              )
              for g, n in enumerate(length[q])
          ]
          for q in range(len(part))
      ]
    return rows

  def _weights(self, which: str) -> tuple[Any, int]:
    if which == 'policy':
      return self._params, self.version
    if which != 'frozen':
      raise ValueError(f'which={which!r} is neither policy nor frozen')
    if self._frozen is None:
      raise ValueError(
          'no frozen weights were kept: keep_frozen=False, and no freeze()'
      )
    return self._frozen, 0

  def _check(
      self, prompts: Sequence[np.ndarray], num_samples: int, max_new: int
  ) -> None:
    if num_samples < 1 or max_new < 1:
      raise ValueError(
          f'num_samples={num_samples} and max_new_tokens={max_new} must be at '
          'least 1'
      )
    for i, prompt in enumerate(prompts):
      if not 1 <= len(prompt) <= self._max_prompt_tokens:
        raise ValueError(
            f'prompt {i} has {len(prompt)} tokens, not between 1 and '
            f'max_prompt_tokens={self._max_prompt_tokens}'
        )

  def _pad(
      self, prompts: Sequence[np.ndarray], size: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Left-padded prompts and their mask, [size, P]."""
    width = _round_up(max(map(len, prompts)), self._bucket)
    tokens = np.full((size, width), self._pad_id, np.int32)
    mask = np.zeros((size, width), np.float32)
    mask[:, -1] = 1  # a row that only fills the slice sees one token
    for q, prompt in enumerate(prompts):
      tokens[q, width - len(prompt) :] = prompt
      mask[q, width - len(prompt) :] = 1
    return tokens, mask


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _generate(
    model: Transformer,
    stop_ids: tuple[int, ...],
    top_k: int,
    top_p: float,
    max_new: int,
    params: Any,
    prompt_QP: jax.Array,
    mask_QP: jax.Array,
    keys_QG: jax.Array,
    active_Q: jax.Array,
    temperature: jax.Array,
    limit: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Prefill and decode.

  Args:
    model: static, as are the next four.
    stop_ids: tokens that end a completion.
    top_k: 0: off.
    top_p: 1: off.
    max_new: C, the cache's length, at least `limit`.
    params: of the model.
    prompt_QP: int32, left-padded.
    mask_QP: float32, 1 on real tokens.
    keys_QG: a key for each completion.
    active_Q: False on rows that only fill the batch.
    temperature: [] float32.
    limit: [] int32, tokens to sample at most.

  Returns:
    Tokens [Q, G, C] int32, log-probs [Q, G, C] float32, lengths [Q, G] int32,
    finished [Q, G] bool.
  """
  num_rows, num_samples = keys_QG.shape
  stop = jnp.asarray(stop_ids, jnp.int32)
  layers = unstack(params['layers'], model.config)

  def draw(logits_QGV, step):
    keys = jax.vmap(jax.random.fold_in, (0, None))(keys_QG.reshape(-1), step)
    token_B, logp_B = sample(
        logits_QGV.reshape(num_rows * num_samples, -1),
        keys,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
    )
    shape = num_rows, num_samples
    return token_B.reshape(shape), logp_B.reshape(shape)

  def record(state, step, logits_QGV):
    token, logp = draw(logits_QGV, step)
    tokens, logps, length, done, _ = state
    at = (0, 0, step)
    tokens = jax.lax.dynamic_update_slice(tokens, token[..., None], at)
    logps = jax.lax.dynamic_update_slice(logps, logp[..., None], at)
    length = jnp.where(done, length, step + 1)
    done |= (token[..., None] == stop).any(-1)
    return tokens, logps, length, done, token

  def advance(carry):
    step, state, cache = carry
    logits, cache = model.decode_step(
        params, layers, state[-1], step - 1, mask_QP, prefix, cache
    )
    return step + 1, record(state, step, logits), cache

  def unfinished(carry):
    step, (_, _, _, done, _), _ = carry
    return (step < limit) & ~done.all()

  first, prefix = model.prefill(params, prompt_QP, mask_QP)
  shape = (num_rows, num_samples, max_new)
  state = (
      jnp.zeros(shape, jnp.int32),
      jnp.zeros(shape, jnp.float32),
      jnp.zeros(shape[:2], jnp.int32),
      jnp.broadcast_to(~active_Q[:, None], shape[:2]),
      jnp.zeros(shape[:2], jnp.int32),
  )
  first = jnp.broadcast_to(first[:, None], (*shape[:2], first.shape[-1]))
  state = record(state, 0, first)
  cache = model.empty_cache(*shape)
  _, (tokens, logps, length, done, _), _ = jax.lax.while_loop(
      unfinished, advance, (jnp.int32(1), state, cache)
  )
  return tokens, logps, length, done


@jax.jit
def _fold_in(rng: jax.Array, rows: jax.Array, samples: jax.Array) -> jax.Array:
  """A key for each (row, sample), [Q, G]."""
  fold = jax.random.fold_in
  per_row = jax.vmap(fold, (None, 0))(rng, rows)
  return jax.vmap(jax.vmap(fold, (None, 0)), (0, None))(per_row, samples)


def _take(keys_QG: jax.Array, start: int, size: int) -> jax.Array:
  """Rows start … start + size, the last ones repeated past the end."""
  index = np.minimum(np.arange(start, start + size), len(keys_QG) - 1)
  return keys_QG[index]


def _round_up(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
