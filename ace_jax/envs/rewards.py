"""Execution and grade → reward. Pure.

Two scales of RL4MLE (arXiv 2509.01684), both made so that no failure ever
beats a success, whatever a program manages to print:

  rl4mle      −10 + 0.1·m without a valid grade, else the signed score, ≥ −9
  human_rank   −1 + 0.1·m without a valid grade, else HumanRank in [0, 1]

with m of six milestones. The paper has no floor under the score; without one
an RMSE of 5,000 would be worse than not running at all.

What an improve attempt is paid is a choice of its own:

  level  as a draft is. RL4MLE's: its improve prompts earn the new score itself.
         AceGRPO (arXiv 2602.07906) pays the score against the leaderboard.
  gain   [ours] clip((q − q_parent) / max(1 − q_parent, .05), −1, 1), with q the
         HumanRank; −0.1 for a copy of the parent. Nobody is paid twice for
         what the parent could do already.

Gains are HumanRanks in either scale, because a score has no top to measure
what is left against: rl4mle then pays drafts in scores, improve attempts in
gains. A gain may be −1, so that an improve attempt that fails starts from −2
where the scale has −1. Debug is paid like a draft: the parent had nothing.
"""

from __future__ import annotations

import math

from ace_jax.envs.instrument import MILESTONES
from ace_jax.types import Attempt, Grade, Status

WORST = {'rl4mle': -10.0, 'human_rank': -1.0}  # scale → of a failure
IMPROVE = ('gain', 'level')  # what improve attempts are paid
CREDIT = 0.1  # per milestone
FLOOR = -9.0  # of a valid score in rl4mle
WORST_IMPROVE = -2.0  # of a failure beside gains, at most
COPY = -0.1  # of a valid program that does what its parent did
MIN_HEADROOM = 0.05


def check(kind: str, improve: str) -> None:
  """Raises ValueError at an unknown scale, or way to pay improve attempts."""
  if kind not in WORST:
    raise ValueError(f'unknown reward {kind!r}: {" or ".join(WORST)}')
  if improve not in IMPROVE:
    raise ValueError(
        f'unknown improve_reward {improve!r}: {" or ".join(IMPROVE)}'
    )


def gain(quality: float, parent_quality: float, *, is_copy: bool) -> float:
  """What a valid improve attempt made of the headroom, in [−1, 1].

  Args:
    quality: HumanRank, in [0, 1].
    parent_quality: of the program to start from, on the same rows.
    is_copy: the attempt does what its parent did.
  """
  if is_copy:
    return COPY
  headroom = max(1.0 - parent_quality, MIN_HEADROOM)
  return min(max((quality - parent_quality) / headroom, -1.0), 1.0)


def quality(attempt: Attempt, improve: str) -> float:
  """What a valid attempt is worth beside others at its Problem.

  Its gain where it is paid one, else its HumanRank; 0 of a failure.
  """
  if not attempt.grade.valid or attempt.reward is None:
    return 0.0
  if improve == 'gain' and attempt.problem.kind == 'improve':
    return attempt.reward
  return attempt.grade.human_rank


def reward(
    kind: str,
    *,
    status: Status | None,
    grade: Grade | None,
    num_milestones: int,
    lower_is_better: bool,
    parent_quality: float | None = None,
    is_copy: bool = False,
) -> float | None:
  """The reward of one attempt.

  Args:
    kind: 'rl4mle' or 'human_rank'.
    status: how the execution ended; None when there was no program to run.
    grade: the grader's word; None counts as not valid.
    num_milestones: reached, 0 … 6; counts only without a valid grade.
    lower_is_better: the direction of the task's metric.
    parent_quality: of an improve attempt that is paid its gain; else None.
    is_copy: it does what its parent did; counts only beside a gain.

  Returns:
    The reward, or None for `infra_error`: that one leaves the batch.

  Raises:
    ValueError: an unknown kind, a count out of range, or a valid grade whose
      score or rank is not what a grader gives.
  """
  check(kind, IMPROVE[0])
  if not 0 <= num_milestones <= len(MILESTONES):
    raise ValueError(f'num_milestones is {num_milestones}, not in 0 … 6')
  if status is Status.INFRA_ERROR:
    return None
  if grade is None or not grade.valid:
    worst = WORST[kind]
    if parent_quality is not None:
      worst = min(worst, WORST_IMPROVE)
    return worst + CREDIT * num_milestones
  if parent_quality is not None or kind == 'human_rank':
    if not 0.0 <= grade.human_rank <= 1.0:
      raise ValueError(f'human_rank is {grade.human_rank}, not in [0, 1]')
    if parent_quality is None:
      return grade.human_rank
    return gain(grade.human_rank, parent_quality, is_copy=is_copy)
  if grade.score is None or not math.isfinite(grade.score):
    raise ValueError(f'a valid grade with score {grade.score}')
  return max(FLOOR, -grade.score if lower_is_better else grade.score)
