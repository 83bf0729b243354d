"""From a config to the functions that a run is made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections
import numpy as np

from ace_jax.core import advantages, duration
from ace_jax.learner import batching, state, update
from ace_jax.types import Batch, Group


def learning_rate(config: ml_collections.ConfigDict):
  """The schedule over all optimizer steps of the run."""
  c = config.learner
  return state.learning_rate(
      lr=c.lr,
      lr_schedule=c.lr_schedule,
      warmup_steps=c.warmup_steps,
      num_steps=config.num_steps * c.num_epochs * c.num_minibatches,
  )


def make_optimizer(config: ml_collections.ConfigDict, schedule):
  """The learner's optimizer."""
  c = config.learner
  return state.make_optimizer(
      schedule,
      b1=c.b1,
      b2=c.b2,
      weight_decay=c.weight_decay,
      max_grad_norm=c.max_grad_norm,
  )


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
      num_microbatches=c.num_microbatches,
  )


