"""The learner's state and its optimizer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ace_jax.types import LearnerState


def learning_rate(
    *, lr: float, lr_schedule: str, warmup_steps: int, num_steps: int
) -> Callable[[Any], Any]:
  """A schedule: linear warm-up, then constant, cosine or linear to zero."""
  decay_steps = max(num_steps - warmup_steps, 1)
  schedules = {
      'constant': lambda: optax.constant_schedule(lr),
      'cosine': lambda: optax.cosine_decay_schedule(lr, decay_steps),
      'linear': lambda: optax.linear_schedule(lr, 0.0, decay_steps),
  }
  if lr_schedule not in schedules:
    raise ValueError(
        f'lr_schedule={lr_schedule!r} is none of {", ".join(schedules)}'
    )
  # A warm-up starts at one step's worth, not at an update of size zero.
  warmup = optax.linear_schedule(
      lr / max(warmup_steps, 1), lr, max(warmup_steps - 1, 1)
  )
  return optax.join_schedules(
      [warmup, schedules[lr_schedule]()], [warmup_steps]
  )


def make_optimizer(
    schedule: Callable[[Any], Any],
    *,
    b1: float,
    b2: float,
    eps: float = 1e-8,
    weight_decay: float,
    max_grad_norm: float,
) -> optax.GradientTransformation:
  """AdamW with global-norm clipping; decay on matrices only.

  `eps` is where Adam stops to take a gradient for its sign: an `eps` near the
  usual size of a gradient's entries keeps small gradients small.
  """
  return optax.chain(
      optax.clip_by_global_norm(max_grad_norm),
      optax.adamw(
          schedule,
          b1=b1,
          b2=b2,
          eps=eps,
          weight_decay=weight_decay,
          mask=_is_decayed,
      ),
  )


def _is_decayed(params: Any) -> Any:
  # Layers are stacked, so a norm's scale has two axes: go by name.
  return jax.tree_util.tree_map_with_path(
      lambda path, _: not any(
          word in jax.tree_util.keystr(path) for word in ('norm', 'bias')
      ),
      params,
  )


def init(params: Any, tx: optax.GradientTransformation) -> LearnerState:
  """A state at step 0."""
  return LearnerState(jnp.zeros((), jnp.int32), params, tx.init(params))
