"""A finished Attempt → the Problem that it may become.

AceGRPO (arXiv 2602.07906) turns execution traces into training tasks; its
rules are not public. Ours: a valid program is there to be improved. One that
failed is there to be debugged if its author can read why: an exception, or
what the grader says against its submission. A time limit, a lost sandbox, an
exit without an exception and copied answers are nobody's lesson.

A Parent keeps what a prompt may need, chosen before it is cut: lines that look
like scores, and of a traceback the program's own lines and the exception.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ace_jax.envs import compare, output
from ace_jax.envs.mle.canary import COPIED
from ace_jax.types import Attempt, Grade, Parent, Problem, Status

MAX_LINES = 20  # of stdout that a Parent keeps
MAX_ERROR = 2000  # characters of stderr
PROMPT_ROWS = ('reward', 'select')  # whose grades a prompt may know


def check_rows(grade: Grade) -> None:
  """Raises ValueError if no prompt may know this grade."""
  if grade.rows not in PROMPT_ROWS:
    raise ValueError(
        f'a grade on the {grade.rows!r} rows is for a table alone: problems '
        f'are made from one on {" or ".join(PROMPT_ROWS)} rows'
    )


def parent_of(attempt: Attempt) -> Parent:
  """What a Problem keeps of `attempt`, which holds a program that was run.

  Raises:
    ValueError: it was graded on rows that no prompt may know.
  """
  check_rows(attempt.grade)
  older, run = attempt.problem.parent, attempt.execution
  # One that ran to its end may warn there, or print what it caught.
  stderr = '' if run.status is Status.OK else run.stderr
  is_valid = attempt.grade.valid
  return Parent(
      key=attempt.key,
      root=older.root if older else attempt.key,
      depth=older.depth + 1 if older else 0,
      program=attempt.program,
      stdout=output.excerpt(run.stdout, MAX_LINES),
      stderr=output.traceback_tail(stderr, MAX_ERROR),
      milestones=attempt.milestones,
      grade=attempt.grade,
      signature=compare.signature(
          run.files.get('submission.csv') if is_valid else None
      ),
  )


def child(attempt: Attempt) -> Problem | None:
  """The Problem that starts from `attempt`, or None where there is none."""
  run = attempt.execution
  if attempt.program is None or run is None:
    return None
  if attempt.grade.valid:
    return Problem(attempt.problem.task, 'improve', parent_of(attempt))
  if _is_readable(attempt):
    return Problem(attempt.problem.task, 'debug', parent_of(attempt))
  return None


def _is_readable(attempt: Attempt) -> bool:
  """Whether a failure tells its author what to mend."""
  run, grade = attempt.execution, attempt.grade
  if run.status is Status.ERROR:
    return output.has_exception(run.stderr)
  return run.status is Status.OK and grade.error != COPIED


# --- On disk -----------------------------------------------------------------


def to_json(problem: Problem) -> dict[str, Any]:
  """A Problem with its parent, by value, of JSON's types."""
  out = dataclasses.asdict(problem)
  if problem.parent:
    out['parent']['signature'] = problem.parent.signature.hex()
  return out


def from_json(stored: dict[str, Any]) -> Problem:
  """What `to_json` was given."""
  parent = stored['parent']
  if parent:
    parent = Parent(**{
        **parent,
        'grade': Grade(**parent['grade']),
        'signature': bytes.fromhex(parent['signature']),
    })
  return Problem(stored['task'], stored['kind'], parent)
