"""From a config to the functions that a run is made of."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
import optax

from ace_jax.buffer import source
from ace_jax.buffer.spec import Spec
from ace_jax.core import advantages, duration
from ace_jax.envs import lineage, rewards
from ace_jax.learner import batching, critic, state, update
from ace_jax.types import Attempt, Batch, Group, Problem, Status


def learning_rate(
    config: ml_collections.ConfigDict,
) -> Callable[[Any], Any]:
  """The policy's schedule over all optimizer steps of the run.

  Raises:
    ValueError: an unknown schedule, or PPO's critic would warm up all along.
  """
  c = config.learner
  num_updates = config.num_steps * c.num_epochs * c.num_minibatches
  # 0 while the critic alone learns: Adam gathers the policy's moments already.
  held = config.critic.warmup_updates if is_ppo(config) else 0
  if 0 < num_updates <= held:
    raise ValueError(
        f'critic.warmup_updates={held} leaves none of {num_updates} updates to '
        'the policy; set fewer, or more num_steps'
    )
  schedule = state.learning_rate(
      lr=c.lr,
      lr_schedule=c.lr_schedule,
      warmup_steps=c.warmup_steps,
      num_steps=num_updates - held,
  )
  if not held:
    return schedule
  return optax.join_schedules([optax.constant_schedule(0.0), schedule], [held])


def make_optimizer(
    config: ml_collections.ConfigDict, schedule: Callable[[Any], Any]
) -> optax.GradientTransformation:
  """The learner's optimizer; under PPO the critic has one of its own."""
  c = config.learner
  make = functools.partial(
      state.make_optimizer, b1=c.b1, b2=c.b2, max_grad_norm=c.max_grad_norm
  )
  policy_tx = make(schedule, eps=c.eps, weight_decay=c.weight_decay)
  if not is_ppo(config):
    return policy_tx
  critic_tx = make(
      optax.constant_schedule(config.critic.lr), weight_decay=0.0
  )
  return critic.with_critic(policy_tx, critic_tx)


def is_ppo(config: ml_collections.ConfigDict) -> bool:
  """Whether there is a critic.

  Raises:
    ValueError: an unknown algorithm.
  """
  name = config.learner.algorithm
  if name not in ('grpo', 'ppo'):
    raise ValueError(f'learner.algorithm={name!r} is none of grpo, ppo')
  return name == 'ppo'


def loss_spec(config: ml_collections.ConfigDict) -> update.LossSpec:
  """The loss's choices.

  Raises:
    ValueError: choices that exclude each other.
  """
  c, loss = config.learner, config.loss
  if c.proximal == 'current' and c.num_epochs * c.num_minibatches > 1:
    raise ValueError(
        f"learner.proximal='current' is exact for one update per batch, not "
        f'for num_epochs={c.num_epochs} × num_minibatches={c.num_minibatches};'
        " set learner.proximal='recompute'"
    )
  if config.collect.num_groups % (c.num_minibatches * c.num_microbatches):
    raise ValueError(
        f'collect.num_groups={config.collect.num_groups} cannot be cut into '
        f'num_minibatches={c.num_minibatches} × '
        f'num_microbatches={c.num_microbatches} equal parts'
    )
  return update.LossSpec(
      surrogate=loss.surrogate,
      ratio=loss.ratio,
      normalizer=loss.normalizer,
      constant=float(config.sampler.max_new_tokens),
      clip_low=loss.clip_low,
      clip_high=loss.clip_high,
      dual_clip=loss.dual_clip,
      kl_coef=loss.kl_coef,
      kl_estimator=loss.kl_estimator,
      entropy_coef=loss.entropy_coef,
      tis=loss.tis,
      tis_max=loss.tis_max,
      proximal=c.proximal,
      temperature=config.sampler.temperature,
      vocab_chunk=c.vocab_chunk,
      keep_logits_mb=c.keep_logits_mb,
      num_microbatches=c.num_microbatches,
      critic=critic.CriticSpec(
          gamma=config.critic.gamma,
          lam=config.critic.lam,
          clip=config.critic.clip,
          whiten=config.critic.whiten,
      ) if is_ppo(config) else None,
  )


def buffer_spec(config: ml_collections.ConfigDict) -> Spec:
  """The evolving buffer's choices.

  Raises:
    ValueError: an unknown or impossible one.
  """
  names = (field.name for field in dataclasses.fields(Spec))
  return Spec(**{name: config.buffer[name] for name in names})


