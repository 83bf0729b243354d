"""Parent → what an improve or a debug prompt says of it.

The program is shown whole or not at all: half a program is another program.
"""

from __future__ import annotations

from ace_jax.envs import lineage, output
from ace_jax.envs.instrument import MILESTONES
from ace_jax.types import Parent, Problem


def describe(problem: Problem, *, output_lines: int, error: int) -> str:
  """The part of a prompt that tells of the program to start from.

  Args:
    problem: improve or debug.
    output_lines: of what the program printed, for improve.
    error: characters of a traceback, for debug; its last own line and its
      message are there whatever the number.

  Raises:
    ValueError: there is no parent, or its grade is on rows that no prompt may
      know.
  """
  parent = problem.parent
  if parent is None:
    raise ValueError(f'{problem.key} has no program to start from')
  lineage.check_rows(parent.grade)
  if problem.kind == 'debug':
    return _debug(parent, error)
  return _improve(parent, output_lines)


def _improve(parent: Parent, output_lines: int) -> str:
  grade = parent.grade
  shown = output.excerpt(parent.stdout, output_lines)
  return (
      f'Improve this program, its score is {grade.score}, better than '
      f'{grade.human_rank:.0%} of the leaderboard{_reached(parent)}:\n'
      + _fenced(parent) + (f'\nIt printed:\n{shown}' if shown else '')
  )


def _debug(parent: Parent, error: int) -> str:
  what = f'It failed{_reached(parent)}:\n'
  if parent.stderr:
    what += output.traceback_tail(parent.stderr, error)
  else:
    what = f'It ran, but its submission is not valid:\n{parent.grade.error}'
  return f'Fix this program:\n{_fenced(parent)}\n{what}'


def _reached(parent: Parent) -> str:
  if not parent.milestones:  # perhaps nobody looked
    return ''
  return f', {parent.milestones} of {len(MILESTONES)} steps done'


def _fenced(parent: Parent) -> str:
  program = parent.program.rstrip('\r\n')
  return f'```python\n{program}\n```'
