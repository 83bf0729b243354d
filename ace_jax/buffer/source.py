"""Where a run's problems come from: one interface over both buffers.

Everything is pure: a function of the buffer, the version and the seed, so a
resumed run draws what an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ace_jax.buffer import draws, evolving, mixture, stored
from ace_jax.buffer.spec import Spec
from ace_jax.envs import lineage
from ace_jax.types import Attempt, Group, Problem

Buffer = Any
ChildFn = Callable[[Attempt], Problem | None]  # what an attempt becomes


class Source(NamedTuple):
  """What the loop asks; `version` is the number of finished updates."""

  init: Callable[[], Buffer]
  sample: Callable[[Buffer, int], list[Problem]]
  insert: Callable[[Buffer, Sequence[Group], int], Buffer]
  metrics: Callable[[Buffer], dict[str, float]]
  state: Callable[[Buffer], tuple[dict, dict[str, np.ndarray]]]
  restore: Callable[[dict, dict[str, np.ndarray]], Buffer]


def mixture_source(
    tasks: Sequence[str],
    *,
    num_problems: int,
    seed: int,
    improve_share: float,
    child_fn: ChildFn = lineage.child,
) -> Source:
  """RL4MLE's problems, see buffer/mixture.py."""

  def state(solutions: mixture.Solutions):
    return {
        task: [(name, lineage.to_json(p)) for name, p in some]
        for task, some in solutions.items()
    }, {}

  def restore(meta: dict, arrays: dict[str, np.ndarray]) -> mixture.Solutions:
    del arrays
    return {
        task: tuple((name, lineage.from_json(p)) for name, p in some)
        for task, some in meta.items()
    }

  return Source(
      init=lambda: mixture.init(tasks),
      sample=lambda solutions, version: mixture.sample(
          solutions, step=version, num_problems=num_problems, seed=seed,
          improve_share=improve_share,
      ),
      insert=lambda solutions, groups, version: mixture.insert(
          solutions, groups, child_fn=child_fn
      ),
      metrics=mixture.metrics,
      state=state,
      restore=restore,
  )


def evolving_source(
    tasks: Sequence[str],
    *,
    num_problems: int,
    seed: int,
    spec: Spec,
    child_fn: ChildFn = lineage.child,
) -> Source:
  """AceGRPO's problems, see buffer/evolving.py."""

  def sample(buffer: evolving.Buffer, version: int) -> list[Problem]:
    rng = np.random.default_rng((seed, version))
    return draws.sample(buffer, spec, rng, num_problems)

  def insert(buffer: evolving.Buffer, groups: Sequence[Group], version: int):
    buffer = evolving.insert(buffer, spec, groups, child_fn=child_fn)
    return evolving.refresh(buffer, spec, version=version + 1)

  return Source(
      init=lambda: evolving.init(tasks, spec),
      sample=sample,
      insert=insert,
      metrics=evolving.metrics,
      state=stored.to_state,
      restore=stored.from_state,
  )
