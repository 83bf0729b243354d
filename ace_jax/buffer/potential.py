"""From what was seen of a buffer's Problems to the weights they are drawn by.

What was never drawn is predicted in steps, each shrunk towards the one before:
all tasks → the task → its cell, where a cell's prediction is the task's level
times (for variances) or plus (for means) what that cell has been, over all
tasks, beside its tasks' levels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ace_jax.buffer.table import (
    COST,
    COUNT,
    FREEDOM,
    NUM_CELLS,
    NUM_SUMS,
    SQUARES,
    TOTAL,
)
from ace_jax.core import learnability
from ace_jax.core.learnability import shrunk

# Of rewards in [0, 1], before anything was seen.
VARIANCE, MEAN = 0.06, 0.3


class Pooled(NamedTuple):
  """All tasks together, decaying."""

  sums: np.ndarray  # [NUM_CELLS, NUM_SUMS]
  expected: np.ndarray  # [NUM_CELLS, 2], see `expected`
  ranges: np.ndarray  # [3, 2] over the buffer, see learnability.parent_fitness


class Guess(NamedTuple):
  """Predictions for cells; arrays of one shape."""

  variance: np.ndarray
  mean: np.ndarray
  cost: np.ndarray


class Estimate(NamedTuple):
  """Of single Problems, [N]."""

  spread: np.ndarray  # ŝ
  mean: np.ndarray
  cost: np.ndarray  # ĉ
  variance: np.ndarray  # with the noise in it


def no_pooled() -> Pooled:
  return Pooled(
      np.zeros((NUM_CELLS, NUM_SUMS)), np.zeros((NUM_CELLS, 2)),
      np.zeros((3, 2)),
  )


def _levels(sums: np.ndarray, pooled: Pooled) -> Guess:
  """Of tasks, from the sums over their cells [..., NUM_SUMS]."""
  every = pooled.sums.sum(0)
  # Of programs that were never run no second is counted: not nothing either.
  cost = max(every[COST] / every[COUNT], 1e-3) if every[COUNT] else 1.0
  return Guess(
      shrunk(sums[..., SQUARES], sums[..., FREEDOM],
             shrunk(every[SQUARES], every[FREEDOM], VARIANCE)),
      shrunk(sums[..., TOTAL], sums[..., COUNT],
             shrunk(every[TOTAL], every[COUNT], MEAN)),
      shrunk(sums[..., COST], sums[..., COUNT], cost),
  )


def predict(cell_sums: np.ndarray, pooled: Pooled) -> Guess:
  """What a Problem's cell lets expect of it.

  Args:
    cell_sums: [..., NUM_CELLS, NUM_SUMS] of tasks.
    pooled: of all of them.

  Returns:
    [..., NUM_CELLS] each.
  """
  level = Guess(*(x[..., None] for x in _levels(cell_sums.sum(-2), pooled)))
  total, squares = pooled.expected.T
  few = learnability.PSEUDO * VARIANCE
  ratio = (pooled.sums[:, SQUARES] + few) / (squares + few)
  offset = (pooled.sums[:, TOTAL] - total) / (
      pooled.sums[:, COUNT] + learnability.PSEUDO
  )
  return Guess(
      shrunk(cell_sums[..., SQUARES], cell_sums[..., FREEDOM],
             level.variance * ratio),
      shrunk(cell_sums[..., TOTAL], cell_sums[..., COUNT],
             np.clip(level.mean + offset, 0, 1)),
      shrunk(cell_sums[..., COST], cell_sums[..., COUNT], level.cost),
  )


def expected(cell_sums: np.ndarray, pooled: Pooled) -> np.ndarray:
  """What tasks' levels let expect of what was seen in each cell.

  Args:
    cell_sums: [K, NUM_CELLS, NUM_SUMS] of tasks.
    pooled: of all of them.

  Returns:
    [NUM_CELLS, 2] totals and squares, summed over these tasks.
  """
  level = _levels(cell_sums.sum(1), pooled)
  return np.stack([
      level.mean @ cell_sums[..., COUNT],
      level.variance @ cell_sums[..., FREEDOM],
  ], 1)


def noise_variance(noise: np.ndarray) -> np.ndarray:
  """Of replicates [..., 2] (degrees of freedom, squares); 0 without any."""
  return noise[..., 1] / np.maximum(noise[..., 0], 1)


def estimate(
    sums: np.ndarray, at: np.ndarray, guess: Guess, *, noise: np.ndarray
) -> Estimate:
  """Of single Problems, shrunk towards their cells' predictions.

  Args:
    sums: [COST, N] of their own attempts.
    at: [N] their places in the predictions.
    guess: flat predictions.
    noise: [N] or a number, variance between runs of one program.
  """
  count, total, freedom, squares = sums
  variance = shrunk(squares, freedom, guess.variance[at])
  mean = np.clip(shrunk(total, count, guess.mean[at]), 0, 1)
  return Estimate(
      learnability.spread(variance, noise), mean, guess.cost[at], variance
  )


# --- The choices -------------------------------------------------------------


class Seen(NamedTuple):
  """What a potential may look at; [N] each."""

  estimate: Estimate
  progress: np.ndarray  # g of the Problem's task
  quality: np.ndarray  # of the parent; of a draft its mean
  visits: np.ndarray
  task_size: np.ndarray  # Problems of its task
  ranges: np.ndarray  # [3, 2]


POTENTIALS: dict[str, Callable[[Seen], np.ndarray]] = {
    'learnability': lambda x: learnability.learnability(
        spread=x.estimate.spread, mean=x.estimate.mean, cost=x.estimate.cost,
        progress=x.progress,
    ),
    'spread_headroom': lambda x: learnability.spread_headroom(
        spread=x.estimate.spread, mean=x.estimate.mean
    ),
    'pass_variance': lambda x: learnability.pass_variance(mean=x.estimate.mean),
    'parent_fitness': lambda x: learnability.parent_fitness(
        quality=x.quality, variance=x.estimate.variance, visits=x.visits,
        ranges=x.ranges,
    ),
    # Over tasks, then Problems; nothing that is seen changes it.
    'uniform': lambda x: 1 / x.task_size,
}


def weights(
    name: str,
    temperature: float,
    *,
    sums: np.ndarray,
    cell: np.ndarray,
    quality: np.ndarray,
    visits: np.ndarray,
    sizes: np.ndarray,
    cell_sums: np.ndarray,
    averages: np.ndarray,
    noise: np.ndarray,
    pooled: Pooled,
    update_ranges: bool = False,
) -> tuple[np.ndarray, Pooled]:
  """What Problems of K tasks, one task after another, are drawn by.

  Args:
    name: a key of POTENTIALS.
    temperature: τ; 'uniform' knows none.
    sums, cell, quality, visits: [COST, N] and [N], see `table.Table`.
    sizes: [K] rows of each task; with K = 1 the rows may be any.
    cell_sums, averages, noise: [K, …] of the tasks.
    pooled: of all tasks.
    update_ranges: the rows are the whole buffer.

  Returns:
    [N] weights, and `pooled` with the ranges.
  """
  # A million Problems are a matter of memory traffic: float32 halves it.
  guess = Guess(*(
      x.ravel().astype(np.float32) for x in predict(cell_sums, pooled)
  ))
  if len(sizes) == 1:
    task: Any = np.zeros(len(cell), np.int64)
  else:
    task = np.repeat(np.arange(len(sizes)), sizes)
  found = estimate(
      sums, task * NUM_CELLS + cell, guess, noise=noise_variance(noise)[task]
  )
  if name == 'parent_fitness':
    quality = np.where(cell == 0, found.mean, quality)
    if update_ranges:
      pooled = pooled._replace(ranges=np.array([
          (x.min(), x.max()) for x in (quality, found.variance, -visits)
      ]))
  value = POTENTIALS[name](Seen(
      found, learnability.progress(*averages.T)[task], quality, visits,
      sizes[task], pooled.ranges,
  ))
  if name != 'uniform':
    value = learnability.sharpened(value, temperature)
  return value, pooled
