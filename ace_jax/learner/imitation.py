"""Warm start: supervised learning on demonstrations, stopped on held-out loss.

Demonstrations of one task share a row, so their prompt is computed once, as
in `batching`. The loss is the mean over completion tokens; prompts are not
trained on.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ace_jax.learner import batching
from ace_jax.learner.update import completion_scores
from ace_jax.policy.transformer import Transformer
from ace_jax.types import Batch, LearnerState


class Example(NamedTuple):
  """A prompt and what should follow it, stop token included."""

  prompt: np.ndarray  # [T] int32
  completion: np.ndarray  # [T] int32


class Stopper(NamedTuple):
  """Early stopping on the held-out loss: pure, a few numbers to checkpoint."""

  best: float = float('inf')
  since_best: int = 0

  def update(self, loss: float) -> Stopper:
    if loss < self.best:
      return Stopper(loss, 0)
    return Stopper(self.best, self.since_best + 1)


def rows(
    examples: Sequence[Example], *, per_row: int, seed: int
) -> list[tuple[Example, ...]]:
  """Shuffles examples into rows of `per_row` that share a prompt.

  A prompt's last row is filled up from its own other examples, so every
  example is in a row and no row is short. (Prompts with fewer than `per_row`
  examples repeat them.)
  """
  rng = np.random.default_rng(seed)
  by_prompt: dict[bytes, list[Example]] = {}
  for example in examples:
    by_prompt.setdefault(example.prompt.tobytes(), []).append(example)
  out = []
  for group in by_prompt.values():
    order = rng.permutation(len(group))
    missing = -len(order) % per_row
    order = np.concatenate([order, np.resize(order, missing)])
    for cut in order.reshape(-1, per_row):
      out.append(tuple(group[i] for i in cut))
  return [out[i] for i in rng.permutation(len(out))]


def to_batch(
    chunk: Sequence[Sequence[Example]], *, bucket: int, pad_id: int
) -> Batch:
  """Rows → Batch; what only reinforcement learning needs is zero."""
  longest = max(len(e.completion) for row in chunk for e in row)
  length = batching.round_up(longest, bucket)
  completions = [[e.completion for e in row] for row in chunk]
  ones = [[np.ones(len(c)) for c in row] for row in completions]
  pad = functools.partial(batching.pad_completions, length=length)
  prompt, prompt_mask = batching.pad_prompts(
      [row[0].prompt for row in chunk], bucket=bucket, pad_id=pad_id
  )
  mask = pad(ones, fill=0.0, dtype=np.float32)
  zeros_QG = np.zeros(mask.shape[:2], np.float32)
  return Batch(
      prompt=prompt,
      prompt_mask=prompt_mask,
      completion=pad(completions, fill=pad_id, dtype=np.int32),
      mask=mask,
      behavior_logp=np.zeros_like(mask),
      old_logp=np.zeros_like(mask),
      ref_logp=np.zeros_like(mask),
      adv=zeros_QG,
      weight=zeros_QG + 1.0,
  )


def make_step_fns(
    model: Transformer,
    tx: optax.GradientTransformation,
    *,
    vocab_chunk: int,
    keep_logits_mb: float = 0.0,
):
  """Returns (update_fn, loss_fn), jitted.

  update_fn: (LearnerState, Batch) → (LearnerState, mean loss), donating.
  loss_fn: (params, Batch) → (sum of losses, number of tokens).
  """

  def sums(params: Any, batch: Batch):
    logp, *_ = completion_scores(
        model,
        params,
        batch,
        temperature=1.0,
        chunk=vocab_chunk,
        keep_mb=keep_logits_mb,
    )
    mask = batch.mask.reshape(logp.shape)
    return -(logp * mask).sum(), mask.sum()

  def mean(params: Any, batch: Batch):
    total, count = sums(params, batch)
    return total / count

  @functools.partial(jax.jit, donate_argnums=0)
  def update_fn(state: LearnerState, batch: Batch):
    loss, grads = jax.value_and_grad(mean)(state.params, batch)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return LearnerState(state.step + jnp.int32(1), params, opt_state), loss

  return update_fn, jax.jit(sums)
