"""Policy, value, KL and entropy terms, token by token.

Token arrays are [B, T] float32. A loss function returns a loss for each token
and its metrics, as sums and counts; `aggregate` turns token losses into a
numerator and a denominator. Those of microbatches add up to those of the
whole batch, so

  Σ numerator(microbatch) / Σ denominator(microbatch)

and its gradient do not depend on how the batch was cut.

`weight_B` (durations) multiplies in one place, the numerator of `aggregate`.
Metrics and denominators only see whether it is 0: such an attempt has left the
batch. For terms that durations do not concern (KL, entropy), pass
`weight_B > 0`.
"""

import jax
import jax.numpy as jnp

from ace_jax.core.masked import (
  Metrics,
  masked_count,
  masked_max,
  masked_mean,
  masked_sum,
  max_metric,
  mean_metric,
)
from ace_jax.core.shapes import check_shapes


def _live(mask_BT: jax.Array, weight_B: jax.Array | None) -> jax.Array:
  """The tokens that count, as booleans."""
  if weight_B is None:
    return mask_BT > 0
  return (mask_BT > 0) & (weight_B[:, None] > 0)


def log_ratio(
    logp_BT: jax.Array,
    old_logp_BT: jax.Array,
    mask_BT: jax.Array,
    *,
    ratio: str = 'token',
) -> jax.Array:
  """log ρ of each token, 0 where masked.

  token:     log ρ_t = log π(a_t) − log π_old(a_t)
  sequence:  log ρ_t = sg[s] + log π(a_t) − sg[log π(a_t)],
             s = mean_t(log π − log π_old)

  The second is the length-normalised ratio of GSPO-token,
  https://arxiv.org/abs/2507.18071 eq. 14: every token has the value of the
  sequence and a gradient of its own.
  """
  if ratio not in ('token', 'sequence'):
    raise ValueError(f'ratio is token or sequence, not {ratio!r}')
  token_BT = jnp.where(mask_BT > 0, logp_BT - old_logp_BT, 0)
  if ratio == 'token':
    return token_BT
  mean_B1 = masked_mean(token_BT, mask_BT, 1, keepdims=True)
  # token − sg[token] is 0 with the gradient of logp.
  own_BT = token_BT - jax.lax.stop_gradient(token_BT)
  return jnp.where(mask_BT > 0, jax.lax.stop_gradient(mean_B1) + own_BT, 0)


