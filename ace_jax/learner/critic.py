"""PPO's critic: what a value head adds to learning.

Every attempt is an episode of its own, whose actions are the completion's
tokens and whose reward comes at the end (methods.md, section 2). The critic
reads the policy's final states and gives them no gradient; so its loss needs no
coefficient, and its learning rate is its own.

[ours] Zero-initialised, it says 0 everywhere. At step 0 its output bias is put
at the mean reward of the first batch, the mean return of the policy that the
warm start left: else PPO would begin by learning a constant.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ace_jax.core import advantages, losses
from ace_jax.core.masked import Metrics, masked_mean
from ace_jax.types import Batch, LearnerState


@dataclasses.dataclass(frozen=True)
class CriticSpec:
  """The choices of configs/default.py under `critic` that shape the loss."""

  gamma: float = 1.0
  lam: float = 1.0
  clip: float = 0.2  # 0: off
  whiten: bool = True


def start(state: LearnerState, batch: Batch) -> LearnerState:
  """Puts a new critic at the batch's mean reward; else changes nothing."""
  if 'value' not in state.params or state.step > 0:
    return state
  value = state.params['value']
  mean = masked_mean(jnp.asarray(batch.reward), batch.weight)
  out = value['out'] | {'bias': jnp.zeros_like(value['out']['bias']) + mean}
  params = state.params | {'value': value | {'out': out}}
  return state._replace(params=params)


def targets(batch: Batch, value_BC: jax.Array, spec: CriticSpec) -> Batch:
  """The batch with `adv`, `old_value` and `returns` of these values.

  An attempt that left the batch (weight 0) enters no statistic.
  """
  shape = batch.completion.shape
  live_BC = _live(batch)
  reward_BC = advantages.at_the_end(batch.reward.reshape(-1), live_BC)
  adv_BC, return_BC = advantages.gae(
      reward_BC, value_BC, live_BC, gamma=spec.gamma, lam=spec.lam
  )
  if spec.whiten:
    adv_BC = advantages.whiten(adv_BC, live_BC)
  return batch._replace(
      adv=adv_BC.reshape(shape),
      old_value=value_BC.reshape(shape),
      returns=return_BC.reshape(shape),
  )


def loss(
    value_BC: jax.Array, batch: Batch, spec: CriticSpec
) -> tuple[jax.Array, Metrics]:
  """The clipped value loss of each token, and its metrics."""
  old_value_BC, return_BC, live_BC = _rows(batch)
  return losses.value_loss(
      value_BC, old_value_BC, return_BC, live_BC, clip=spec.clip
  )


def metrics(batch: Batch) -> dict[str, jax.Array]:
  """Of the values before the batch's updates, to which it was new."""
  rows = _rows(batch)
  return {
      'critic/value_mean': masked_mean(rows[0], rows[2]),
      'critic/explained_variance': losses.explained_variance(*rows),
  }


def _rows(batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
  """old_value, returns and the mask of what counts, each [B, C]."""
  live_BC = _live(batch)
  old_value_BC, return_BC = (
      x.reshape(live_BC.shape) for x in (batch.old_value, batch.returns)
  )
  return old_value_BC, return_BC, live_BC


def _live(batch: Batch) -> jax.Array:
  """[B, C] bool, the tokens of the attempts that are in the batch."""
  live = (batch.mask > 0) & (batch.weight[..., None] > 0)
  return live.reshape(-1, batch.mask.shape[-1])


def with_critic(
    policy_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """One optimizer for each, so that neither scales the other's gradient."""

  def owners(params: Any) -> Any:
    return {key: 'critic' if key == 'value' else 'policy' for key in params}

  return optax.partition({'policy': policy_tx, 'critic': critic_tx}, owners)
