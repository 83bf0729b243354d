"""Execution and grade → reward. Pure.

Two scales of RL4MLE (arXiv 2509.01684), both made so that no failure ever
beats a success, whatever a program manages to print:

  rl4mle      −10 + 0.1·m without a valid grade, else the signed score, ≥ −9
  human_rank   −1 + 0.1·m without a valid grade, else HumanRank in [0, 1]

with m of six milestones. The paper has no floor under the score; without one
an RMSE of 5,000 would be worse than not running at all.
"""

from __future__ import annotations

import math

from ace_jax.envs.instrument import MILESTONES
from ace_jax.types import Grade, Status

CREDIT = 0.1  # per milestone
FLOOR = -9.0  # of a valid score in rl4mle


def reward(
    kind: str,
    *,
    status: Status | None,
    grade: Grade | None,
    num_milestones: int,
    lower_is_better: bool,
) -> float | None:
  """The reward of one attempt.

  Args:
    kind: 'rl4mle' or 'human_rank'.
    status: how the execution ended; None when there was no program to run.
    grade: the grader's word; None counts as not valid.
    num_milestones: reached, 0 … 6; counts only without a valid grade.
    lower_is_better: the direction of the task's metric.

  Returns:
    The reward, or None for `infra_error`: that one leaves the batch.

  Raises:
    ValueError: an unknown kind, a count out of range, or a valid grade whose
      score or rank is not what a grader gives.
  """
  if kind not in ('rl4mle', 'human_rank'):
    raise ValueError(f'unknown reward {kind!r}: rl4mle or human_rank')
  if not 0 <= num_milestones <= len(MILESTONES):
    raise ValueError(f'num_milestones is {num_milestones}, not in 0 … 6')
  if status is Status.INFRA_ERROR:
    return None
  if grade is None or not grade.valid:
    worst = -10.0 if kind == 'rl4mle' else -1.0
    return worst + CREDIT * num_milestones
  if kind == 'human_rank':
    if not 0.0 <= grade.human_rank <= 1.0:
      raise ValueError(f'human_rank is {grade.human_rank}, not in [0, 1]')
    return grade.human_rank
  if grade.score is None or not math.isfinite(grade.score):
    raise ValueError(f'a valid grade with score {grade.score}')
  return max(FLOOR, -grade.score if lower_is_better else grade.score)
