"""How much there is to learn from a problem, and how often to draw it.

AceGRPO (arXiv 2602.07906) draws problems by a Learnability Potential; its
formula is not public, only the words "high reward variance and remaining
headroom". Ours, on rewards in [0, 1]:

  LP = ŝ · ĥ · g / √ĉ

  ŝ  standard deviation of a group's rewards, the part due to noise taken off
  ĥ  1 − mean reward, the headroom
  g  |fast − slow| of a task's draft rewards + 0.4/√(1 + n): learning progress,
     and a bonus for what is hardly known. Without it variance that cannot be
     learnt draws for ever.
  ĉ  what an attempt costs

ŝ and ĥ are shrunk towards a prediction with a few pseudo-observations, because
most draws are of problems that were never seen. Rewards of a group enter as
sums and counts: n of them, their sum, and the squares of their deviations from
their own mean with its n − 1 degrees of freedom, so that equal rewards always
lower ŝ, wherever they lie. Arrays are NumPy's, of any one shape; sums decay
as the policy moves on, so counts are real numbers.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

PSEUDO = 4.0  # observations that a prediction counts for
FAST, SLOW = 0.25, 0.05  # of the moving averages behind g
UNKNOWN = 0.4  # the bonus of a task that was never drawn


def moments(rewards: Array, expected: float) -> tuple[float, ...]:
  """A group's sums: (count, total, degrees of freedom, sum of squares).

  Args:
    rewards: [G] in [0, 1].
    expected: the mean that was predicted; a group of one is measured by its
      distance from it.
  """
  rewards = np.asarray(rewards, np.float64)
  count = len(rewards)
  if count == 1:
    return 1.0, float(rewards[0]), 1.0, float((rewards[0] - expected) ** 2)
  # Exactly 0 where all are equal, whatever their mean rounds to.
  gap = rewards - rewards[0]
  squares = float((gap**2).sum() - gap.sum() ** 2 / count)
  return (float(count), float(rewards.sum()), count - 1.0, max(squares, 0.0))


def shrunk(total: Array, count: Array, prediction: Array) -> Array:
  """(Σ + κ·prediction) / (n + κ), κ = PSEUDO."""
  return (total + PSEUDO * prediction) / (count + PSEUDO)


def progress(fast: Array, slow: Array, num_groups: Array) -> Array:
  """g of a task, from its moving averages and how many draft groups it had."""
  return np.abs(fast - slow) + UNKNOWN / np.sqrt(1 + num_groups)


def spread(variance: Array, noise: Array = 0.0) -> Array:
  """ŝ: what is left of the standard deviation without the noise's variance."""
  return np.sqrt(np.maximum(variance - noise, 0))


# --- Potentials --------------------------------------------------------------


def learnability(
    *, spread: Array, mean: Array, progress: Array, cost: Array
) -> Array:
  """ŝ·ĥ·g/√ĉ."""
  return spread * (1 - mean) * progress / np.sqrt(cost)


def spread_headroom(*, spread: Array, mean: Array) -> Array:
  """ŝ·ĥ: what the paper's words alone would give."""
  return spread * (1 - mean)


def pass_variance(*, mean: Array) -> Array:
  """p(1 − p), Foster et al., https://arxiv.org/abs/2502.12272."""
  return mean * (1 - mean)


def parent_fitness(
    *, quality: Array, variance: Array, visits: Array,
    ranges: tuple[tuple[float, float], ...],
) -> Array:
  """Frontis-MA1, https://arxiv.org/abs/2607.28568: a sum of three ranks.

    minmax(reward) + minmax(variance of children) + minmax(1 − visits/most)

  Args:
    quality: reward of the parent; of a draft, the mean of its attempts.
    variance: of the rewards of the problem's own attempts.
    visits: groups drawn.
    ranges: (least, greatest) of each of the three over the whole buffer.
  """
  return sum(
      np.clip((x - low) / max(high - low, 1e-12), 0, 1) if high > low
      else np.zeros_like(x)
      for x, (low, high) in zip((quality, variance, -visits), ranges,
                                strict=True)
  )


def sharpened(potential: Array, temperature: float) -> Array:
  """potential^(1/τ): what draws are proportional to."""
  return np.maximum(potential, 0) ** (1 / temperature)
