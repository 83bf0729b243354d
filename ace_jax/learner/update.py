"""The only place where parameters change.

`prepare_fn` adds what is fixed during the updates of one batch (proximal and
reference log-probs; PPO's values, advantages and returns), `update_fn` takes
one optimizer step on a minibatch. GRPO and PPO differ in `LossSpec.critic`.
Sums and counts stay apart until the last division, so a batch cut into
microbatches gives the gradient of the whole.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ace_jax.core import losses
from ace_jax.core.logprobs import token_logprobs
from ace_jax.core.masked import Mean, finish, max_metric, mean_metric, merge
from ace_jax.learner import critic
from ace_jax.policy.transformer import Transformer
from ace_jax.types import Batch, LearnerState


@dataclasses.dataclass(frozen=True)
class LossSpec:
  """The menu's choices, see configs/default.py under `loss`."""

  surrogate: str = 'ppo'
  ratio: str = 'token'
  normalizer: str = 'token'
  constant: float = 1.0  # of the constant normalizer, tokens
  clip_low: float = 0.2
  clip_high: float = 0.2
  dual_clip: float = 0.0
  kl_coef: float = 0.0
  kl_estimator: str = 'k3'
  entropy_coef: float = 0.0
  tis: str = 'none'
  tis_max: float = 2.0
  proximal: str = 'current'
  temperature: float = 1.0
  vocab_chunk: int = 512
  keep_logits_mb: float = 0.0
  num_microbatches: int = 1
  critic: critic.CriticSpec | None = None  # PPO's