def policy_loss(
    logp_BT: jax.Array,
    old_logp_BT: jax.Array,
    adv_B: jax.Array,
    mask_BT: jax.Array,
    *,
    surrogate: str = 'ppo',
    ratio: str = 'token',
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float = 0.0,
    weight_B: jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
  """The clipped surrogate, negated.

  ppo:    −min(ρ A, clip(ρ, 1 − ε_low, 1 + ε_high) A)
          https://arxiv.org/abs/1707.06347; with a dual clip c > 1, where A < 0
          it is at most −c A, https://arxiv.org/abs/1912.09729
  cispo:  −sg[clip(ρ, 1 − ε_low, 1 + ε_high)] A log π
          https://arxiv.org/abs/2506.13585; every token keeps a gradient

  Args:
    logp_BT: of the policy being trained.
    old_logp_BT: of the proximal policy; no gradient flows into it.
    adv_B: one advantage for each attempt, or [B, T] for each token.
    mask_BT: 1 where the loss is taken.
    surrogate: ppo | cispo.
    ratio: token | sequence, see `log_ratio`.
    clip_low: ε_low.
    clip_high: ε_high.
    dual_clip: c, 0: off. Only for ppo.
    weight_B: 0 leaves an attempt out; the loss is not multiplied here.

  Returns:
    loss_BT, 0 where masked or left out, and the metrics `policy/clip_fraction`,
    `policy/ratio`, `policy/ratio_max` and `policy/approx_kl`, the k3 estimate
    of KL(old ‖ new) for samples of old.
  """
  check_shapes(
      logp_BT=logp_BT, old_logp_BT=old_logp_BT, mask_BT=mask_BT,
      weight_B=weight_B,
  )
  adv_BT = adv_B if jnp.ndim(adv_B) == 2 else adv_B[:, None]
  if surrogate not in ('ppo', 'cispo'):
    raise ValueError(f'surrogate is ppo or cispo, not {surrogate!r}')
  if dual_clip and (dual_clip <= 1 or surrogate != 'ppo'):
    raise ValueError(f'dual_clip {dual_clip} needs to be > 1, and ppo')
  live_BT = _live(mask_BT, weight_B)
  old_logp_BT = jax.lax.stop_gradient(old_logp_BT)
  log_ratio_BT = log_ratio(logp_BT, old_logp_BT, live_BT, ratio=ratio)
  ratio_BT = jnp.exp(log_ratio_BT)
  clipped_BT = jnp.clip(ratio_BT, 1 - clip_low, 1 + clip_high)
  if surrogate == 'cispo':
    loss_BT = -jax.lax.stop_gradient(clipped_BT) * adv_BT * logp_BT
    is_clipped_BT = clipped_BT != ratio_BT
  else:
    loss_BT = jnp.maximum(-ratio_BT * adv_BT, -clipped_BT * adv_BT)
    is_clipped_BT = clipped_BT * adv_BT < ratio_BT * adv_BT
    if dual_clip:
      most_BT = -dual_clip * adv_BT
      is_over_BT = (adv_BT < 0) & (loss_BT > most_BT)
      loss_BT = jnp.where(is_over_BT, most_BT, loss_BT)
      is_clipped_BT |= is_over_BT
  metrics = {
      'policy/clip_fraction': mean_metric(is_clipped_BT, live_BT),
      'policy/ratio': mean_metric(ratio_BT, live_BT),
      'policy/ratio_max': max_metric(ratio_BT, live_BT),
      'policy/approx_kl': mean_metric(ratio_BT - 1 - log_ratio_BT, live_BT),
  }
  return jnp.where(live_BT, loss_BT, 0), jax.lax.stop_gradient(metrics)


def aggregate(
    loss_BT: jax.Array,
    mask_BT: jax.Array,
    weight_B: jax.Array | None = None,
    *,
    normalizer: str = 'token',
    constant: float | None = None,
    group_size: int = 1,
) -> tuple[jax.Array, jax.Array]:
  """Token losses to (numerator [], denominator []); their ratio is the loss.

  token:     Σ_b w_b Σ_t l / number of tokens              (DAPO)
             https://arxiv.org/abs/2503.14476
  sequence:  Σ_b w_b (Σ_t l / tokens of b) / number of sequences    (GRPO)
  prompt:    Σ_q (Σ_{b of q} w_b Σ_t l / tokens of q) / number of prompts
             (ScaleRL) https://arxiv.org/abs/2510.13786
  constant:  Σ_b w_b Σ_t l / (number of sequences · constant)    (Dr.GRPO)
             https://arxiv.org/abs/2503.20783

  A sequence, or a prompt, is one with a token that counts and a weight that is
  not 0. The denominator may be 0; divide by max(denominator, 1).

  Args:
    loss_BT: one for each token.
    mask_BT: 1 where the loss is taken.
    weight_B: w, 0 leaves an attempt out of both; None: all 1.
    normalizer: token | sequence | prompt | constant.
    constant: the tokens that a completion may have, at most.
    group_size: of the prompt normalizer; so many rows in a row share a prompt.
  """
  check_shapes(loss_BT=loss_BT, mask_BT=mask_BT, weight_B=weight_B)
  live_BT = _live(mask_BT, weight_B)
  if weight_B is not None:
    loss_BT = loss_BT * weight_B[:, None]
  if normalizer == 'prompt':
    # A prompt's tokens in one row: then it is a long sequence.
    length = group_size * loss_BT.shape[1]
    loss_BT = loss_BT.reshape(-1, length)
    live_BT = live_BT.reshape(-1, length)
  num_sequences = jnp.sum(jnp.any(live_BT, axis=1), dtype=jnp.float32)
  if normalizer == 'token':
    return masked_sum(loss_BT, live_BT), masked_count(live_BT)
  if normalizer in ('sequence', 'prompt'):
    return jnp.sum(masked_mean(loss_BT, live_BT, axis=1)), num_sequences
  if normalizer == 'constant':
    if not constant:
      raise ValueError(f'the constant normalizer needs one, not {constant}')
    return masked_sum(loss_BT, live_BT), num_sequences * constant
  raise ValueError(
      'normalizer is token, sequence, prompt or constant, not '
      f'{normalizer!r}'
  )


def kl_estimate(
    logp: jax.Array, ref_logp: jax.Array, *, kind: str = 'k3'
) -> jax.Array:
  """KL(π ‖ ref) from samples of π, entry by entry; same shape.

  With d = log π_ref − log π, http://joschu.net/blog/kl-approx.html:
    k1 = −d: unbiased, high variance, its own gradient has mean 0
    k2 = d²/2: biased, its gradient is that of the KL
    k3 = e^d − 1 − d: unbiased and never negative, GRPO's
  """
  d = ref_logp - logp
  if kind == 'k1':
    return -d
  if kind == 'k2':
    return jnp.square(d) / 2
  if kind == 'k3':
    return jnp.expm1(d) - d
  raise ValueError(f'kind is k1, k2 or k3, not {kind!r}')


def importance_weight(
    old_logp_BT: jax.Array,
    behavior_logp_BT: jax.Array,
    mask_BT: jax.Array,
    *,
    level: str = 'token',
    max: float = 2.0,
) -> jax.Array:
  """Truncated importance weights from the sampler to the proximal policy.

  token:     min(π_old(a_t) / π_behavior(a_t), max)
  sequence:  min(Π_t π_old(a_t) / π_behavior(a_t), max), on each of its tokens

  https://fengyao.notion.site/off-policy-rl. No gradient flows through them.

  Args:
    old_logp_BT: of the policy that the learner computed.
    behavior_logp_BT: of the sampler.
    mask_BT: 1 on the policy's own tokens.
    level: none | token | sequence.
    max: the truncation, > 0.

  Returns:
    [B, T], 1 where masked.
  """
  check_shapes(
      old_logp_BT=old_logp_BT, behavior_logp_BT=behavior_logp_BT,
      mask_BT=mask_BT,
  )
  if level not in ('none', 'token', 'sequence'):
    raise ValueError(f'level is none, token or sequence, not {level!r}')
  if level == 'none':
    return jnp.ones_like(old_logp_BT)
  gap_BT = jnp.where(mask_BT > 0, old_logp_BT - behavior_logp_BT, 0)
  if level == 'sequence':
    gap_BT = jnp.sum(gap_BT, axis=1, keepdims=True)
  # The exponent is bounded first, so that none can overflow.
  weight_BT = jnp.exp(jnp.minimum(gap_BT, jnp.log(max)))
  return jax.lax.stop_gradient(jnp.where(mask_BT > 0, weight_BT, 1))


def value_loss(
    value_BT: jax.Array,
    old_value_BT: jax.Array,
    return_BT: jax.Array,
    mask_BT: jax.Array,
    *,
    clip: float = 0.0,
) -> tuple[jax.Array, Metrics]:
  """½ max((V − R)², (V_old + clip(V − V_old, ±ε) − R)²); ε = 0: not clipped.

  https://arxiv.org/abs/1707.06347 and its code. No gradient flows into
  `old_value_BT` or `return_BT`.

  Returns:
    loss_BT, 0 where masked, and `critic/clip_fraction`.
  """
  check_shapes(
      value_BT=value_BT, old_value_BT=old_value_BT, return_BT=return_BT,
      mask_BT=mask_BT,
  )
  old_value_BT = jax.lax.stop_gradient(old_value_BT)
  return_BT = jax.lax.stop_gradient(return_BT)
  error_BT = jnp.square(value_BT - return_BT)
  is_clipped_BT = jnp.zeros_like(error_BT)
  if clip:
    near_BT = old_value_BT + jnp.clip(value_BT - old_value_BT, -clip, clip)
    near_error_BT = jnp.square(near_BT - return_BT)
    is_clipped_BT = near_error_BT > error_BT
    error_BT = jnp.maximum(error_BT, near_error_BT)
  metrics = {'critic/clip_fraction': mean_metric(is_clipped_BT, mask_BT)}
  return jnp.where(mask_BT > 0, error_BT / 2, 0), metrics


def explained_variance(
    value_BT: jax.Array, return_BT: jax.Array, mask_BT: jax.Array
) -> jax.Array:
  """1 − Var[R − V] / Var[R], []: 1 foresees all, 0 no more than a constant.

  0 where the returns do not vary: there is nothing to explain.
  """
  check_shapes(value_BT=value_BT, return_BT=return_BT, mask_BT=mask_BT)

  def variance(x_BT):
    x_BT = x_BT - masked_max(x_BT, mask_BT)  # so that of equal numbers it is 0
    return masked_mean(jnp.square(x_BT - masked_mean(x_BT, mask_BT)), mask_BT)

  total = variance(return_BT)
  unexplained = variance(return_BT - value_BT) / jnp.where(total > 0, total, 1)
  return jnp.where(total > 0, 1 - unexplained, 0)


def entropy_loss(
    entropy_BT: jax.Array, mask_BT: jax.Array
) -> tuple[jax.Array, Metrics]:
  """−H, to be added times its coefficient; and `policy/entropy`."""
  check_shapes(entropy_BT=entropy_BT, mask_BT=mask_BT)
  metrics = {'policy/entropy': mean_metric(entropy_BT, mask_BT)}
  return jnp.where(mask_BT > 0, -entropy_BT, 0), jax.lax.stop_gradient(metrics)
