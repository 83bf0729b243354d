"""How much better than its peers each attempt was.

Arrays are [Q, G]: Q problems with G attempts each. `mask_QG` is 0 where an
attempt left the batch (`infra_error`); it gets 0 and enters no statistic.
Standard deviations divide by n − 1, as those of TRL and verl do. Groups of
equal rewards get exactly 0.
"""

import math

import jax
import jax.numpy as jnp

from ace_jax.core.masked import (
  masked_count,
  masked_max,
  masked_mean,
  masked_sum,
)
from ace_jax.core.shapes import check_shapes

# How far `nested` keeps the worst valid attempt above the best failure.
NESTED_MARGIN = 0.01


def _centred(
    x_QG: jax.Array, mask_QG: jax.Array, axis: int | None = 1
) -> jax.Array:
  """x minus the mean of its group (of all: None), 0 where masked."""
  # From the maximum on, because the mean of equal numbers may be an ulp off
  # them, and a division by their deviation makes that an advantage.
  below_QG = x_QG - masked_max(x_QG, mask_QG, axis, keepdims=True)
  mean = masked_mean(below_QG, mask_QG, axis, keepdims=True)
  return jnp.where(mask_QG > 0, below_QG - mean, 0)


def _std(centred: jax.Array, mask: jax.Array, axis: int | None) -> jax.Array:
  """Sample deviation of what is centred already; 0 for fewer than two."""
  count = masked_count(mask, axis, keepdims=True)
  total = masked_sum(jnp.square(centred), mask, axis, keepdims=True)
  return jnp.sqrt(total / jnp.maximum(count - 1, 1))


def group_relative(
    reward_QG: jax.Array,
    mask_QG: jax.Array,
    *,
    scale_by_std: bool = True,
    eps: float = 1e-4,
) -> jax.Array:
  """GRPO: A_i = (r_i − mean r) / (std r + ε).

  https://arxiv.org/abs/2402.03300; without the division it is Dr.GRPO,
  https://arxiv.org/abs/2503.20783.
  """
  check_shapes(reward_QG=reward_QG, mask_QG=mask_QG)
  adv_QG = _centred(reward_QG, mask_QG)
  if scale_by_std:
    adv_QG = adv_QG / (_std(adv_QG, mask_QG, 1) + eps)
  return adv_QG


def batch_normalized(
    reward_QG: jax.Array, mask_QG: jax.Array, *, eps: float = 1e-4
) -> jax.Array:
  """ScaleRL: A_i = (r_i − mean r) / (std of those over the batch + ε).

  https://arxiv.org/abs/2510.13786.
  """
  check_shapes(reward_QG=reward_QG, mask_QG=mask_QG)
  adv_QG = _centred(reward_QG, mask_QG)
  return adv_QG / (_std(adv_QG, mask_QG, None) + eps)


def leave_one_out(reward_QG: jax.Array, mask_QG: jax.Array) -> jax.Array:
  """RLOO: A_i = r_i − mean_{j≠i} r_j; 0 for an attempt that is alone.

  https://arxiv.org/abs/2402.14740.
  """
  check_shapes(reward_QG=reward_QG, mask_QG=mask_QG)
  count_Q1 = masked_count(mask_QG, 1, keepdims=True)
  # r_i − mean of the others = n / (n − 1) · (r_i − mean of all).
  scale_Q1 = count_Q1 / jnp.maximum(count_Q1 - 1, 1)
  return scale_Q1 * _centred(reward_QG, mask_QG)


