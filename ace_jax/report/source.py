"""Text that others wrote, made safe to look at."""

from __future__ import annotations

from typing import Any

import pygments
import pygments.formatters
import pygments.lexers
from markupsafe import Markup, escape

MAX_HIGHLIGHTED = 20_000  # characters; longer text is shown plain

# Control characters as their pictures (␀ … ␡). Those that turn the direction
# of text would let a program look like another one: they are shown as codes.
_VISIBLE = {i: chr(0x2400 + i) for i in range(32) if chr(i) not in '\n\t'}
_VISIBLE |= {0x7f: '\u2421'}
_VISIBLE |= {i: f'⟨U+{i:04X}⟩' for i in (
    *range(0x80, 0xa0), 0x61c, 0x200e, 0x200f, *range(0x202a, 0x202f),
    *range(0x2066, 0x206a))}


def visible(value: Any) -> Any:
  """A string without characters that act instead of showing."""
  if isinstance(value, str):
    return value.replace('\r\n', '\n').translate(_VISIBLE)
  return value


def highlight(program: str) -> Markup:
  """Python source → escaped HTML; classes of `report.css` mark its parts."""
  program = visible(program)
  if len(program) > MAX_HIGHLIGHTED:
    return escape(program)
  lexer = pygments.lexers.PythonLexer(stripnl=False, ensurenl=False)
  formatter = pygments.formatters.HtmlFormatter(nowrap=True)
  shown = Markup(pygments.highlight(program, lexer, formatter))
  # The formatter ends the last line even where the program does not.
  return shown if program.endswith('\n') else shown.removesuffix('\n')
