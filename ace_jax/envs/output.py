"""What is worth showing of a program's output, in few characters.

Both functions may be given their own results again, with a smaller limit: a
Parent keeps much, a prompt shows less.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WIDTH = 160  # characters of a line
_HEADER = 'Traceback (most recent call last):'
_FRAME = re.compile(r'  File "[^"]*", line \d+')
_OWN = re.compile(r'  File "(?:[^"]*/)?<?(?:program|string)(?:\.py)?>?", ')
_CARETS = re.compile(r'\s*[~^]+\s*')
_EXCEPTION = re.compile(r'[\w.]*(?:Error|Exception)\b')
_FRAME_LINES = 4  # where it is, and the source that it shows
_SCORE = re.compile(
    r'(?:train|valid|\bval|test|\bcv\b|fold|epoch|score|acc|auc|loss|error'
    r'|rmse|\bmse|mae|\bf1|kappa|\br2).*\d',
    re.IGNORECASE,
)


class _Trace(NamedTuple):
  frames: list[list[str]]  # the program's own, the failing one last
  error: list[str]  # type and message first, then what else the library says


def excerpt(stdout: str, num_lines: int) -> str:
  """The lines of an output that tell most of what a program achieved.

  The last lines that look like scores ('valid acc 0.83'), then the last of
  the others, in the order in which they were printed.
  """
  lines = [line for line in stdout.splitlines() if line.strip()]
  is_score = [bool(_SCORE.search(line[:WIDTH])) for line in lines]
  order = sorted(range(len(lines)), key=lambda i: (is_score[i], i))
  kept = sorted(order[max(len(order) - num_lines, 0):])
  return '\n'.join(_show(lines[i]) for i in kept)


def traceback_tail(stderr: str, limit: int) -> str:
  """The part of a program's error output that its author can act on.

  Of the last traceback: the program's own failing line with its number, and
  the exception's type and message, whatever the limit; then, as far as they
  fit, the program's other frames, nearest first, what the library says beyond
  the message's first line, and the header. Never a library's frames. Without
  a traceback the output's end.

  Args:
    stderr: of the program.
    limit: characters.
  """
  trace = _trace(stderr)
  if trace is None:
    text = '\n'.join(map(_show, stderr.strip().splitlines()))
    return text if len(text) <= limit else '…' + text[len(text) - limit + 1:]
  head = [line for frame in trace.frames[-1:] for line in frame]
  tail = trace.error[:1]

  def fits(lines: list[str]) -> bool:
    return len('\n'.join([*head, *tail, *lines])) <= limit

  for frame in reversed(trace.frames[:-1]):
    if not fits(frame):
      break
    head = frame + head
  for line in trace.error[1:]:
    if not fits([line]):
      break
    tail.append(line)
  if _HEADER in stderr and fits([_HEADER]):
    head.insert(0, _HEADER)
  return '\n'.join(head + tail)


def has_exception(stderr: str) -> bool:
  """Whether an exception is what the program ended with."""
  if _trace(stderr):
    return True
  lines = stderr.strip().splitlines()
  return bool(lines and _EXCEPTION.match(lines[-1]))


def _trace(stderr: str) -> _Trace | None:
  """The last traceback, lines shortened; None if there is none.

  Also of a syntax error, whose frame has no header before it.
  """
  _, header, text = stderr.rpartition(_HEADER)
  frames, error = [], []
  is_inside, is_own = bool(header), False
  for line in filter(str.strip, text.splitlines()):
    if error:
      error.append(line)
    elif _FRAME.match(line):
      is_inside, is_own = True, _OWN.match(line) is not None
      if is_own:
        frames.append([_OWN.sub('  File "program.py", ', line)])
    elif is_inside and line.startswith('  '):
      if is_own and not _CARETS.fullmatch(line):
        frames[-1].append(line)
    elif is_inside:
      error.append(line)
  if not error:
    return None
  return _Trace(
      [[_show(line) for line in frame[:_FRAME_LINES]] for frame in frames],
      [_show(line) for line in error],
  )


def _show(line: str) -> str:
  """A line as a prompt shows it: printable, short, no fence, no chat mark."""
  if len(line) > WIDTH:
    line = f'{line[:WIDTH * 2 // 3]} … {line[-(WIDTH // 3 - 3):]}'
  line = ''.join(c if c.isprintable() else ' ' for c in line)
  return line.replace('```', "'''").replace('<|', '< |').rstrip()
