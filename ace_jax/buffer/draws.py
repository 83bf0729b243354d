"""Drawing Problems from an evolving buffer."""

from __future__ import annotations

import numpy as np

from ace_jax.buffer.evolving import Buffer
from ace_jax.buffer.spec import Spec
from ace_jax.types import Problem


def sample(
    buffer: Buffer, spec: Spec, rng: np.random.Generator, num: int
) -> list[Problem]:
  """`num` Problems, distinct as far as there are enough."""
  drawn: dict[tuple[int, int], None] = {}
  cumulative = np.cumsum(buffer.mass)
  out = []
  for _ in range(num):
    for _ in range(50):
      at = _draw(buffer, spec, rng, cumulative)
      if at not in drawn:
        break
    drawn[at] = None
    out.append(buffer.tables[at[0]].problems[at[1]])
  return out


def _draw(
    buffer: Buffer, spec: Spec, rng: np.random.Generator, cumulative: np.ndarray
) -> tuple[int, int]:
  """(task, row) of one draw."""
  is_uniform, u, v = rng.random(3)
  if is_uniform < spec.epsilon or cumulative[-1] <= 0:
    k = int(u * len(buffer.tables))
    return k, int(v * len(buffer.tables[k].problems))
  k = _search(cumulative, u)
  return k, _search(np.cumsum(buffer.tables[k].weight), v)


def _search(cumulative: np.ndarray, u: float) -> int:
  """Where u of the total mass, 0 ≤ u < 1, falls; never on a mass of 0."""
  at = np.searchsorted(cumulative, u * cumulative[-1], side='right')
  return int(min(at, np.searchsorted(cumulative, cumulative[-1])))


def probabilities(buffer: Buffer, spec: Spec) -> list[np.ndarray]:
  """For each task, [N] the chance that a single draw takes each Problem."""
  total = buffer.mass.sum()
  epsilon = spec.epsilon if total > 0 else 1.0
  floor = epsilon / len(buffer.tables)
  return [
      floor / len(t.problems)
      + (1 - epsilon) * t.weight / (total if total > 0 else 1)
      for t in buffer.tables
  ]
