"""How a search spends its budget: the attempts so far → the next Problem. Pure.

  drafts           from scratch, every time
  scratch_improve  RL4MLE at test time (arXiv 2509.01684): the first half of
                   the budget from scratch, then the best so far is improved
  aide             AIDE (arXiv 2502.13138): some drafts; then with probability
                   ½ a failed program that nobody has touched is debugged,
                   else the best one improved

Differences of `aide` from its authors' code: drafts see no summary of the
attempts before them, a score comes from the grader instead of a model that
reads the output, and what cannot be debugged (no program, a time limit) is
not a candidate.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import ml_collections
import numpy as np

from ace_jax.envs import lineage
from ace_jax.types import Attempt, Grade, Problem, Task


class Search(NamedTuple):
  """One way to spend a budget."""

  # (task, attempts, rng, share of the budget spent, in [0, 1)) → Problem
  next_fn: Callable[[Task, Sequence[Attempt], np.random.Generator, float],
                    Problem]
  # Attempts in the budget → how many first ones are drafts whatever they
  # give: these may be asked for all at once.
  lead_fn: Callable[[int], int]


def make(config: ml_collections.ConfigDict) -> dict[str, Search]:
  """The searches by name; `config` is the section `eval`."""
  return {
      'drafts': Search(drafts, lambda budget: budget),
      'scratch_improve': Search(
          scratch_improve, lambda budget: math.ceil(budget / 2)
      ),
      'aide': Search(
          functools.partial(
              aide,
              num_drafts=config.aide_drafts,
              debug_prob=config.aide_debug_prob,
              max_debug_depth=config.aide_max_debug_depth,
          ),
          lambda budget: min(config.aide_drafts, budget),
      ),
  }


def drafts(
    task: Task,
    attempts: Sequence[Attempt],
    rng: np.random.Generator,
    spent: float,
) -> Problem:
  """From scratch, always."""
  del attempts, rng, spent
  return Problem(task.name)


def scratch_improve(
    task: Task,
    attempts: Sequence[Attempt],
    rng: np.random.Generator,
    spent: float,
) -> Problem:
  """Half the budget from scratch, then the best so far, as soon as there is
  one."""
  del rng
  return Problem(task.name) if spent < 0.5 else _improve(task, attempts)


def aide(
    task: Task,
    attempts: Sequence[Attempt],
    rng: np.random.Generator,
    spent: float,
    *,
    num_drafts: int,
    debug_prob: float,
    max_debug_depth: int,
) -> Problem:
  """AIDE's search policy.

  Args:
    task: what is to be solved.
    attempts: in the order in which they were made.
    rng: consumed.
    spent: not looked at.
    num_drafts: from scratch before anything else.
    debug_prob: of looking for a failed program first.
    max_debug_depth: failed attempts in a row above one that is still debugged.
  """
  del spent
  if sum(a.problem.kind == 'draft' for a in attempts) < num_drafts:
    return Problem(task.name)
  if rng.random() < debug_prob:
    parents = {a.problem.parent.key for a in attempts if a.problem.parent}
    failed = [
        problem
        for a in attempts
        if not a.grade.valid
        and a.key not in parents
        and _debug_depth(a, attempts) <= max_debug_depth
        and (problem := lineage.child(a))
    ]
    if failed:
      return failed[rng.integers(len(failed))]
  return _improve(task, attempts)


def best(grades: Sequence[Grade], *, lower_is_better: bool) -> int | None:
  """Index of the best valid grade, the first of equals; None without one."""
  sign = -1 if lower_is_better else 1
  valid = [i for i, grade in enumerate(grades) if grade.valid]
  return max(valid, key=lambda i: sign * grades[i].score, default=None)


def _improve(task: Task, attempts: Sequence[Attempt]) -> Problem:
  """From the best so far, by the grades that a search may see."""
  found = best(
      [a.grade for a in attempts], lower_is_better=task.lower_is_better
  )
  if found is None:
    return Problem(task.name)
  return lineage.child(attempts[found])


def _debug_depth(attempt: Attempt, attempts: Sequence[Attempt]) -> int:
  """How many attempts at debugging, one after another, led to this one."""
  by_key, depth = {a.key: a for a in attempts}, 0
  while attempt.problem.kind == 'debug':
    attempt, depth = by_key[attempt.problem.parent.key], depth + 1
  return depth
