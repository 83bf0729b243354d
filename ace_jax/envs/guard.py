"""The guard: was anything but harmless prints added to a program?

A model was asked to add prints. Its answer is held against the program, tree
against tree: every statement of the program must be there, unchanged and in
its place, and every other statement must be `print('some text')`. What the
guard accepts is still not run (see lm_instrument.py): it tells where prints
were put and what they say, and no more.

Refused, too, is a print that moves what has meaning by its position: in front
of a docstring or of `from __future__`, or right inside a class body, which is
a namespace that a metaclass sees; and any print added to a program in which
`print` may be something else, or which looks at its own source, frames, names
or output. The set of names that tell is generous: refusing costs little, as
the deterministic instrumenter takes over.
"""

from __future__ import annotations

import ast
import dataclasses

from ace_jax.envs import programs

_SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Names by which a program reaches itself, its output or other modules' names.
_REFLECTION = frozenset((
    '__builtins__', '__code__', '__dict__', '__doc__', '__file__',
    '__getattribute__', '__import__', '__loader__', '__setattr__',
    '__stdout__', '_getframe', 'breakpoint', 'builtins', 'codeop', 'compile',
    'currentframe', 'delattr', 'displayhook', 'doctest', 'dup2', 'eval',
    'exec', 'exec_module', 'f_back', 'f_globals', 'f_locals', 'gc', 'getattr',
    'getsource', 'globals', 'import_module', 'importlib', 'inspect',
    'linecache', 'locals', 'redirect_stdout', 'runpy', 'setattr',
    'setprofile', 'settrace', 'stdout', 'tb_frame', 'tb_lineno', 'tokenize',
    'traceback', 'tracemalloc', 'vars',
))


@dataclasses.dataclass(frozen=True)
class Added:
  """A print that was added: it stands before `block[at]`, or at the end."""

  text: str
  block: list[ast.stmt]  # of the program's tree
  at: int


def added_prints(
    program: ast.Module, answer: ast.Module
) -> list[Added] | None:
  """The prints that make `answer` of `program`.

  Args:
    program: the tree of what was given.
    answer: the tree of what came back.

  Returns:
    The added prints in the order of the source, perhaps none; None if the
    answer differs in anything else, or may not be extended by prints.
  """
  try:
    if _may_notice(program):
      return None
    added: list[Added] = []
    return added if _same_node(program, answer, program, added) else None
  # Too deep to walk, or an integer with more digits than Python will write.
  except (RecursionError, ValueError):
    return None


# --- The program ------------------------------------------------------------


def _may_notice(program: ast.Module) -> bool:
  """Whether a print may mean something to the program beside its output."""
  if 'print' in programs.bound_names(program):
    return True
  for node in ast.walk(program):
    names = {
        value for field in ('id', 'attr', 'name', 'arg', 'module')
        if isinstance(value := getattr(node, field, None), str)
    }
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
      names.add(node.value)
    if isinstance(node, (ast.Global, ast.Nonlocal)):
      names.update(node.names)
    words = {word for name in names for word in name.split('.')}
    if words & _REFLECTION:
      return True
    # `print` as anything but a name: an attribute, a key, something imported.
    if 'print' in words and not isinstance(node, ast.Name):
      return True
    if isinstance(node, ast.alias) and node.name == '*':
      return True
  return False


# --- The difference ---------------------------------------------------------


def _same_node(
    one: ast.AST, other: ast.AST, scope: ast.AST, added: list[Added]
) -> bool:
  """Whether two nodes are equal but for added prints, which are collected.

  Args:
    one: a statement, handler or case of the program, or the program.
    other: what the answer has there.
    scope: the module, class or function that `one` stands in.
    added: takes the prints.
  """
  if type(one) is not type(other):
    return False
  scope = one if isinstance(one, _SCOPES) else scope
  for field, value in ast.iter_fields(one):
    theirs = getattr(other, field)
    if _is_block(value) or _is_block(theirs):
      same = _same_block(value, theirs, scope, added, in_scope=one is scope)
    elif field in ('handlers', 'cases'):
      same = len(value) == len(theirs) and all(
          _same_node(a, b, scope, added)
          for a, b in zip(value, theirs, strict=True)
      )
    else:
      same = _dump(value) == _dump(theirs)
    if not same:
      return False
  return True


def _is_block(value: object) -> bool:
  return bool(
      isinstance(value, list) and value and isinstance(value[0], ast.stmt)
  )


def _dump(value: object) -> str:
  if isinstance(value, list):
    return str([_dump(item) for item in value])
  return ast.dump(value) if isinstance(value, ast.AST) else repr(value)


def _same_block(
    block: list[ast.stmt], other: list[ast.stmt], scope: ast.AST,
    added: list[Added], *, in_scope: bool,
) -> bool:
  """Whether the program's block is in the other one, with prints between.

  Taking the first statement that matches never misses a way to match: what
  could be taken for an added print or for one of the program's is equal.
  """
  if not block or not other:  # an `else` that was not there
    return False
  at = 0
  for statement in other:
    inner: list[Added] = []
    if at < len(block) and _same_node(block[at], statement, scope, inner):
      added += inner
      at += 1
      continue
    text = _text(statement)
    if text is None or isinstance(scope, ast.ClassDef):
      return False
    if in_scope and _displaces(block, at):
      return False
    added.append(Added(text, block, at))
  return at == len(block)


def _text(statement: ast.stmt) -> str | None:
  """What `print('text')` prints; None if the statement is anything else."""
  match statement:
    case ast.Expr(ast.Call(
        func=ast.Name('print'),
        args=[ast.Constant(str(text))],
        keywords=[],
    )):
      return text
  return None


def _displaces(block: list[ast.stmt], at: int) -> bool:
  """Whether a print before `block[at]` makes its docstring no docstring, or
  comes before `from __future__`.
  """
  match block[:1] if at == 0 else []:
    case [ast.Expr(ast.Constant(str()))]:
      return True
  return any(
      isinstance(later, ast.ImportFrom) and later.module == '__future__'
      for later in block[at:]
  )