def completion_scores(
    model: Transformer,
    params: Any,
    batch: Batch,
    *,
    temperature: float,
    chunk: int,
    keep_mb: float = 0.0,
    entropy: bool = False,
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
  """log π, entropy and value of every completion token, [B, C] with B = Q·G.

  The value is that of the state before the token, None without a value head.
  Logits of at most `keep_mb` MiB are kept for the backward pass.
  """
  num_logits = batch.completion.size * model.config.vocab_size
  hidden_QGCD = model.completion_states(
      params, batch.prompt, batch.prompt_mask, batch.completion
  )
  scores = token_logprobs(
      model.head_input(hidden_QGCD).reshape(-1, hidden_QGCD.shape[-1]),
      model.unembedding(params),
      batch.completion.reshape(-1),
      chunk=chunk,
      temperature=temperature,
      entropy=entropy,
      keep=4 * num_logits <= keep_mb * (1 << 20),
      precision=model.config.head_precision,
  )
  value = None
  if 'value' in params:
    value = model.values(params, hidden_QGCD)
  length = batch.completion.shape[-1]
  return jax.tree.map(lambda x: x.reshape(-1, length), (*scores, value))


def make_prepare_fn(model: Transformer, spec: LossSpec):
  """(params, ref_params, Batch) → Batch with what its updates hold fixed.

  `spec.proximal='current'` leaves old_logp alone: a batch used for a single
  update has ratio 1 by construction, and needs no extra forward pass. With a
  critic, adv, old_value and returns are filled.
  """
  scores = functools.partial(
      completion_scores,
      model,
      temperature=spec.temperature,
      chunk=spec.vocab_chunk,
  )

  @jax.jit
  def logprobs(params: Any, batch: Batch) -> jax.Array:
    return scores(params, batch)[0].reshape(batch.completion.shape)

  @jax.jit
  def with_targets(params: Any, batch: Batch) -> Batch:
    logp, _, value = scores(params, batch)  # in one pass, if both are needed
    if spec.proximal == 'recompute':
      batch = batch._replace(old_logp=logp.reshape(batch.completion.shape))
    return critic.targets(batch, value, spec.critic)

  def prepare_fn(params: Any, ref_params: Any, batch: Batch) -> Batch:
    if spec.critic:
      batch = with_targets(params, batch)
    elif spec.proximal == 'recompute':
      batch = batch._replace(old_logp=logprobs(params, batch))
    if spec.kl_coef:
      batch = batch._replace(ref_logp=logprobs(ref_params, batch))
    return batch

  return prepare_fn


def make_update_fn(
    model: Transformer, tx: optax.GradientTransformation, spec: LossSpec
):
  """(LearnerState, Batch) → (LearnerState, metrics), jitted, state donated."""

  def live_weight(batch: Batch) -> tuple[jax.Array, jax.Array]:
    """mask [B, C] and weight [B] of a batch."""
    B = batch.weight.size
    return batch.mask.reshape(B, -1), batch.weight.reshape(B)

  def aggregator(batch: Batch):
    return functools.partial(
        losses.aggregate,
        normalizer=spec.normalizer,
        constant=spec.constant,
        group_size=batch.weight.shape[1],
    )

  def numerator(params, batch: Batch):
    """The loss before its division, and metrics before theirs."""
    mask, weight_B = live_weight(batch)
    aggregate = aggregator(batch)
    behavior, old, ref = (
        x.reshape(mask.shape)
        for x in (batch.behavior_logp, batch.old_logp, batch.ref_logp)
    )
    logp, entropy, value = completion_scores(
        model,
        params,
        batch,
        temperature=spec.temperature,
        chunk=spec.vocab_chunk,
        keep_mb=spec.keep_logits_mb,
        entropy=True,
    )
    if spec.proximal == 'current':
      old = jax.lax.stop_gradient(logp)
    loss, metrics = losses.policy_loss(
        logp,
        old,
        batch.adv.reshape(len(mask), -1),
        mask,
        surrogate=spec.surrogate,
        ratio=spec.ratio,
        clip_low=spec.clip_low,
        clip_high=spec.clip_high,
        dual_clip=spec.dual_clip,
        weight_B=weight_B,
    )
    loss *= losses.importance_weight(
        old, behavior, mask, level=spec.tis, max=spec.tis_max
    )
    total, _ = aggregate(loss, mask, weight_B)
    metrics['loss/policy'] = Mean(jax.lax.stop_gradient(total), 0.0)

    # Durations weigh the policy gradient alone.
    is_live_B = (weight_B > 0).astype(jnp.float32)
    if spec.kl_coef:
      kl = losses.kl_estimate(logp, ref, kind=spec.kl_estimator)
      metrics['loss/kl'] = mean_metric(jax.lax.stop_gradient(kl), mask)
      total += spec.kl_coef * aggregate(kl, mask, is_live_B)[0]
    loss, entropy_metrics = losses.entropy_loss(entropy, mask)
    if spec.entropy_coef:
      total += spec.entropy_coef * aggregate(loss, mask, is_live_B)[0]
    if spec.critic:
      loss, value_metrics = critic.loss(value, batch, spec.critic)
      value_total, _ = aggregate(loss, mask, is_live_B)
      metrics['loss/value'] = Mean(jax.lax.stop_gradient(value_total), 0.0)
      metrics |= value_metrics
      total += value_total
    gap = jnp.abs(jax.lax.stop_gradient(logp) - behavior)
    return total, metrics | entropy_metrics | {
        'policy/logp_gap_mean': mean_metric(gap, mask),
        'policy/logp_gap_max': max_metric(gap, mask),
    }

  grad_fn = jax.grad(numerator, has_aux=True)

  def sums(params, batch: Batch):
    """Gradient and metrics of the whole batch, in microbatches."""
    if spec.num_microbatches == 1:
      return grad_fn(params, batch)

    def accumulate(grads, part):
      new, metrics = grad_fn(params, part)
      return jax.tree.map(jnp.add, grads, new), metrics

    parts = jax.tree.map(
        lambda x: x.reshape(spec.num_microbatches, -1, *x.shape[1:]), batch
    )
    zeros = jax.tree.map(jnp.zeros_like, params)
    grads, metrics = jax.lax.scan(accumulate, zeros, parts)
    return grads, merge(metrics)

  @functools.partial(jax.jit, donate_argnums=0)
  def update_fn(state: LearnerState, batch: Batch):
    mask, weight_B = live_weight(batch)
    _, denominator = aggregator(batch)(jnp.zeros_like(mask), mask, weight_B)
    denominator = jnp.maximum(denominator, 1)
    grads, metrics = sums(state.params, batch)
    grads = jax.tree.map(lambda g: g / denominator, grads)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # These two have the gradient's denominator.
    totals = {
        name: metrics.pop(name).total / denominator
        for name in ('loss/policy', 'loss/value')
        if name in metrics
    }
    metrics = finish(metrics) | totals
    if spec.critic:
      metrics |= critic.metrics(batch)
      metrics['critic/grad_norm'] = optax.tree.norm(grads.pop('value'))
    metrics['policy/grad_norm'] = optax.tree.norm(grads)
    return LearnerState(state.step + 1, params, opt_state), metrics

  return update_fn