def entropic(
    reward_QG: jax.Array,
    mask_QG: jax.Array,
    *,
    target_kl: float = math.log(2.0),
) -> jax.Array:
  """A_i = e^{βr_i} / mean_{j≠i} e^{βr_j} − 1, with KL(q_β ‖ uniform) = ln 2.

  https://arxiv.org/abs/2601.16175. q_β ∝ e^{βr} tilts the group towards its
  best. Its KL grows with β up to ln(n/m), reached at β = ∞ for m equal best of
  n. [ours] Where that is not above the target, half the attempts or more being
  best, the target is half of ln(n/m) instead: it exists, is the same whatever
  the scale of the rewards, and goes to 0 as all become equal.
  """
  G = check_shapes(reward_QG=reward_QG, mask_QG=mask_QG)['G']
  is_live_QG = mask_QG > 0
  count_Q1 = masked_count(mask_QG, 1, keepdims=True)
  gap_QG = masked_max(reward_QG, mask_QG, 1, keepdims=True) - reward_QG
  gap_QG = jnp.where(is_live_QG, gap_QG, 0)
  spread_Q1 = jnp.max(gap_QG, axis=1, keepdims=True)
  # In [−1, 0], so that β has one scale whatever the rewards' is.
  z_QG = -gap_QG / jnp.where(spread_Q1 > 0, spread_Q1, 1)

  best_Q1 = masked_count(is_live_QG & (gap_QG == 0), 1, keepdims=True)
  highest_Q1 = jnp.log(count_Q1 / best_Q1)
  # The tolerance is for the rounding of ln 2 itself, when n = 2m.
  is_reached_Q1 = highest_Q1 > target_kl * (1 + 1e-3)
  target_Q1 = jnp.where(is_reached_Q1, target_kl, highest_Q1 / 2)

  def kl(beta_Q1):
    tilt_QG = jnp.where(is_live_QG, jnp.exp(beta_Q1 * z_QG), 0)
    norm_Q1 = jnp.sum(tilt_QG, axis=1, keepdims=True)
    mean_z_Q1 = jnp.sum(tilt_QG * z_QG, axis=1, keepdims=True) / norm_Q1
    return beta_Q1 * mean_z_Q1 - jnp.log(norm_Q1 / count_Q1)

  def bisect(_, bounds):
    low_Q1, high_Q1 = bounds
    middle_Q1 = jnp.sqrt(low_Q1 * high_Q1)  # β spans many magnitudes
    is_over_Q1 = kl(middle_Q1) > target_Q1
    return (
        jnp.where(is_over_Q1, low_Q1, middle_Q1),
        jnp.where(is_over_Q1, middle_Q1, high_Q1),
    )

  bounds = jnp.full_like(target_Q1, 1e-3), jnp.full_like(target_Q1, 1e9)
  beta_Q1, _ = jax.lax.fori_loop(0, 64, bisect, bounds)
  tilt_QG = jnp.where(is_live_QG, jnp.exp(beta_Q1 * z_QG), 0)
  # Summed without i: subtracting it from the total would cancel.
  others_QG = tilt_QG @ (1 - jnp.eye(G, dtype=tilt_QG.dtype))
  adv_QG = tilt_QG * (count_Q1 - 1) / others_QG - 1
  return jnp.where(is_live_QG & (others_QG > 0), adv_QG, 0)


def max_k(
    reward_QG: jax.Array, mask_QG: jax.Array, *, k: int = 4
) -> jax.Array:
  """PKPO: A_i = E_S[(r_i − max r_S)⁺], S ⊂ the others, |S| = k − 1.

  https://arxiv.org/abs/2505.15201. Sorted ascending, r_j is the maximum of
  C(j − 1, k − 2) of the C(n − 1, k − 1) subsets, so

    A_i = Σ_{j<i} (r_i − r_j) · C(j − 1, k − 2) / C(n − 1, k − 1).

  A group with n < k live attempts has its own k = n; a single one gets 0.
  """
  check_shapes(reward_QG=reward_QG, mask_QG=mask_QG)
  if k < 2:
    raise ValueError(f'k must be at least 2, not {k}')
  is_live_QG = mask_QG > 0
  others_Q1 = masked_count(mask_QG, 1, keepdims=True) - 1  # n − 1
  drawn_Q1 = jnp.minimum(k - 1, others_Q1)  # |S|
  reward_QG = jnp.where(is_live_QG, reward_QG, jnp.inf)  # sorts last
  order_QG = jnp.argsort(reward_QG, axis=1)
  rank_QG = jnp.argsort(order_QG, axis=1)  # j − 1 of the equation

  # C(a, b − 1) / C(n, b) = b/n · Π_{t<b−1} (a − t)/(n − 1 − t): a product of
  # numbers near one, where the binomials would overflow float32.
  weight_QG = drawn_Q1 / jnp.maximum(others_Q1, 1)
  for t in range(k - 2):
    factor_QG = (rank_QG - t) / (others_Q1 - 1 - t)
    weight_QG = weight_QG * jnp.where(t < drawn_Q1 - 1, factor_QG, 1)
  weight_QG = jnp.where(is_live_QG, weight_QG, 0)

  reward_QG = jnp.where(is_live_QG, reward_QG, 0)
  gain_QGG = jnp.maximum(reward_QG[:, :, None] - reward_QG[:, None, :], 0)
  adv_QG = jnp.sum(gain_QGG * weight_QG[:, None, :], axis=-1)
  return jnp.where(is_live_QG, adv_QG, 0)


def nested(
    valid_QG: jax.Array,
    quality_QG: jax.Array,
    milestones_QG: jax.Array,
    mask_QG: jax.Array,
) -> jax.Array:
  """Validity, then quality among the valid, then milestones of the failed.

  A_i = (v_i − v̄) + ½ v_i · clip((q_i − q̄_v) / max(s_v, .05), ±2)
        + .1 (1 − v_i)(m_i − m̄_f)

  [ours] The parts alone do not keep every valid attempt above every failure:
  at the clip's lower end ½·(−2) takes back all that being valid gave, and the
  best failure has up to .1 more. There, and only there, the valid attempt is
  lifted to NESTED_MARGIN above the best failure of its group.

  Args:
    valid_QG: 1 where the attempt has a valid grade.
    quality_QG: HumanRank, in [0, 1]; anything where not valid.
    milestones_QG: the *fraction* of the milestones reached, in [0, 1].
    mask_QG: 0 where an attempt left the batch.
  """
  check_shapes(
      valid_QG=valid_QG,
      quality_QG=quality_QG,
      milestones_QG=milestones_QG,
      mask_QG=mask_QG,
  )
  is_valid_QG = (valid_QG > 0) & (mask_QG > 0)
  is_failed_QG = ~(valid_QG > 0) & (mask_QG > 0)
  validity_QG = _centred(jnp.where(is_valid_QG, 1.0, 0.0), mask_QG)
  quality_QG = _centred(quality_QG, is_valid_QG)
  scale_Q1 = jnp.maximum(_std(quality_QG, is_valid_QG, 1), 0.05)
  quality_QG = 0.5 * jnp.clip(quality_QG / scale_Q1, -2, 2)
  failure_QG = validity_QG + 0.1 * _centred(milestones_QG, is_failed_QG)
  best_failure_Q1 = masked_max(failure_QG, is_failed_QG, 1, keepdims=True)
  return jnp.where(
      is_valid_QG,
      jnp.maximum(validity_QG + quality_QG, best_failure_Q1 + NESTED_MARGIN),
      failure_QG,
  )


