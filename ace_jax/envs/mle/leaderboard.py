"""Leaderboards: reading them, medals and ranks.

The medal rule is MLE-bench's (github.com/openai/mle-bench, grade_helpers.py);
HumanRank is MLE-Dojo's: (N − position + 1)/N, where position is the first
rank that a score ties or beats.
"""

from __future__ import annotations

import csv
import pathlib
import statistics
from collections.abc import Sequence

ROWS = ('all', 'reward', 'select', 'report')
SHIPPED = pathlib.Path(__file__).parent / 'leaderboards'


def read(
    path: pathlib.Path, lower_is_better: bool
) -> dict[str, tuple[float, ...]]:
  """Scores of the reference solutions for each part of the answers.

  Args:
    path: a csv with the columns solution, all, reward, select, report.
    lower_is_better: the direction of the metric.

  Returns:
    part of the answers → scores, best first.
  """
  with open(path, newline='', encoding='utf-8') as f:
    table = list(csv.DictReader(f))
  return {
      rows: tuple(sorted(
          (float(line[rows]) for line in table), reverse=not lower_is_better))
      for rows in ROWS
  }


def write(
    path: pathlib.Path,
    scores: dict[str, dict[str, float]],
    lower_is_better: bool,
) -> None:
  """Writes {solution: {rows: score}}, the best on all rows first."""
  order = sorted(
      scores, key=lambda s: (scores[s]['all'] * (1 if lower_is_better else -1),
                             s))
  with open(path, 'w', newline='', encoding='utf-8') as f:
    out = csv.writer(f, lineterminator='\n')
    out.writerow(('solution', *ROWS))
    for solution in order:
      out.writerow((solution, *(f'{scores[solution][r]:.5f}' for r in ROWS)))


def medal_positions(num_teams: int) -> dict[str, int]:
  """The last rank (from 1) that still earns each medal, among N teams."""
  n = num_teams
  if n < 1:
    raise ValueError(f'a leaderboard of {n} rows has no medals')
  if n < 100:
    gold, silver, bronze = int(n * 0.1), int(n * 0.2), int(n * 0.4)
  elif n < 250:
    gold, silver, bronze = 10, int(n * 0.2), int(n * 0.4)
  elif n < 1000:
    gold, silver, bronze = 10 + int(n * 0.002), 50, 100
  else:
    gold, silver, bronze = 10 + int(n * 0.002), int(n * 0.05), int(n * 0.1)
  return {'gold': max(1, gold), 'silver': max(1, silver),
          'bronze': max(1, bronze)}


def medal(
    score: float, scores: Sequence[float], lower_is_better: bool
) -> str | None:
  """The best medal whose threshold the score reaches (inclusive).

  Args:
    score: of the submission.
    scores: [N] of the leaderboard, best first.
    lower_is_better: the direction of the metric.
  """
  for name, position in medal_positions(len(scores)).items():
    threshold = scores[position - 1]
    if score <= threshold if lower_is_better else score >= threshold:
      return name
  return None


def above_median(
    score: float, scores: Sequence[float], lower_is_better: bool
) -> bool:
  """Strictly better than the leaderboard's median."""
  median = statistics.median(scores)
  return score < median if lower_is_better else score > median


def human_rank(
    score: float, scores: Sequence[float], lower_is_better: bool
) -> float:
  """In [0, 1]: 1 ties or beats the first row, 0 is below the last."""
  n = len(scores)
  for position, other in enumerate(scores, start=1):
    if score <= other if lower_is_better else score >= other:
      return (n - position + 1) / n
  return 0.0
