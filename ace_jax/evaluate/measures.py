"""Attempts → figures: per search, over tasks and seeds, between arms. Pure.

A cell is one search: an arm, a task, a seed. `selected` is what it would hand
in, the best by the grade that the search itself sees; its worth is the grade
on the report rows, opened for these figures alone. `oracle` is the best by the
report rows: what a perfect selector would have handed in. An attempt without
a valid submission counts as HumanRank 0; one that our own machinery failed is
left out.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ace_jax.envs import programs
from ace_jax.evaluate import search
from ace_jax.types import Attempt, Grade, Status, Task

BEST_OF = (1, 8, 32)
_FAILED = Grade(valid=False)


@dataclasses.dataclass(frozen=True)
class Cell:
  """One search, finished."""

  arm: str  # policy/search
  task: Task
  seed: int
  attempts: tuple[Attempt, ...]  # in the order in which they were made
  seconds: tuple[float, ...]  # each one's generation and execution

  def counted(self) -> list[tuple[Attempt, float]]:
    """The attempts, and their seconds, without failures of the machinery."""
    return [
        (a, s) for a, s in zip(self.attempts, self.seconds, strict=True)
        if a.execution is None or a.execution.status is not Status.INFRA_ERROR
    ]


def audit(attempt: Attempt, rows: str) -> Grade:
  """The grade on other rows; of what is not valid, that it is not."""
  return next((g for g in attempt.audits if g.rows == rows), _FAILED)


def of_cell(cell: Cell) -> dict[str, float | None]:
  """The measures of one search; None where they say nothing.

  Returns:
    attempts: that were counted.
    valid_rate: share of the attempts with a valid submission.
    valid_submission, any_medal, above_median, human_rank, score: of the
      selected attempt on the report rows. The score has its task's unit.
    official_any_medal, official_above_median: of the same on all rows.
    oracle_human_rank, oracle_score: of the best by the report rows.
    mean_human_rank: of all attempts.
    score@k: HumanRank of the best of k attempts, expected.
    distinct_programs: after normalisation.
    first_valid: number, from 1, of the first valid attempt. Without any it is
      censored: the number of attempts N, so that its mean is the restricted
      mean E[min(T, N)]. 1 − `valid_submission` is the share of those.
    improve_share, debug_share: of the attempts, by what was asked.
    seconds: generation and execution together.
  """
  counted = cell.counted()
  attempts = [a for a, _ in counted]
  n = len(attempts)
  if not n:
    return dict.fromkeys(MEASURES) | {'attempts': 0}
  lower = cell.task.lower_is_better
  grades = [audit(a, 'report') for a in attempts]
  ranks = [g.human_rank if g.valid else 0.0 for g in grades]
  chosen = search.best([a.grade for a in attempts], lower_is_better=lower)
  oracle = search.best(grades, lower_is_better=lower)
  selected = _FAILED if chosen is None else grades[chosen]
  official = _FAILED if chosen is None else audit(attempts[chosen], 'all')
  hashes = {programs.program_hash(a.program) for a in attempts if a.program}
  first = next((i for i, a in enumerate(attempts, 1) if a.grade.valid), n)

  def share(kind: str) -> float:
    return sum(a.problem.kind == kind for a in attempts) / n

  return {
      'attempts': n,
      'valid_rate': sum(a.grade.valid for a in attempts) / n,
      'valid_submission': float(selected.valid),
      'any_medal': float(selected.medal is not None),
      'above_median': float(selected.above_median),
      'official_any_medal': float(official.medal is not None),
      'official_above_median': float(official.above_median),
      'human_rank': selected.human_rank,
      'oracle_human_rank': 0.0 if oracle is None else ranks[oracle],
      'mean_human_rank': statistics.fmean(ranks),
      **{f'score@{k}': expected_best(ranks, k) for k in BEST_OF},
      'distinct_programs': len(hashes),
      'first_valid': first,
      'improve_share': share('improve'),
      'debug_share': share('debug'),
      'seconds': math.fsum(s for _, s in counted),
      'score': selected.score,
      'oracle_score': None if oracle is None else grades[oracle].score,
  }


# In the order of `of_cell`; scores of different tasks are not pooled.
POOLED = (
    'attempts', 'valid_rate', 'valid_submission', 'any_medal', 'above_median',
    'official_any_medal', 'official_above_median', 'human_rank',
    'oracle_human_rank', 'mean_human_rank',
    *(f'score@{k}' for k in BEST_OF),
    'distinct_programs', 'first_valid', 'improve_share', 'debug_share',
    'seconds',
)
MEASURES = (*POOLED, 'score', 'oracle_score')


def expected_best(values: Sequence[float], k: int) -> float | None:
  """E[max of k of the values, drawn without replacement]: unbiased for the
  best of k independent attempts; None for more than there are.

  With the values sorted, x_(i) is the largest of C(i−1, k−1) of the C(n, k)
  subsets. The attempts of a search depend on each other: there it describes
  the attempts, and predicts nothing.
  """
  if k > len(values):
    return None
  subsets = math.comb(len(values), k)
  return math.fsum(
      x * (math.comb(i, k - 1) / subsets)
      for i, x in enumerate(sorted(values))
  )


def mean_se(values: Sequence[float | None]) -> dict[str, float | None]:
  """{'mean', 'se'}: s/√n, s with n − 1 degrees of freedom; without Nones."""
  known = [value for value in values if value is not None]
  n = len(known)
  return {
      'mean': statistics.fmean(known) if n else None,
      'se': statistics.stdev(known) / math.sqrt(n) if n > 1 else None,
  }


# --- Over tasks and seeds ---------------------------------------------------

# (task, seed) → measures of the cell
Table = Mapping[tuple[str, int], Mapping[str, float | None]]


def summary(table: Table) -> dict[str, Any]:
  """Mean ± standard error over seeds: pooled over tasks, and per task.

  Returns:
    {'pooled': {measure: {'mean', 'se'}}, 'tasks': {task: the same}}. A pooled
    error is that of the seeds' means over tasks: how far the same tasks would
    move with other seeds.
  """
  return {
      'pooled': {name: mean_se(_seed_means(table, name)) for name in POOLED},
      'tasks': {
          task: {
              name: mean_se([m[name] for (t, _), m in table.items()
                             if t == task])
              for name in MEASURES
          }
          for task in dict.fromkeys(task for task, _ in table)
      },
  }


def difference(a: Table, b: Table) -> dict[str, dict[str, float | None]]:
  """b − a for each pooled measure, paired by task and seed.

  Returns:
    measure → {'mean', 'se', 'se_tasks'}: `se` of the seeds' means, as in
    `summary`; `se_tasks` of the tasks' means, larger, for what other tasks
    would show.
  """
  pairs = {
      key: {
          name: None if None in (a[key][name], b[key][name])
          else b[key][name] - a[key][name]
          for name in POOLED
      }
      for key in a if key in b
  }
  by_task = {(seed, task): m for (task, seed), m in pairs.items()}
  return {
      name: mean_se(_seed_means(pairs, name))
      | {'se_tasks': mean_se(_seed_means(by_task, name))['se']}
      for name in POOLED
  }


def _seed_means(table: Mapping, name: str) -> list[float | None]:
  """The means of a measure over the first part of the key, per second."""
  return [
      mean_se([m[name] for (_, s), m in table.items() if s == second])['mean']
      for second in dict.fromkeys(second for _, second in table)
  ]


# --- Best so far ------------------------------------------------------------


def best_so_far(cell: Cell) -> list[tuple[float, float]]:
  """After each attempt: (seconds since the start, HumanRank of what would be
  handed in, on the report rows)."""
  counted, out, spent = cell.counted(), [], 0.0
  grades = [a.grade for a, _ in counted]
  for i, (_, seconds) in enumerate(counted, 1):
    spent += seconds
    at = search.best(grades[:i], lower_is_better=cell.task.lower_is_better)
    rank = 0.0 if at is None else audit(counted[at][0], 'report').human_rank
    out.append((spent, rank))
  return out


def curve(
    cells: Sequence[Cell], at: Sequence[float], *, by: str
) -> list[dict[str, float | None]]:
  """Best so far at each point, mean over tasks ± standard error over seeds.

  Args:
    cells: of one arm.
    at: numbers of attempts, or seconds since the start of each search.
    by: 'attempts' | 'seconds'.

  Returns:
    {'x', 'mean', 'se'} per point. Before its first attempt has ended a search
    stands at 0; after its last one it stays where it was.
  """
  lines = {}
  for cell in cells:
    steps = best_so_far(cell)
    if by == 'attempts':
      steps = [(i, rank) for i, (_, rank) in enumerate(steps, 1)]
    lines[cell.task.name, cell.seed] = steps
  return [
      {'x': x}
      | mean_se(_seed_means(
          {key: {'y': _value(steps, x)} for key, steps in lines.items()}, 'y'
      ))
      for x in at
  ]


def _value(steps: Sequence[tuple[float, float]], x: float) -> float:
  return next((y for at, y in reversed(steps) if at <= x), 0.0)
