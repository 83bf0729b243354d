"""Milestones: prints added to a program, by rules on its syntax tree.

RL4MLE (arXiv 2509.01684) has a frozen copy of the model add the prints. Here
the rules are deterministic, unless the places come from such a copy (see
lm_instrument.py); what is printed there differs in these ways:

1. Every print is appended to the line on which a simple statement ends, as
   `…; print(…)`. No line moves, so line numbers in a traceback are those of
   the program as it was written, and nothing has to be mapped back.
2. Each print speaks once however often it runs: in a loop over rows it would
   otherwise fill the output limit, and change how the program ends.
3. What it prints carries a nonce drawn per execution.
4. The result is parsed again; unless it equals the original once the prints
   are gone, the program is returned as it was.

The counts are bounded, not trusted: a program can find the nonce in its own
source. They matter only in failures, and sum to less than any success.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from ace_jax.envs import programs

MILESTONES = (
    'imported', 'loaded', 'defined', 'trained', 'predicted', 'written'
)
_IMPORTED, _LOADED, _DEFINED, _TRAINED, _PREDICTED, _WRITTEN = range(6)

_CALLS = {
    _LOADED: {
        'read_csv', 'read_table', 'read_parquet', 'read_json', 'loadtxt',
        'genfromtxt', 'reader', 'DictReader', 'open',
    },
    _DEFINED: {'make_pipeline', 'Pipeline', 'Sequential'},
    _TRAINED: {
        'fit', 'partial_fit', 'fit_predict', 'train', 'backward', 'lstsq',
        'polyfit', 'cross_val_predict',
    },
    _PREDICTED: {
        'predict', 'predict_proba', 'predict_log_proba', 'decision_function',
        'fit_predict', 'cross_val_predict',
    },
    _WRITTEN: {'to_csv', 'savetxt', 'write', 'writelines', 'writerow',
               'writerows'},
}
_MODEL = re.compile(
    r'\w*(Classifier|Regressor|Regression|SV[CR]|NB|Perceptron|Analysis'
    r'|NearestCentroid|Ridge|Lasso|ElasticNet|Lars|Search)(CV)?'
)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_NEEDED = {'print', 'next', 'iter', 'globals'}


# A simple statement, numbered as in `statements`, and the milestones that have
# been reached once it has run.
Place = tuple[int, tuple[int, ...]]


def instrument(
    program: str, nonce: str, places: Sequence[Place] | None = None
) -> str:
  """The program with its milestones printed, line for line where it was.

  Args:
    program: Python source.
    nonce: letters and digits, drawn per execution.
    places: where to print, numbers of this program's; None: where the rules
      say.

  Returns:
    The instrumented source; the program unchanged if it does not parse, has
    no milestones, or binds a name that the prints need.

  Raises:
    ValueError: the nonce is not made of ASCII letters and digits.
  """
  if not (nonce.isascii() and nonce.isalnum()):
    raise ValueError(f'nonce {nonce!r} is not made of letters and digits')
  tree = programs.parse(program)
  if tree is None or programs.bound_names(tree) & _NEEDED:
    return program
  try:
    source = _append(program, _sites(tree, places), nonce)
    return source if _same_but_prints(tree, source, nonce) else program
  # Parsed, but too deep to walk in Python; or an integer with more digits than
  # Python will write.
  except (RecursionError, ValueError):
    return program


def statements(tree: ast.Module) -> list[ast.stmt]:
  """Every statement of a program; its index is its number in a `Place`."""
  return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def milestones(stdout: str, nonce: str) -> int:
  """How many milestones were reached: each counts once, and in order.

  The length of the longest increasing sequence among those printed, so that
  a scaler that is fitted before the model exists costs nothing.
  """
  longest = [0] * len(MILESTONES)
  for match in _record(nonce).finditer(stdout):
    k = int(match.group(1))
    longest[k] = max(longest[:k], default=0) + 1
  return max(longest)


def strip_milestones(text: str, nonce: str) -> str:
  """stdout or stderr as it would have been without the prints.

  Takes the milestones out of the one, and the prints out of the source lines
  that a traceback shows in the other.
  """
  shown = re.compile(
      rf"; print\(end=next\(globals\(\)\.setdefault\('{nonce}_.*?"
      r'flush=True\)'
  )
  return _record(nonce).sub('', shown.sub('', text))


# --- Text ------------------------------------------------------------------


def _record(nonce: str) -> re.Pattern[str]:
  """One printed milestone. It may follow what the program left on a line."""
  return re.compile(rf'\[\[{nonce}:([0-{len(MILESTONES) - 1}])\]\]\n?')


def _print(site: int, reached: list[int], nonce: str) -> str:
  """A statement that prints `reached` the first time it runs.

  The first call leaves an iterator over one text under the site's own key,
  and takes the text; later calls find it exhausted. Flushed, because what a
  killed process had buffered is lost.
  """
  text = ''.join(f'[[{nonce}:{k}]]\\n' for k in reached)
  once = f"globals().setdefault('{nonce}_{site}', iter(['{text}']))"
  return f"print(end=next({once}, ''), flush=True)"


def _append(
    program: str, sites: list[tuple[ast.stmt, list[int]]], nonce: str
) -> str:
  # Columns in a syntax tree count bytes; its lines end as Python's do, which
  # is not what str.splitlines splits at.
  text = program.replace('\r\n', '\n').replace('\r', '\n')
  lines = text.encode().split(b'\n')
  # From the end, so that earlier columns on a line stay right.
  for i, (statement, reached) in reversed(list(enumerate(sites))):
    line = lines[statement.end_lineno - 1]
    column = statement.end_col_offset
    added = f'; {_print(i, reached, nonce)}'.encode()
    lines[statement.end_lineno - 1] = line[:column] + added + line[column:]
  return b'\n'.join(lines).decode()


def _sites(
    tree: ast.Module, places: Sequence[Place] | None
) -> list[tuple[ast.stmt, list[int]]]:
  """(simple statement, milestones) in the order of the source."""
  if places is None:
    return _Sites(tree).found
  numbered = statements(tree)
  sites = [(numbered[number], list(reached)) for number, reached in places]
  return sorted(
      sites, key=lambda site: (site[0].end_lineno, site[0].end_col_offset)
  )


def _same_but_prints(tree: ast.Module, source: str, nonce: str) -> bool:
  """Whether `source` is the tree and prints that name the nonce."""
  other = programs.parse(source)
  if other is None:
    return False
  for node in ast.walk(other):
    for _, block in ast.iter_fields(node):
      if isinstance(block, list):
        block[:] = [s for s in block if not _is_print(s, nonce)]
  return ast.dump(other) == ast.dump(tree)


def _is_print(node: ast.AST, nonce: str) -> bool:
  return (
      isinstance(node, ast.Expr)
      and isinstance(node.value, ast.Call)
      and isinstance(node.value.func, ast.Name)
      and node.value.func.id == 'print'
      and f"'{nonce}_" in ast.dump(node)
  )


# --- Where -----------------------------------------------------------------


class _Sites:
  """Finds the simple statements after which a milestone has been reached.

  What is called in the head of a compound statement (`for p in
  model.predict(X):`) is credited to the next simple statement, in its body
  and behind it; what a function returns, to the statements that call it.
  """

  def __init__(self, tree: ast.Module):
    nodes = list(ast.walk(tree))
    self._classes = {n.name for n in nodes if isinstance(n, ast.ClassDef)}
    returned = [
        (f.name, node.value)
        for f in nodes if isinstance(f, ast.FunctionDef)
        for node in ast.walk(f) if isinstance(node, ast.Return) and node.value
    ]
    self._returns: dict[str, set[int]] = {name: set() for name, _ in returned}
    grew = True
    while grew:  # a function may return what another one returns
      grew = False
      for name, value in returned:
        reached = self._reached(value)
        grew = grew or not reached <= self._returns[name]
        self._returns[name] |= reached
    self.found: list[tuple[ast.stmt, list[int]]] = []  # in source order
    self._visit(tree.body, set())

  def _visit(self, block: list[ast.stmt], pending: set[int]) -> None:
    last_import = self._last_import(block)
    for statement in block:
      inner = list(blocks(statement))
      if isinstance(statement, SCOPES):
        self._visit(statement.body, set())
      elif inner:
        for head in ast.iter_child_nodes(statement):
          if not isinstance(
              head, (ast.stmt, ast.ExceptHandler, ast.match_case)
          ):
            pending = pending | self._reached(head)
        for body in inner:
          self._visit(body, pending)
      elif not isinstance(statement, LEAVES):
        reached = pending | self._reached(statement)
        if statement is last_import:
          reached |= {_IMPORTED}
        if reached:
          self.found.append((statement, sorted(reached)))
        pending = set()

  def _last_import(self, block: list[ast.stmt]) -> ast.stmt | None:
    """The last import of a block before it does anything that counts."""
    last = None
    for statement in block:
      if _is_future(statement):
        continue
      if isinstance(statement, (ast.Import, ast.ImportFrom)):
        last = statement
      elif self._reached(statement):
        break
    return last

  def _reached(self, node: ast.AST) -> set[int]:
    """Milestones of the calls that run when `node` does."""
    found, stack = set(), [node]
    while stack:
      node = stack.pop()
      if isinstance(node, (*SCOPES, ast.Lambda)):
        continue  # runs later, if ever
      if isinstance(node, ast.Call):
        found |= self._of_call(node)
      stack.extend(ast.iter_child_nodes(node))
    return found

  def _of_call(self, call: ast.Call) -> set[int]:
    function = call.func
    name = getattr(function, 'id', None) or getattr(function, 'attr', '')
    found = {k for k, names in _CALLS.items() if name in names}
    if name in self._classes or _MODEL.fullmatch(name):
      found.add(_DEFINED)
    if name == 'open' and _writes(call):
      found.discard(_LOADED)
    if isinstance(function, ast.Name):
      found |= self._returns.get(name, set())
    return found


def blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
  """The lists of statements inside a compound statement, in source order."""
  for name in ('body', 'cases', 'handlers', 'orelse', 'finalbody'):
    for item in (block := getattr(statement, name, [])):
      if isinstance(item, (ast.ExceptHandler, ast.match_case)):
        yield item.body
    if block and isinstance(block[0], ast.stmt):
      yield block


def _is_future(statement: ast.stmt) -> bool:
  return (
      isinstance(statement, ast.ImportFrom)
      and statement.module == '__future__'
  )


def _writes(call: ast.Call) -> bool:
  """Whether an `open` has a mode that writes."""
  modes = call.args[1:2] + [k.value for k in call.keywords if k.arg == 'mode']
  return any(
      isinstance(m, ast.Constant) and set(str(m.value)) & set('wax')
      for m in modes
  )
