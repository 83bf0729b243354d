"""Completion text → program, and what makes two programs the same."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings

# A fence may be cut off by the length limit: the closing marks are optional.
_FENCE = re.compile(r'```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)',
                    re.DOTALL | re.MULTILINE)
_LANGUAGES = ('', 'python', 'python3', 'py')


def parse(program: str) -> ast.Module | None:
  """The syntax tree, or None where Python refuses the text."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # invalid escapes are the program's own
      return ast.parse(program)
  # Null bytes, and nesting deeper than the parser's stack.
  except (SyntaxError, ValueError, RecursionError, MemoryError):
    return None


def extract(text: str) -> str | None:
  """The program in a completion, or None.

  The longest fenced block that parses, else the longest closed one: its
  syntax error is worth an execution, and a message. A fence that was never
  closed counts when what is there parses. Without any fence the text itself
  is the program if it parses and imports something.
  """
  closed, parsed = [], []
  for match in _FENCE.finditer(text):
    language, body = match.group(1).lower(), match.group(2)
    if language not in _LANGUAGES or not body.strip():
      continue
    if match.group(0).rstrip().endswith('```'):
      closed.append(body)
    if parse(body) is not None:
      parsed.append(body)
  if parsed or closed:
    return max(parsed or closed, key=len)
  tree = None if '```' in text else parse(text)
  if tree is None:
    return None
  imports = (ast.Import, ast.ImportFrom)
  return text if any(isinstance(n, imports) for n in ast.walk(tree)) else None


# --- Sameness --------------------------------------------------------------


class _Canonical(ast.NodeTransformer):
  """Names that the program binds become _v0, _v1, … in order of appearance.

  Blind to scopes, so it never merges programs that differ in more than a
  consistent renaming.
  """

  def __init__(self, bound: set[str], functions: set[str]):
    self._bound = bound
    self._functions = functions
    self._names: dict[str, str] = {}

  def _rename(self, name: str | None) -> str | None:
    if name not in self._bound:
      return name
    return self._names.setdefault(name, f'_v{len(self._names)}')

  def generic_visit(self, node: ast.AST) -> ast.AST:
    for field in ('id', 'arg', 'asname', 'name', 'rest'):
      value = getattr(node, field, None)
      if isinstance(value, str) and not isinstance(
          node, (ast.alias, ast.keyword)
      ):
        setattr(node, field, self._rename(value))
    if isinstance(node, (ast.Global, ast.Nonlocal)):
      node.names = [self._rename(name) for name in node.names]
    if isinstance(node, ast.alias):
      bound = self._rename(_binding(node))
      node.asname = None if bound == node.name else bound
      if '.' in node.name and bound == node.name.split('.')[0]:
        node.asname = None
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in self._functions  # its parameters are renamed too
    ):
      for keyword in node.keywords:
        keyword.arg = self._rename(keyword.arg)
    for _, block in ast.iter_fields(node):
      if isinstance(block, list) and any(map(_is_remark, block)):
        block[:] = [s for s in block if not _is_remark(s)] or [ast.Pass()]
    return super().generic_visit(node)


def _binding(alias: ast.alias) -> str:
  return alias.asname or alias.name.split('.')[0]


def _is_remark(node: ast.AST) -> bool:
  """A docstring, or any other bare constant."""
  return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def bound_names(tree: ast.Module) -> set[str]:
  """Names that the program gives to something, imports included."""
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
      names.add(node.id)
    elif isinstance(node, ast.arg):
      names.add(node.arg)
    elif isinstance(node, ast.alias):
      # `import a.b` binds a, which cannot be given another name there.
      if node.asname or '.' not in node.name:
        names.add(_binding(node))
    elif isinstance(node, ast.MatchMapping):
      names.add(node.rest)
    elif isinstance(
        node,
        (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
         ast.ExceptHandler, ast.MatchAs, ast.MatchStar),
    ):
      names.add(node.name)
  return names - {None, '*'}


def normalise(program: str) -> str | None:
  """The program without formatting, comments, docstrings and names.

  Constants and the order of statements stay: another learning rate is
  another program.

  Returns:
    Source text for comparison, not for running; None if it does not parse.
  """
  tree = parse(program)
  if tree is None:
    return None
  functions = {
      node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
  }
  try:
    return ast.unparse(_Canonical(bound_names(tree), functions).visit(tree))
  # Parsed, but too deep to walk in Python; or, before 3.12, with a character in
  # an f-string's expression that cannot be written there.
  except (RecursionError, ValueError):
    return None


def program_hash(program: str) -> str:
  """16 hex digits, equal for programs that differ in form only."""
  text = normalise(program)
  if text is None:
    text = '\n'.join(line.rstrip() for line in program.strip().splitlines())
  return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]
