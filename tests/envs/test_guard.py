"""The guard: honest prints pass, and nothing else does."""

import ast
import collections
import textwrap

import pytest

from ace_jax.envs import guard

TABLE = '''\
"""Predicts the species."""
from __future__ import annotations
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

def load(path, rate=0.5):
  """Reads a table."""
  frame = pd.read_csv(path)
  return frame

class Model:
  """A model."""
  scale = 2

  def fit(self, X, y):
    self.model = LogisticRegression(C=1.0, max_iter=200)
    self.model.fit(X, y)
    return self

train, test = load('train.csv'), load('test.csv')
X = train.drop(columns=['label']).values * 2 + 1
y = train['label']
model = Model()
for fold in range(3):
  if fold < 2:
    model.fit(X, y)
  else:
    model.fit(X[fold:], y[fold:])
print('score', 0.5)
try:
  p = model.model.predict(test.values)
except ValueError as error:
  p = np.zeros(len(test))
finally:
  done = True
with open('submission.csv', 'w') as f:
  f.write('id,label\\n')
  f.writelines(f'{i},{v}\\n' for i, v in enumerate(p))
'''

FLAT = '''\
import csv, math
rows = list(csv.reader(open('train.csv')))
total = 0
while total < 10:
  total += math.sqrt(4)
match len(rows):
  case 0:
    label = 'a'
  case _:
    label = rows[-1][-1]
try:
  out = [label for r in rows if r]
except KeyError:
  out = []
open('submission.csv', 'w').write('\\n'.join(out))
'''
PROGRAMS = (TABLE, FLAT)


def added(program, answer):
  one, other = ast.parse(program), ast.parse(answer)
  return guard.added_prints(one, other)


def accepts(program, answer):
  return added(program, answer) is not None


# --- Honest instrumentations ------------------------------------------------


def boundaries(program):
  """Each (line number, indentation) before which a statement may stand.

  Those where a print is no mere print are left out: before a docstring and
  `from __future__`, and right inside a class.
  """
  tree, found = ast.parse(program), []
  for node in ast.walk(tree):
    for _, block in ast.iter_fields(node):
      if (
          not isinstance(block, list) or isinstance(node, ast.ClassDef)
          or not block or not isinstance(block[0], ast.stmt)
      ):
        continue
      for i, statement in enumerate(block):
        later = ast.unparse(block[i:])
        docstring = i == 0 and isinstance(
            getattr(block[0], 'value', None), ast.Constant
        ) and isinstance(block[0], ast.Expr)
        if docstring or 'from __future__' in later:
          continue
        elif_ = program.split('\n')[statement.lineno - 1].lstrip()
        if not elif_.startswith('elif'):
          found.append((statement.lineno, statement.col_offset))
  return sorted(found)


def insert(program, line, column, text):
  lines = program.split('\n')
  lines[line - 1:line - 1] = textwrap.indent(text, ' ' * column).split('\n')
  return '\n'.join(lines)


STYLES = (
    "print('data loaded')", 'print("MILESTONE: trained")', "print('')",
    "print('''two\nlines''')", "print('a' 'b')", "print ( 'x' ) # why",
    "print('score'); print('score')",
)


@pytest.mark.parametrize('program', PROGRAMS)
def test_honest_prints_are_accepted_wherever_they_stand(program):
  places = boundaries(program)
  assert len(places) >= 10
  for style in STYLES:
    expected = len(ast.parse(style).body)
    for line, column in places:
      answer = insert(program, line, column, style)
      found = added(program, answer)
      assert found is not None and len(found) == expected, answer
  answer = program
  for line, column in reversed(places):  # all at once
    answer = insert(answer, line, column, "print('model trained')")
  assert len(added(program, answer)) == len(places)


def test_form_is_free():
  for program in PROGRAMS:
    assert added(program, program) == []
    assert added(program, ast.unparse(ast.parse(program))) == []
    assert added(program, program.replace('\n', '  # remark\n', 1)) == []
    answer = program + "print('submission written')\n"
    (last,) = added(program, answer)
    assert last.text == 'submission written'
    assert last.at == len(last.block)


