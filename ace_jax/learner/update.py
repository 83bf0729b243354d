"""The only place where parameters change.

`prepare_fn` adds what is fixed during the updates of one batch (proximal and
reference log-probs), `update_fn` takes one optimizer step on a minibatch.
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
  num_microbatches: int = 1


def completion_logprobs(
    model: Transformer,
    params: Any,
    batch: Batch,
    *,
    temperature: float,
    chunk: int,
    entropy: bool = False,
) -> tuple[jax.Array, jax.Array]:
  """log π and entropy of every completion token, [B, C] with B = Q·G."""
  hidden_QGCD = model.completion_states(
      params, batch.prompt, batch.prompt_mask, batch.completion
  )
  flat = (-1, hidden_QGCD.shape[-1])
  logp_X, entropy_X = token_logprobs(
      hidden_QGCD.reshape(flat),
      model.unembedding(params),
      batch.completion.reshape(-1),
      chunk=chunk,
      temperature=temperature,
      entropy=entropy,
  )
  shape = (-1, batch.completion.shape[-1])
  return logp_X.reshape(shape), entropy_X.reshape(shape)


def make_prepare_fn(model: Transformer, spec: LossSpec):
  """(params, ref_params, Batch) → Batch with old_logp and ref_logp filled.

  `spec.proximal='current'` leaves old_logp alone: a batch used for a single
  update has ratio 1 by construction, and needs no extra forward pass.
  """
  logprobs = jax.jit(
      lambda params, batch: completion_logprobs(
          model,
          params,
          batch,
          temperature=spec.temperature,
          chunk=spec.vocab_chunk,
      )[0].reshape(batch.completion.shape)
  )

  def prepare_fn(params: Any, ref_params: Any, batch: Batch) -> Batch:
    if spec.proximal == 'recompute':
      batch = batch._replace(old_logp=logprobs(params, batch))
    if spec.kl_coef:
      batch = batch._replace(ref_logp=logprobs(ref_params, batch))
    return batch

  return prepare_fn


def make_update_fn(
    model: Transformer, tx: optax.GradientTransformation, spec: LossSpec
):
  """(LearnerState, Batch) → (LearnerState, metrics), jitted, state donated."""

  def numerator(params, batch: Batch):
    """The loss before its division, and metrics as (sum, count) pairs."""
    B = batch.completion.shape[0] * batch.completion.shape[1]
    mask, behavior, old, ref = (
        x.reshape(B, -1)
        for x in (
            batch.mask, batch.behavior_logp, batch.old_logp, batch.ref_logp
        )
    )
    adv_B, weight_B = batch.adv.reshape(B), batch.weight.reshape(B)
    logp, entropy = completion_logprobs(
        model,
        params,
        batch,
        temperature=spec.temperature,
        chunk=spec.vocab_chunk,
        entropy=True,
    )
    if spec.proximal == 'current':
      old = jax.lax.stop_gradient(logp)
    loss, metrics = losses.policy_loss(
        logp,
        old,
        adv_B,
        mask,
        surrogate=spec.surrogate,
        ratio=spec.ratio,
        clip_low=spec.clip_low,
        clip_high=spec.clip_high,
        dual_clip=spec.dual_clip,
    )
    if spec.tis != 'none':
      loss *= losses.importance_weight(
          old, behavior, mask, level=spec.tis, max=spec.tis_max
      )
    if spec.kl_coef:
      kl = losses.kl_estimate(logp, ref, kind=spec.kl_estimator)
      metrics['loss/kl'] = ((kl * mask).sum(), mask.sum())
      loss += spec.kl_coef * kl
    loss -= spec.entropy_coef * entropy
    total, _ = losses.aggregate(
        loss,
        mask,
        weight_B,
        normalizer=spec.normalizer,
        constant=spec.constant,
    )
    gap = jnp.abs(jax.lax.stop_gradient(logp) - behavior) * mask
    metrics |= {
        'loss/policy': (jax.lax.stop_gradient(total), 0.0),
        'policy/entropy': ((entropy * mask).sum(), mask.sum()),
        'policy/logp_gap_mean': (gap.sum(), mask.sum()),
    }
    return total, (metrics, gap.max())

  grad_fn = jax.grad(numerator, has_aux=True)

  @functools.partial(jax.jit, donate_argnums=0)
  def update_fn(state: LearnerState, batch: Batch):
    Q, G, C = batch.completion.shape
    mask, weight = batch.mask.reshape(Q * G, C), batch.weight.reshape(Q * G)
    _, denominator = losses.aggregate(
        jnp.zeros_like(mask),
        mask,
        weight,
        normalizer=spec.normalizer,
        constant=spec.constant,
    )
    micro = jax.tree.map(
        lambda x: x.reshape(spec.num_microbatches, -1, *x.shape[1:]), batch
    )

    def accumulate(grads, part):
      new, aux = grad_fn(state.params, part)
      return jax.tree.map(jnp.add, grads, new), aux

    if spec.num_microbatches == 1:
      grads, (metrics, gap_max) = grad_fn(state.params, batch)
    else:
      zeros = jax.tree.map(jnp.zeros_like, state.params)
      grads, aux = jax.lax.scan(accumulate, zeros, micro)
      metrics, gap_max = jax.tree.map(lambda x: x.sum(0), aux[0]), aux[1].max()
    grads = jax.tree.map(lambda g: g / jnp.maximum(denominator, 1e-9), grads)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    total = metrics.pop('loss/policy')[0]
    metrics = {k: s / jnp.maximum(n, 1) for k, (s, n) in metrics.items()}
    metrics |= {
        'loss/policy': total / jnp.maximum(denominator, 1e-9),
        'policy/logp_gap_max': gap_max,
        'policy/grad_norm': optax.global_norm(grads),
    }
    return LearnerState(state.step + 1, params, opt_state), metrics

  return update_fn
