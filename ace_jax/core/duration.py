"""Execution times to policy-gradient weights.

RL4MLE, https://arxiv.org/abs/2509.01684, weights each action's gradient by its
execution time over the batch's mean, because among finished actions the fast
ones are over-represented. How this module differs:

1. The rule is a choice. The premise, deliveries ∝ π(a)/Δt, holds where slots
   are bound to tasks or slow results are dropped; where everything launched is
   used, deliveries are distributed as π, and `paper` would pay for slowness.
2. `propensity` divides by the probability that an action of this duration was
   delivered at all, estimated from the collector's own record.
3. The unit is a choice: what is delivered may be an action, a whole group,
   whose time is that of its slowest member, or a task.
4. Weights are clipped, and sleeping earns nothing (`effective_duration`).

Where slow actions are never delivered no weight helps: there is nothing to
weigh. Arrays are [Q, G]: Q groups of G attempts; seconds.
"""

import jax
import jax.numpy as jnp

from ace_jax.core.masked import (
  masked_count,
  masked_max,
  masked_mean,
  masked_sum,
)
from ace_jax.core.shapes import check_shapes


def effective_duration(
    wall_s: jax.Array, cpu_s: jax.Array, *, cores: int
) -> jax.Array:
  """min(wall, CPU × cores) in seconds: time spent asleep does not count."""
  return jnp.minimum(wall_s, cpu_s * cores)


def unit_durations(
    delta_QG: jax.Array,
    mask_QG: jax.Array,
    *,
    unit: str,
    task_ids_Q: jax.Array | None = None,
) -> jax.Array:
  """The time of what is delivered as a whole, on each of its attempts.

  Args:
    delta_QG: seconds; anything where masked.
    mask_QG: 0 where an attempt left the batch.
    unit: action: its own; group: its slowest member's; task: the mean over
      the task's attempts in the batch.
    task_ids_Q: int, which groups are of one task; for unit 'task'.

  Returns:
    [Q, G] seconds, 0 where masked.
  """
  check_shapes(delta_QG=delta_QG, mask_QG=mask_QG, task_ids_Q=task_ids_Q)
  is_live_QG = mask_QG > 0
  if unit == 'action':
    unit_QG = delta_QG
  elif unit == 'group':
    unit_QG = masked_max(delta_QG, mask_QG, 1, keepdims=True)
  elif unit == 'task':
    if task_ids_Q is None:
      raise ValueError("unit 'task' needs task_ids_Q")
    is_same_QQ = (task_ids_Q[:, None] == task_ids_Q).astype(jnp.float32)
    total_Q1 = is_same_QQ @ masked_sum(delta_QG, mask_QG, 1, keepdims=True)
    count_Q1 = is_same_QQ @ masked_count(mask_QG, 1, keepdims=True)
    unit_QG = total_Q1 / jnp.maximum(count_Q1, 1)
  else:
    raise ValueError(f'unit is action, group or task, not {unit!r}')
  return jnp.where(is_live_QG, unit_QG, 0)