def test_added_prints_are_told_from_the_programs_own():
  program = "print('a')\nx = 1\nprint('a')\n"
  answer = "print('a')\nprint('a')\nx = 1\nprint('b')\nprint('a')\n"
  assert [(a.text, a.at) for a in added(program, answer)] == [
      ('a', 1), ('b', 2)
  ]


# --- Mutants ------------------------------------------------------------------

# What may stand where an honest print would, and is none.
NOT_PRINTS = (
    "print('x', file=open('f', 'w'))", "print('x', end='')",
    "print('x', sep='')", "print('x', flush=True)", "print(*['x'])",
    "print(**{'end': 'x'})", "print('x', 'y')", 'print()', 'print(1)',
    "print(b'x')", 'print(None)', "print(('x',))", "print('x' + 'y')",
    "print('x' % 1)", "print('x'.upper())", "print(len('x'))",
    "print(open('train.csv').read())", "print(f'x')", "print(f'{rows}')",
    "print(f'{open(\"x\")}')", "print(f'{len(\"x\")!r:>{9}}')",
    "print((x := 'x'))", 'print(__name__)', "print('x' if 1 else 'y')",
    "print([print('x')])", "print(lambda: 'x')", "print(['x' for _ in 'ab'])",
    "x = print('x')", "x: str = print('x')", "print('x') or exit()",
    "print('x'), exit()", "(print('x'),)", "[print('x')]",
    "[print('x') for _ in range(2)]", "print('x') if True else None",
    "not print('x')", "assert print('x') is None", "(lambda: print('x'))()",
    "if True: print('x')", "for _ in range(2): print('x')",
    "while False: print('x')", "with open('a'): print('x')",
    "try: print('x')\nfinally: pass", "def f(): print('x')",
    "class A: print('x')", "import os", "from os import path", "pass",
    "'x'", '0', "import builtins; builtins.print('x')",
    "__builtins__.print('x')", "__import__('os').system('ls')",
    "exec(\"print('x')\")", "eval(\"print('x')\")",
    "getattr(__builtins__, 'print')('x')", "globals()['print']('x')",
    "__import__('sys').stdout.write('x')", "print.__call__('x')",
    "logging.info('x')", "display('x')", "Print('x')", "pprint('x')",
    "del total", "total = 0", "global total", "raise ValueError('x')",
    "import sys; sys.exit(0)", "print = max", "def print(*a): pass",
    "print('x')\ntotal = 1", "print('x'); pass", "@print\ndef f(): pass",
    "def f(a=print('x')): pass", "print('x')['y']", "print('x').y",
    "print: object", "print += 'x'", "async def f(): print('x')",
)

# What makes `print` something else, or lets the program see its own source or
# output, at the top of the program itself: the answer adds honest prints only.
SHADOWS = (
    'import print', 'import a as print', 'from a import print',
    'from a import b as print', 'from a import *', 'def print(x): exit()',
    'class print: pass', 'async def print(x): pass', 'print = exit',
    'print: object = exit', 'a = print = exit', '(print, a) = exit, 1',
    '[*print] = [1]', 'for print in [exit]: pass',
    'with open("a") as print: pass', 'with open("a") as (print, a): pass',
    'try: a()\nexcept ValueError as print: pass',
    'match a:\n  case print: pass', 'match a:\n  case [*print]: pass',
    'match a:\n  case {**print}: pass', 'match a:\n  case int() as print: pass',
    'def f():\n  global print\n  print = exit',
    'def f():\n  print = 1\n  def g():\n    nonlocal print',
    'def f():\n  global print', '(print := exit)',
    '[a for print in [exit]]', '[(print := a) for a in [exit]]', 'del print',
    'f = lambda print: print("x")', 'def f(print): print("x")',
    'def f(*print): pass', 'def f(**print): pass', 'def f(a, /, print): pass',
    'import builtins\nbuiltins.print = exit', '__builtins__.print = exit',
    "setattr(a, 'print', exit)", "globals()['print'] = exit",
    "locals()['print'] = exit", "vars(a)['print'] = exit",
    "exec('print = exit')", "eval('a')", "a = getattr(b, 'prin' + 't')",
    "a['print'] = exit", 'a.print = exit', "__import__('a')",
    'import importlib', 'import inspect', 'from inspect import getsource',
    'a = open(__file__).read()', 'import traceback', 'import linecache',
    'import sys\nsys.settrace(f)', 'import sys\nsys.stdout = open("a", "w")',
    'import sys\na = sys._getframe()', 'from sys import stdout as a',
    'from contextlib import redirect_stdout', 'import doctest',
    'import builtins as b', 'a.__dict__.update(b)', 'a = f.__code__',
    'import os\nos.dup2(1, 2)', 'f(print=1)', 'sys.stdout.close()',
    'a = compile(b, c, d)', 'a = b.__traceback__.tb_lineno',
)