def zero_variance_mask(reward_QG: jax.Array, mask_QG: jax.Array) -> jax.Array:
  """[Q] bool, True where all rewards of a group are equal: it teaches nothing.

  Also where fewer than two attempts are left.
  """
  check_shapes(reward_QG=reward_QG, mask_QG=mask_QG)
  lowest_Q = -masked_max(-reward_QG, mask_QG, 1)
  return masked_max(reward_QG, mask_QG, 1) <= lowest_Q


def gae(
    reward_BT: jax.Array,
    value_BT: jax.Array,
    mask_BT: jax.Array,
    *,
    gamma: float = 1.0,
    lam: float = 1.0,
) -> tuple[jax.Array, jax.Array]:
  """Generalised advantages over the tokens that are actions.

  δ_t = r_t + γ V_{t+1} − V_t,  A_t = δ_t + γλ A_{t+1},  R_t = A_t + V_t

  https://arxiv.org/abs/1506.02438. Masked tokens (padding, or text of the
  environment between two turns) are stepped over: t + 1 is the next action.
  After the last action the value is 0. Rewards of masked tokens are not seen.

  Returns:
    adv_BT and return_BT, 0 where masked.
  """
  B = check_shapes(reward_BT=reward_BT, value_BT=value_BT, mask_BT=mask_BT)['B']

  def back(carry, token):
    next_value_B, next_adv_B = carry
    reward_B, value_B, is_action_B = token
    delta_B = reward_B + gamma * next_value_B - value_B
    adv_B = delta_B + gamma * lam * next_adv_B
    carry = (
        jnp.where(is_action_B, value_B, next_value_B),
        jnp.where(is_action_B, adv_B, next_adv_B),
    )
    return carry, jnp.where(is_action_B, adv_B, 0)

  zero_B = jnp.zeros_like(value_BT, shape=B)
  tokens = reward_BT.T, value_BT.T, (mask_BT > 0).T
  _, adv_TB = jax.lax.scan(back, (zero_B, zero_B), tokens, reverse=True)
  adv_BT = adv_TB.T
  return adv_BT, jnp.where(mask_BT > 0, adv_BT + value_BT, 0)


def at_the_end(reward_B: jax.Array, mask_BT: jax.Array) -> jax.Array:
  """An episode's reward on its last action, 0 elsewhere: [B, T]."""
  check_shapes(reward_B=reward_B, mask_BT=mask_BT)
  is_action_BT = mask_BT > 0
  actions_left_BT = jnp.cumsum(is_action_BT[:, ::-1], axis=1)[:, ::-1]
  is_last_BT = is_action_BT & (actions_left_BT == 1)
  return jnp.where(is_last_BT, reward_B[:, None], 0)


def whiten(
    adv_BT: jax.Array, mask_BT: jax.Array, *, eps: float = 1e-4
) -> jax.Array:
  """(A − mean) / (std + ε) over all the tokens that count, 0 elsewhere."""
  check_shapes(adv_BT=adv_BT, mask_BT=mask_BT)
  centred_BT = _centred(adv_BT, mask_BT, None)
  return centred_BT / (_std(centred_BT, mask_BT, None) + eps)


def _of_reward(fn):
  """Gives `fn(reward, mask)` the signature that all of ADVANTAGES share."""

  def advantage(
      reward_QG, valid_QG, quality_QG, milestones_QG, mask_QG, **kwargs
  ):
    del valid_QG, quality_QG, milestones_QG
    return fn(reward_QG, mask_QG, **kwargs)

  return advantage


def _nested(reward_QG, valid_QG, quality_QG, milestones_QG, mask_QG):
  del reward_QG
  return nested(valid_QG, quality_QG, milestones_QG, mask_QG)


# name → fn(reward_QG, valid_QG, quality_QG, milestones_QG, mask_QG) → adv_QG;
# scalars (`scale_by_std`, `k`, …) are closed with functools.partial.
ADVANTAGES = {
    'group_relative': _of_reward(group_relative),
    'leave_one_out': _of_reward(leave_one_out),
    'entropic': _of_reward(entropic),
    'max_k': _of_reward(max_k),
    'nested': _nested,
    'batch_normalized': _of_reward(batch_normalized),
}
