"""Do the tests of `core/` notice when its maths is wrong?

Makes every mutant of ace_jax/core/*.py that differs by a single operator (an
arithmetic, comparison or boolean operator, a sign, a number, a default, a
branch, minimum for maximum, a dropped stop_gradient) and runs the module's own
tests, tests/core/test_<module>.py, against each. A mutant is killed when a
test fails, or when they take several times the CPU time that they should (a
busy machine changes nothing). Survivors are listed; the last line is
{"mutants": …, "killed": …, "rate": …}, and the exit code is 1 below 90 %.

  python tests/mutation.py [--quick] [--module losses] [--jobs 2]

Each mutant runs in a fork of this process, which has imported JAX and pytest
but computed nothing: forking after JAX has started its threads would hang.
"""

import argparse
import ast
import copy
import dataclasses
import importlib.util
import json
import os
import pathlib
import random
import resource
import shutil
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterable, Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
REQUIRED_RATE = 0.9
QUICK_SAMPLE = 40

# --- What is changed ----------------------------------------------------

BINARY = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div],
    ast.Div: [ast.Mult], ast.FloorDiv: [ast.Mult], ast.Mod: [ast.Mult],
    ast.Pow: [ast.Mult], ast.BitAnd: [ast.BitOr], ast.BitOr: [ast.BitAnd],
}  # fmt: skip
COMPARISON = {
    ast.Lt: [ast.LtE, ast.Gt], ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.Lt], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
}  # fmt: skip
BOOLEAN = {ast.And: ast.Or, ast.Or: ast.And}
_PAIRS = [
    ('minimum', 'maximum'), ('min', 'max'), ('argmin', 'argmax'),
    ('any', 'all'), ('sum', 'prod'), ('ones_like', 'zeros_like'),
]  # fmt: skip
NAMES = dict(_PAIRS) | {b: a for a, b in _PAIRS}

# A change gets a copy of the node and returns the node to put there.
Change = Callable[[ast.AST], ast.AST]


def _set(**fields) -> Change:
  def change(node):
    for name, value in fields.items():
      setattr(node, name, value)
    return node

  return change


def _swap_branches(node: ast.Call) -> ast.Call:
  node.args[1], node.args[2] = node.args[2], node.args[1]
  return node


def _rename(name: str) -> Change:
  def change(node: ast.Call) -> ast.Call:
    field = 'attr' if isinstance(node.func, ast.Attribute) else 'id'
    setattr(node.func, field, name)
    return node

  return change


def _changes_of_call(node: ast.Call) -> Iterator[tuple[str, Change]]:
  name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
  if name in NAMES:
    yield f'{name} → {NAMES[name]}', _rename(NAMES[name])
  if name == 'where' and len(node.args) == 3:
    yield 'where: branches swapped', _swap_branches
  if name == 'stop_gradient':
    yield 'stop_gradient dropped', lambda node: node.args[0]


def _changes_of_number(value: object) -> Iterator[tuple[str, Change]]:
  if isinstance(value, bool):
    yield f'{value} → {not value}', _set(value=not value)
  elif isinstance(value, (int, float)):
    for other in (value + 1, value - 1):
      if other != value:  # 1e20 + 1
        yield f'{value} → {other}', _set(value=other)


def changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
  """All ways to change this one node: (what, change)."""
  match node:
    case ast.BinOp() | ast.AugAssign():
      for op in BINARY.get(type(node.op), []):
        what = f'{type(node.op).__name__} → {op.__name__}'
        yield what, _set(op=op())
    case ast.Compare(ops=ops):
      for i, old in enumerate(ops):
        for op in COMPARISON[type(old)]:
          what = f'{type(old).__name__} → {op.__name__}'
          yield what, _set(ops=[*ops[:i], op(), *ops[i + 1 :]])
    case ast.BoolOp(op=old):
      op = BOOLEAN[type(old)]
      yield f'{type(old).__name__} → {op.__name__}', _set(op=op())
    case ast.UnaryOp(op=op):
      yield f'{type(op).__name__} dropped', lambda node: node.operand
    case ast.Constant(value=value):
      yield from _changes_of_number(value)
    case ast.Call():
      yield from _changes_of_call(node)
    case ast.If(test=test) | ast.IfExp(test=test):
      negated = ast.UnaryOp(ast.Not(), test)
      yield 'condition negated', _set(test=negated)


def _paths(node: ast.AST, path: tuple = ()) -> Iterator[tuple[tuple, ast.AST]]:
  """(path, node) of all that computes: not types, not messages."""
  yield path, node
  for field, value in ast.iter_fields(node):
    if field in ('annotation', 'returns') or isinstance(value, ast.Raise):
      continue
    if isinstance(node, ast.ClassDef) and field == 'bases':
      continue
    for i, child in enumerate(value if isinstance(value, list) else [value]):
      if isinstance(child, ast.AST) and not isinstance(child, ast.Raise):
        where = (field, i) if isinstance(value, list) else (field, None)
        yield from _paths(child, (*path, where))


@dataclasses.dataclass(frozen=True)
class Mutant:
  module: str
  line: int
  what: str
  path: tuple
  change: Change

  def code(self, tree: ast.Module) -> types.CodeType:
    """Compiles a copy of the module with the change made."""
    tree = copy.deepcopy(tree)
    parent, node = None, tree
    for field, i in self.path:
      parent, value = node, getattr(node, field)
      node = value if i is None else value[i]
    new = ast.copy_location(self.change(node), node)
    if parent is not None:
      field, i = self.path[-1]
      if i is None:
        setattr(parent, field, new)
      else:
        getattr(parent, field)[i] = new
    ast.fix_missing_locations(tree)
    return compile(tree, str(_source(self.module)), 'exec')


