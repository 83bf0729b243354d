"""The report that `mlebench grade` writes, field by field.

See CompetitionReport and aggregate_reports of github.com/openai/mle-bench,
mlebench/grade_helpers.py and grade.py. Scores and medals are official ones:
on all rows of the answers.
"""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ace_jax.envs.mle import leaderboard
from ace_jax.types import Grade, Task


def competition(
    task: Task,
    grade: Grade | None,
    *,
    submission: pathlib.Path,
    created_at: str,
) -> dict[str, Any]:
  """One competition's report.

  Args:
    task: with its leaderboard on all rows.
    grade: on all rows; None where nothing was handed in.
    submission: the file that was, or would have been.
    created_at: ISO 8601.
  """
  scores = task.leaderboard['all']
  medal = grade.medal if grade else None
  return {
      'competition_id': task.name,
      'score': grade.score if grade else None,
      **{
          f'{name}_threshold': scores[position - 1]
          for name, position in leaderboard.medal_positions(
              len(scores)
          ).items()
      },
      'median_threshold': statistics.median(scores),
      'any_medal': medal is not None,
      **{f'{name}_medal': medal == name for name in _MEDALS},
      'above_median': bool(grade and grade.above_median),
      'submission_exists': grade is not None,
      'valid_submission': bool(grade and grade.valid),
      'is_lower_better': task.lower_is_better,
      'created_at': created_at,
      'submission_path': str(submission),
  }


_MEDALS = ('gold', 'silver', 'bronze')


def aggregate(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """The counts over competitions, with the reports themselves."""

  def total(*fields: str) -> int:
    return sum(report[field] for report in reports for field in fields)

  return {
      'total_runs': len(reports),
      'total_runs_with_submissions': total('submission_exists'),
      'total_valid_submissions': total('valid_submission'),
      'total_medals': total(*(f'{name}_medal' for name in _MEDALS)),
      **{f'total_{name}_medals': total(f'{name}_medal') for name in _MEDALS},
      'total_above_median': total('above_median'),
      'competition_reports': list(reports),
  }