class _Change(ast.NodeTransformer):
  """Applies a change to the n-th node to which it applies."""

  def __init__(self, change, n):
    self.change, self.left, self.hit = change, n, False

  def visit(self, node):
    self.generic_visit(node)
    if not self.hit and (new := self.change(node)) is not None:
      if self.left == 0:
        self.hit = True
        return new
      self.left -= 1
    return node


def _operator(node):
  swaps = {ast.Add: ast.Sub, ast.Mult: ast.Pow, ast.Lt: ast.LtE}
  if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in swaps:
    node.op = swaps[type(node.op)]()
    return node
  if isinstance(node, ast.Compare) and type(node.ops[0]) in swaps:
    node.ops = [swaps[type(node.ops[0])]()]
    return node
  return None


def _constant(node):
  if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
    return ast.Constant(node.value + 1)
  if isinstance(node, ast.Constant) and isinstance(node.value, str):
    return ast.Constant(node.value + "\nprint('x')")
  return None


def _equal_constant(node):
  """2 → 2.0, 1.0 → 1: equal to Python, not the same program."""
  if isinstance(node, ast.Constant) and type(node.value) in (int, float):
    other = float if isinstance(node.value, int) else int
    return ast.Constant(other(node.value)) if node.value % 1 == 0 else None
  return None


def _keyword(node):
  if isinstance(node, ast.Call):
    node.keywords = [*node.keywords, ast.keyword('verbose', ast.Constant(1))]
    return node
  return None


def _wrapped_argument(node):
  if isinstance(node, ast.Call) and node.args:
    printed = ast.parse("(print('x'), 0)[1]", mode='eval').body
    node.args = [*node.args[:-1], printed]
    return node
  return None


def _or_print(node):
  if isinstance(node, ast.Assign):
    node.value = ast.parse(
        f"({ast.unparse(node.value)}, print('x'))[0]", mode='eval'
    ).body
    return node
  return None


def _renamed(node):
  if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
    return ast.Name(node.id + '_', node.ctx)
  return None


def _with_else(node):
  if hasattr(node, 'orelse') and isinstance(node, ast.stmt) and (
      not node.orelse
  ):
    node.orelse = ast.parse("print('x')").body
    return node
  return None


def _with_finally(node):
  if isinstance(node, ast.Try) and not node.finalbody:
    node.finalbody = ast.parse("print('x')").body
    return node
  return None


def _decorated(node):
  if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
    node.decorator_list = [ast.parse("print('x')", mode='eval').body]
    return node
  return None


def _default(node):
  if isinstance(node, ast.arguments) and node.args:
    node.defaults = [ast.parse("print('x')", mode='eval').body]
    return node
  return None


def _condition(node):
  if isinstance(node, (ast.If, ast.While)):
    node.test = ast.parse(
        f"print('x') or {ast.unparse(node.test)}", mode='eval'
    ).body
    return node
  return None


def _filtered(node):
  if isinstance(node, ast.comprehension):
    node.ifs = [*node.ifs, ast.parse("not print('x')", mode='eval').body]
    return node
  return None


def _to_print(node):
  if isinstance(node, ast.stmt) and not isinstance(node, ast.ImportFrom):
    return ast.parse("print('x')").body[0]
  return None