def make_source(
    config: ml_collections.ConfigDict,
    tasks: Sequence[str],
    *,
    fits: Callable[[Problem], bool] = lambda problem: True,
) -> source.Source:
  """Where the run's problems come from.

  Args:
    config: with the section `buffer`.
    tasks: names of the training tasks.
    fits: whether a Problem's prompt keeps to its budget; others, whose
      parent's program is too long, do not enter a buffer.

  Raises:
    ValueError: an unknown or impossible choice.
  """
  c = config.buffer

  def child_fn(attempt: Attempt) -> Problem | None:
    child = lineage.child(attempt)
    return child if child and fits(child) else None

  options = {'num_problems': config.collect.num_groups, 'seed': config.seed,
             'child_fn': child_fn}
  if c.kind == 'evolving':
    return source.evolving_source(tasks, spec=buffer_spec(config), **options)
  if c.kind != 'mixture':
    raise ValueError(f'buffer.kind={c.kind!r} is neither mixture nor evolving')
  if not 0 <= c.improve_share <= 1:
    raise ValueError(
        f'buffer.improve_share={c.improve_share} is not in [0, 1]'
    )
  return source.mixture_source(
      tasks, improve_share=c.improve_share, **options
  )


def make_collate(
    config: ml_collections.ConfigDict, *, pad_id: int
) -> Callable[[Sequence[Group]], Batch]:
  """Groups → Batch, with the config's advantages and duration weights.

  Raises:
    ValueError: an unknown advantage, or a duration weight that does not suit
      the way attempts are collected.
  """
  name, loss, rule = config.loss.advantage, config.loss, config.duration
  if name not in advantages.ADVANTAGES:
    raise ValueError(
        f'loss.advantage={name!r} is none of '
        f'{", ".join(advantages.ADVANTAGES)}'
    )
  if rule.weight not in ('none', 'paper', 'propensity'):
    raise ValueError(
        f'duration.weight={rule.weight!r} is none of none, paper, propensity'
    )
  if rule.weight == 'paper' and not rule.allow_biased:
    raise ValueError(
        "duration.weight='paper' changes the objective where everything "
        'launched is used, as here; duration.weight=none is unbiased, '
        'duration.allow_biased=True insists'
    )
  options = {
      'group_relative': {'scale_by_std': loss.scale_by_std},
      'max_k': {'k': loss.max_k},
  }
  advantage_fn = jax.jit(
      functools.partial(advantages.ADVANTAGES[name], **options.get(name, {}))
  )
  has_critic = is_ppo(config)
  if has_critic:  # which gives every token its own, before the updates

    def advantage_fn(reward_QG: Any, *_: Any) -> Any:
      return np.zeros_like(reward_QG)

  def weight_fn(groups: Sequence[Group], reward_QG: Any, mask_QG: Any) -> Any:
    names = sorted({group.problem.task for group in groups})
    delta_QG = np.array(
        [[_duration(a, config) for a in g.attempts] for g in groups],
        np.float32,
    )
    weight_QG = duration.weights(
        delta_QG,
        mask_QG,
        rule=rule.weight,
        unit=rule.unit,
        clip_low=rule.clip_low,
        clip_high=rule.clip_high,
        task_ids_Q=np.array([names.index(g.problem.task) for g in groups]),
        # Everything launched is delivered, however long it takes.
        propensity_QG=np.ones_like(delta_QG),
    )
    if loss.filter_zero_variance and not has_critic:
      is_flat_Q = advantages.zero_variance_mask(reward_QG, mask_QG)
      weight_QG *= ~is_flat_Q[:, None]
    return weight_QG

  return functools.partial(
      batching.collate,
      advantage_fn=advantage_fn,
      weight_fn=weight_fn,
      bucket=config.sampler.bucket,
      pad_id=pad_id,
      quality_fn=functools.partial(
          rewards.quality, improve=config.env.improve_reward
      ),
  )


def _duration(attempt: Attempt, config: ml_collections.ConfigDict) -> float:
  """Seconds that count for the weight; a timed-out program's is its limit."""
  run = attempt.execution
  if run is None:
    return 0.0
  if run.status is Status.TIMEOUT:
    return config.sandbox.cpu_limit_s
  return float(duration.effective_duration(run.duration_s, run.cpu_s, cores=1))