def _source(module: str) -> pathlib.Path:
  return ROOT / 'ace_jax' / 'core' / f'{module}.py'


def mutants(module: str, tree: ast.Module) -> list[Mutant]:
  def is_alias(path: tuple) -> bool:  # `Axis = int | None`, not a computation
    top = tree.body[path[0][1]] if path else None
    return isinstance(top, ast.Assign) and isinstance(
        top.value, (ast.BinOp, ast.Subscript)
    )

  return [
      Mutant(module, getattr(node, 'lineno', 0), what, path, change)
      for path, node in _paths(tree)
      if not is_alias(path)
      for what, change in changes(node)
  ]


# --- How it is tried ------------------------------------------------------


def _run_tests(module: str, code: types.CodeType) -> int:
  """In the fork: puts `code` in the module's place, returns pytest's code."""
  name = f'ace_jax.core.{module}'
  spec = importlib.util.spec_from_file_location(name, _source(module))
  replaced = importlib.util.module_from_spec(spec)
  sys.modules[name] = replaced
  exec(code, replaced.__dict__)
  setattr(importlib.import_module('ace_jax.core'), module, replaced)
  return pytest.main([
      '-x', '-q', '--assert=plain', '-p', 'no:cacheprovider',
      '-p', 'no:unraisableexception', '-p', 'no:threadexception',
      '--noconftest', '-c', os.devnull, '--rootdir', str(ROOT),
      str(ROOT / 'tests' / 'core' / f'test_{module}.py'),
  ])  # fmt: skip


def _fork(module: str, code: types.CodeType, cpu_limit_s: int) -> int:
  pid = os.fork()
  if pid:
    return pid
  status = 1  # also of a mutant that cannot even be imported
  try:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_limit_s, cpu_limit_s))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    status = int(_run_tests(module, code))
  finally:
    os._exit(status)


def _run(jobs: int, work: Iterable) -> Iterator[tuple[object, int, float]]:
  """At most `jobs` forks at once.

  `work` yields (label, module, code, CPU limit in s), in order. Results come as
  they end: (label, exit code, or the signal that ended it, CPU seconds).
  """
  running = {}  # pid → label

  def reap() -> tuple[object, int, float]:
    pid, status, usage = os.wait4(-1, 0)
    code = abs(os.waitstatus_to_exitcode(status))
    return running.pop(pid), code, usage.ru_utime + usage.ru_stime

  for label, module, code, cpu_limit_s in work:
    if len(running) >= jobs:
      yield reap()
    running[_fork(module, code, cpu_limit_s)] = label
  while running:
    yield reap()


def _prepare(cache_dir: str) -> None:
  """What every fork inherits; JAX's backend must not start here."""
  os.environ['JAX_PLATFORMS'] = 'cpu'
  warnings.filterwarnings('ignore', category=RuntimeWarning)  # about forking
  sys.path.insert(0, str(ROOT))
  import jax
  import jax.numpy  # noqa: F401

  # A mutant shares nearly all its programs with the others.
  jax.config.update('jax_compilation_cache_dir', cache_dir)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def _baselines(modules: list[str], trees: dict, jobs: int) -> dict[str, float]:
  """CPU seconds that each module's tests take unchanged; they must pass."""
  seconds = {}
  work = (
      (m, m, compile(trees[m], str(_source(m)), 'exec'), 600) for m in modules
  )
  for module, code, took in _run(jobs, work):
    if code != 0:
      sys.exit(f'tests of {module} fail without any change (code {code})')
    seconds[module] = took
  return seconds


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true', help='a fixed sample')
  parser.add_argument('--module', help='only this one, such as losses')
  parser.add_argument('--jobs', type=int, default=os.cpu_count())
  args = parser.parse_args()

  modules = sorted(
      p.stem for p in (ROOT / 'ace_jax' / 'core').glob('[!_]*.py')
  )
  if args.module and args.module not in modules:
    parser.error(f'no module {args.module!r}, there are {", ".join(modules)}')
  modules = [args.module] if args.module else modules
  trees = {m: ast.parse(_source(m).read_text()) for m in modules}
  todo = [mutant for m in modules for mutant in mutants(m, trees[m])]
  if args.quick:
    sample = random.Random(0).sample(todo, min(QUICK_SAMPLE, len(todo)))
    todo = sorted(sample, key=lambda m: (m.module, m.line))
    modules = sorted({m.module for m in todo})

  cache_dir = tempfile.mkdtemp()
  try:
    _prepare(cache_dir)
    baseline_s = _baselines(modules, trees, args.jobs)
    limit_s = {m: 10 + 2 * int(seconds) for m, seconds in baseline_s.items()}
    work = (
        (m, m.module, m.code(trees[m.module]), limit_s[m.module]) for m in todo
    )
    killed = 0
    for m, code, _ in _run(args.jobs, work):
      killed += code != 0
      if code == 0:
        text = _source(m.module).read_text().splitlines()[m.line - 1].strip()
        where = f'core/{m.module}.py:{m.line}'
        print(f'survived  {where}  {m.what}  |  {text}', flush=True)
  finally:
    shutil.rmtree(cache_dir, ignore_errors=True)

  rate = killed / max(len(todo), 1)
  print(json.dumps({
      'mutants': len(todo), 'killed': killed, 'rate': round(rate, 4),
  }))  # fmt: skip
  sys.exit(rate < REQUIRED_RATE)


if __name__ == '__main__':
  main()
