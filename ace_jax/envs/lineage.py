"""A finished Attempt → the Problem that it may become.

AceGRPO (arXiv 2602.07906) turns execution traces into training tasks; its
rules are not public. Ours: a valid program is there to be improved, one that
failed with an error that can be read is there to be debugged, and what timed
out, or lost its sandbox, is nobody's lesson.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ace_jax.envs import compare
from ace_jax.types import Attempt, Grade, Parent, Problem, Status

MAX_OUTPUT = 2000  # characters of stdout and of stderr that a Parent keeps


def parent_of(attempt: Attempt) -> Parent:
  """What a Problem keeps of `attempt`, which holds a program that was run."""
  older, run = attempt.problem.parent, attempt.execution
  return Parent(
      key=attempt.key,
      root=older.root if older else attempt.key,
      depth=older.depth + 1 if older else 0,
      program=attempt.program,
      stdout=run.stdout[-MAX_OUTPUT:],
      stderr=run.stderr[-MAX_OUTPUT:],
      milestones=attempt.milestones,
      grade=attempt.grade,
      signature=compare.signature(run.files.get('submission.csv')),
  )


def child(attempt: Attempt) -> Problem | None:
  """The Problem that starts from `attempt`, or None where there is none."""
  run = attempt.execution
  if attempt.program is None or run is None:
    return None
  if attempt.grade.valid:
    return Problem(attempt.problem.task, 'improve', parent_of(attempt))
  # A wrong submission is told by the grader, an exception by the traceback.
  if run.status is Status.OK or (run.status is Status.ERROR and run.stderr):
    return Problem(attempt.problem.task, 'debug', parent_of(attempt))
  return None


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
