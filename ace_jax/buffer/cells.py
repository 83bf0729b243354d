"""What is known of a Problem before its first visit: the cell it falls into.

Problems of one task, kind and standing of their parent behave alike: a draft;
an improve by the parent's HumanRank; a debug by the kind of its error.
"""

from __future__ import annotations

import re

from ace_jax.types import Problem

_ERRORS = (
    'NameError', 'ImportError', 'ModuleNotFoundError', 'AttributeError',
    'KeyError', 'ValueError', 'TypeError', 'SyntaxError', 'FileNotFoundError',
)
_BINS = 4  # of the parent's HumanRank
NAMES = (
    'draft',
    *(f'improve/{i}' for i in range(_BINS)),
    'debug/submission',
    *(f'debug/{name}' for name in _ERRORS),
    'debug/other',
)
_CODES = {name: code for code, name in enumerate(NAMES)}
_LAST_ERROR = re.compile(r'^(?:\w+\.)*(\w+)(?::.*)?$')


def cell(problem: Problem) -> int:
  """The index in NAMES of a Problem's cell."""
  parent = problem.parent
  if parent is None:
    return _CODES['draft']
  if problem.kind == 'improve':
    return _CODES[f'improve/{min(int(parent.quality * _BINS), _BINS - 1)}']
  lines = [line for line in parent.stderr.splitlines() if line.strip()]
  if not lines:  # it ran: the grader refused its submission
    return _CODES['debug/submission']
  for line in reversed(lines):  # a message may take several lines
    found = _LAST_ERROR.match(line)
    if found and f'debug/{found.group(1)}' in _CODES:
      return _CODES[f'debug/{found.group(1)}']
  return _CODES['debug/other']