def _on_block(change):
  def on_node(node):
    for field in ('body', 'orelse', 'finalbody'):
      block = getattr(node, field, None)
      if isinstance(block, list) and (new := change(block)) is not None:
        setattr(node, field, new)
        return node
    return None
  return on_node


TREE_CHANGES = {
    'operator': _operator,
    'constant': _constant,
    'equal constant': _equal_constant,
    'keyword': _keyword,
    'argument': _wrapped_argument,
    'value': _or_print,
    'name': _renamed,
    'else': _with_else,
    'finally': _with_finally,
    'decorator': _decorated,
    'default': _default,
    'condition': _condition,
    'comprehension': _filtered,
    'replaced': _to_print,
    'removed first': _on_block(lambda b: b[1:] if len(b) > 1 else None),
    'removed last': _on_block(lambda b: b[:-1] if len(b) > 1 else None),
    'reordered': _on_block(
        lambda b: [*b[:-2], b[-1], b[-2]] if len(b) > 1 else None
    ),
    'repeated': _on_block(lambda b: [*b, b[-1]] if len(b) > 1 else None),
    'nested': _on_block(
        lambda b: [ast.If(ast.Constant(1), b, [])] if len(b) > 1 else None
    ),
}


def tree_mutants(program):
  """(operator, program, answer): each operator at each node it applies to."""
  for name, change in TREE_CHANGES.items():
    for n in range(1000):
      visitor = _Change(change, n)
      tree = visitor.visit(ast.parse(program))
      if not visitor.hit:
        break
      answer = ast.unparse(ast.fix_missing_locations(tree))
      yield name, program, answer


def mutants():
  for program in PROGRAMS:
    yield from tree_mutants(program)
    places = boundaries(program)
    for i, text in enumerate(NOT_PRINTS):
      line, column = places[i * 7 % len(places)]
      yield 'not a print', program, insert(program, line, column, text)
    for head in SHADOWS:
      shadowed = program.replace('import', f'{head}\nimport', 1)
      if '__future__' in program:
        shadowed = program.replace('\nimport', f'\n{head}\nimport', 1)
      yield 'shadowed', shadowed, shadowed + "print('written')\n"
    for line, column in places:  # an honest print, and something else
      answer = insert(program, line, column, "print('x')")
      yield 'beside', program, answer.replace('train', 'test', 1)
  for line, column in [(1, 0), (2, 0), (8, 2), (13, 2), (14, 2), (16, 2)]:
    yield 'displaced', TABLE, insert(TABLE, line, column, "print('x')")
  yield 'displaced', "x = 1\n'doc'\n", "print('x')\n'doc'\n"
  yield 'displaced', 'class A:\n  if x:\n    a = 1\n', (
      "class A:\n  if x:\n    print('x')\n    a = 1\n"
  )
  yield 'displaced', '"""doc"""', "print('x')\n\"\"\"doc\"\"\""
  yield 'emptied', FLAT, ''
  yield 'emptied', FLAT, "print('x')"


def test_mutants_are_refused():
  counts, seen = collections.Counter(), set()
  dumps = {program: ast.dump(ast.parse(program)) for program in PROGRAMS}
  for name, program, answer in mutants():
    if (program, answer) in seen:
      continue
    seen.add((program, answer))
    # Python takes it, and it is not the program again.
    assert ast.dump(ast.parse(answer)) != dumps.get(program), answer
    assert not accepts(program, answer), f'{name}:\n{answer}'
    counts[name] += 1
  assert counts.keys() == {
      *TREE_CHANGES, 'not a print', 'shadowed', 'beside', 'displaced',
      'emptied',
  }
  assert counts.total() >= 200, counts
  assert counts['not a print'] >= 2 * len(NOT_PRINTS) - 2
  assert counts['shadowed'] == 2 * len(SHADOWS)


def test_what_cannot_be_walked_or_written_is_refused():
  deep = 'a' + '.b' * 1500
  digits = 'x = 0x' + 'f' * 9000
  for program in (deep, digits):
    assert not accepts(program, program + "\nprint('x')")