def weights(
    delta_QG: jax.Array,
    mask_QG: jax.Array,
    *,
    rule: str,
    unit: str = 'action',
    clip_low: float = 0.25,
    clip_high: float = 4.0,
    task_ids_Q: jax.Array | None = None,
    propensity_QG: jax.Array | None = None,
    floor: float = 0.05,
) -> jax.Array:
  """The weight of each attempt's policy gradient; equal durations give 1.

    none:        1
    paper:       Δt / mean over the batch of Δt
    propensity:  1/P / mean over the batch of 1/P,  P = P(delivered | Δt)

  Args:
    delta_QG: seconds, see `effective_duration`; a timed-out action's is its
      limit. Anything where masked.
    mask_QG: 0 where an attempt left the batch.
    rule: none | paper | propensity.
    unit: action | group | task, see `unit_durations`.
    clip_low: least weight, at most 1.
    clip_high: greatest weight, at least 1.
    task_ids_Q: int, for unit 'task'.
    propensity_QG: for rule 'propensity', see `propensity`; for unit 'group' or
      'task' at the times of `unit_durations`.
    floor: P is taken to be at least this.

  Returns:
    [Q, G] float32, 0 where masked; the mean over the rest is 1 but for clips.
  """
  check_shapes(
      delta_QG=delta_QG, mask_QG=mask_QG, propensity_QG=propensity_QG
  )
  if not 0 <= clip_low <= 1 <= clip_high:
    raise ValueError(f'clips must hold 1 between: {clip_low}, {clip_high}')
  is_live_QG = mask_QG > 0
  if rule == 'none':
    return is_live_QG.astype(jnp.float32)
  if rule == 'paper':
    raw_QG = delta_QG
  elif rule == 'propensity':
    if propensity_QG is None:
      raise ValueError("rule 'propensity' needs propensity_QG")
    # The slowest member of a group has its largest 1/P.
    raw_QG = 1 / jnp.maximum(propensity_QG, floor)
  else:
    raise ValueError(f'rule is none, paper or propensity, not {rule!r}')
  # As what is missing to the largest: that is exactly 0 for equal durations,
  # whatever the order of the sums and divisions in a mean.
  largest = masked_max(raw_QG, mask_QG)
  missing_QG = jnp.where(largest > 0, (raw_QG - largest) / largest, 0)
  missing_QG = unit_durations(
      missing_QG, mask_QG, unit=unit, task_ids_Q=task_ids_Q
  )
  weight_QG = (1 + missing_QG) / (1 + masked_mean(missing_QG, mask_QG))
  weight_QG = jnp.clip(weight_QG, clip_low, clip_high).astype(jnp.float32)
  return jnp.where(is_live_QG, weight_QG, 0)


def cutoffs(
    launch_N: jax.Array, update_U: jax.Array, *, max_staleness: int
) -> tuple[jax.Array, jax.Array]:
  """When each launch's result becomes too old to be used (rule 'bounded').

  A launch made after v updates may enter update number v + max_staleness,
  counted from 0, and none later.

  Args:
    launch_N: seconds at which actions were launched.
    update_U: seconds at which updates 0 … U − 1 started, ascending.
    max_staleness: in updates.

  Returns:
    cutoff_N seconds, and record_mask_N, 0 where that update is still to come.
  """
  last_N = jnp.searchsorted(update_U, launch_N, side='right') + max_staleness
  num_updates = update_U.shape[0]
  cutoff_N = update_U[jnp.minimum(last_N, num_updates - 1)]
  return cutoff_N, (last_N < num_updates).astype(jnp.float32)


def propensity(
    delta_QG: jax.Array,
    launch_N: jax.Array,
    cutoff_N: jax.Array,
    record_mask_N: jax.Array | None = None,
) -> jax.Array:
  """P(delivered | Δt): the share of recorded launches that left it time.

    P(Δt) = mean_n [launch_n + Δt ≤ cutoff_n]

  Every launch counts, whatever became of it, so the estimate does not suffer
  from the selection that it corrects.

  Args:
    delta_QG: seconds.
    launch_N: seconds at which actions were launched.
    cutoff_N: seconds after which their results were, or would have been,
      dropped; inf where never. All inf (paced collection) gives exactly 1.
    record_mask_N: 0 for launches whose cut-off is not known yet.

  Returns:
    [Q, G] float32 in [0, 1]; 1 without any record.
  """
  check_shapes(
      delta_QG=delta_QG,
      launch_N=launch_N,
      cutoff_N=cutoff_N,
      record_mask_N=record_mask_N,
  )
  if record_mask_N is None:
    record_mask_N = jnp.ones_like(launch_N)
  in_time_QGN = delta_QG[:, :, None] + launch_N <= cutoff_N
  count = masked_count(record_mask_N)
  in_time_QG = masked_sum(in_time_QGN.astype(jnp.float32), record_mask_N, -1)
  return jnp.where(count > 0, in_time_QG / jnp.maximum(count, 1), 1)
