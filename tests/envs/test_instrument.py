"""Milestones: prints that change nothing but what is printed."""

import ast
import contextlib
import csv
import email.message
import io
import json
import pathlib
import subprocess
import sys
import textwrap
import traceback

import pytest

from ace_jax.envs import instrument as lib

NONCE = '0a1b2c'

FLAT = '''\
"""Solves it."""
from __future__ import annotations
from __future__ import division
import csv, io  # é: columns in a syntax tree count bytes
from collections import (
    Counter,
)

class Majority:
  """é"""
  def fit(self, X, y):
    self.label = Counter(y).most_common(1)[0][0]; return self
  def predict(self, X): return [self.label for _ in X]

rows = list(csv.reader(io.StringIO(TEXT)))  # loaded; is it?
X, y = [r[:-1] for r in rows], [r[-1] for r in rows]
model = \\
    Majority()
model.fit(
    X,
    y,
);
if True: p = (model.predict(X))
out = io.StringIO(); out.write('id\\n'); print('é', end='')
for i, v in enumerate(p):
  if v: out.write(f'é{i},{v}\\n')
print(out.getvalue(), end='')
'''

MAIN = '''\
import csv, io
from collections import Counter

class Majority:
  def fit(self, X, y):
    self.label = Counter(y).most_common(1)[0][0]
  def predict(self, X):
    return [self.label for _ in X]

def load(text):
  return list(csv.reader(io.StringIO(text)))

def read(text):
  return load(text)

def main():
  rows = read(TEXT)
  with contextlib.suppress(KeyError):
    for fold in range(3):
      model = Majority()
      model.fit(rows, [r[-1] for r in rows])
      for p in model.predict(rows):
        if p:
          print(p)
        else:
          print('none')
  csv.writer(io.StringIO()).writerow([1])

if __name__ == '__main__':
  main()
'''


def _run(source: str) -> str:
  """stdout of a program, with the traceback of an error at its end."""
  out = io.StringIO()
  scope = {'__name__': '__main__', 'TEXT': '1,2,x\n3,4,y\n5,6,x\n',
           'contextlib': contextlib}
  with contextlib.redirect_stdout(out):
    try:
      exec(compile(source, 'program.py', 'exec'), scope)
    except ArithmeticError:
      lines = [f.lineno for f in traceback.extract_tb(sys.exc_info()[2])]
      print('line', lines[-1])
  return out.getvalue()


def _without_prints(source: str) -> str:
  """The tree's dump after removing every print that names the nonce."""

  class Remove(ast.NodeTransformer):
    def visit_Expr(self, node):
      text = ast.unparse(node)
      return None if text.startswith('print(end=next(globals().setdefault(' +
                                     repr(NONCE)[:-1]) else node

  return ast.dump(Remove().visit(ast.parse(source)))


@pytest.mark.parametrize('program', [FLAT, MAIN])
def test_six_milestones_and_the_same_output(program):
  source = lib.instrument(program, NONCE)
  out = _run(source)
  assert lib.milestones(out, NONCE) == 6
  assert lib.strip_milestones(out, NONCE) == _run(program)
  assert out.count(NONCE) < 15  # each print speaks once, in loops too


@pytest.mark.parametrize('program', [FLAT, MAIN])
def test_lines_stay_where_they_are(program):
  source = lib.instrument(program, NONCE)
  assert source != program
  assert lib.strip_milestones(source, NONCE) == program
  for one, other in zip(
      program.splitlines(), source.splitlines(), strict=True
  ):
    assert other.startswith(one.split('#')[0].rstrip().rstrip(';')[:8])


@pytest.mark.parametrize('program', [FLAT, MAIN])
def test_line_of_an_error_is_the_programs_own(program):
  statements = [s for s in ast.walk(ast.parse(program))
                if isinstance(s, ast.stmt) and s.lineno > 4]
  raised = 0
  for number in {s.lineno for s in statements}:
    lines = program.split('\n')
    line = lines[number - 1]
    blank = line[:len(line) - len(line.lstrip())]
    if line.strip() == 'else:':
      continue
    lines.insert(number - 1, f'{blank}1 / 0')
    broken = '\n'.join(lines)
    out = lib.strip_milestones(_run(lib.instrument(broken, NONCE)), NONCE)
    assert out == _run(broken)
    raised += out.endswith(f'line {number}\n')
  assert raised >= 10  # the others are never reached


@pytest.mark.parametrize('last, expected', [
    ('import csv', 0), ('rows =', 1), ('model = ', 2), ('model.fit(', 3),
    ('if True: p', 4), ('out = io', 5),
])
def test_a_failure_is_credited_with_what_came_before(last, expected):
  at = FLAT.index('\n' + last) + 1
  out = _run(lib.instrument(FLAT[:at] + '1 / 0\n' + FLAT[at:], NONCE))
  assert lib.milestones(out, NONCE) == expected


def test_only_prints_are_added_to_real_programs():
  modules = [csv, json, email.message, contextlib, textwrap, subprocess]
  changed = 0
  for module in modules:
    program = pathlib.Path(module.__file__).read_text(encoding='utf-8')
    source = lib.instrument(program, NONCE)
    assert _without_prints(source) == ast.dump(ast.parse(program))
    assert lib.strip_milestones(source, NONCE) == program
    changed += source != program
  assert changed == len(modules)


@pytest.mark.parametrize('program', [
    'import',
    'import a\x00',
    '',
    'x = 1\n',
    # It binds what the prints need.
    'import a\nprint = a.log\n',
    'import a\nfrom b import next\n',
    'import a\ndef iter(): pass\n',
    'import a\nfor globals in a: pass\n',
    'a' + '.b' * 20000 + '.fit()',
    # An integer that Python reads, and does not write in decimal.
    'import a\nx = 0x' + 'f' * 9000,
])
def test_programs_that_are_left_alone(program):
  assert lib.instrument(program, NONCE) == program


@pytest.mark.parametrize('program, expected', [
    ('import a\nimport b', [[], [0]]),
    ('import a; import b', [[0]]),
    ('import a;', [[0]]),
    ('if x: import a', [[0]]),
    ('try:\n  import a\nexcept E: pass', [[], [0], []]),
    ('from __future__ import annotations', [[]]),
    ('with open("a") as f:\n  x = f.read()', [[], [1]]),
    ('with open("a", "w") as f:\n  f.write(x)', [[], [5]]),
    ('open("a", mode="wb")', [[]]),
    ('m = Ridge().fit(x, y)', [[2, 3]]),
    ('p = cross_val_predict(m, x)', [[3, 4]]),
    ('m = xgb.XGBClassifier()', [[2]]),
    ('m = sm.OLS(y, x)', [[]]),
    ('f = lambda x: m.predict(x)', [[]]),
    ('def f(x):\n  return m.predict(x)\np = f(x)', [[], [], [4]]),
    ('for p in m.predict(x): print(p)\nq = 1', [[4], [4]]),
    ('m = Ridge(); m.fit(x)', [[2, 3]]),
    ('with open("a") as f:\n  x = 1\n  y = 2', [[], [1], []]),
    ('with open("a") as f:\n  def g():\n    x = 1\n  y = 2',
     [[], [], [], [1]]),
    ('def g(x):\n  return f(x)\ndef f(x):\n  return m.predict(x)\np = g(x)',
     [[], [], [], [], [4]]),
    ('while True:\n  break\n  m.fit(x)', [[], [], [3]]),
    ('@dec\nclass A:\n  m = Lasso()', [[], [], [2]]),
    ('match x:\n  case 1:\n    m.fit()', [[], [], [3]]),
    ('try:\n  a()\nfinally:\n  m.fit()', [[], [], [], [3]]),
    ('async def f():\n  async with g() as h:\n    m.fit()', [[], [], [3]]),
])
def test_where_the_prints_go(program, expected):
  """Milestones that are printed at each line."""
  source = lib.instrument(program, NONCE)
  assert lib.strip_milestones(source, NONCE) == program
  found = []
  for line in source.split('\n'):
    parts = line.split(f'[[{NONCE}:')[1:]
    found.append([int(part[0]) for part in parts])
  assert found == expected


@pytest.mark.parametrize('source', ['import b', 'import', 'import a; x = 1'])
def test_anything_but_a_print_is_refused(monkeypatch, source):
  monkeypatch.setattr(lib, '_append', lambda *_: source)
  assert lib.instrument('import a', NONCE) == 'import a'


def test_milestones_count_once_and_in_order():
  def count(*reached):
    return lib.milestones(
        ''.join(f'[[{NONCE}:{k}]]\n' for k in reached), NONCE
    )

  assert count() == 0
  assert count(0, 1, 2, 3, 4, 5) == 6
  assert count(0, 0, 0) == 1
  assert count(5, 4, 3, 2, 1, 0) == 1
  assert count(0, 3, 1, 2, 3, 4, 5) == 6  # a scaler fitted early
  assert count(1, 3, 4) == 3
  assert lib.milestones('[[ffff:0]]\n[[ffff:1]]\n', NONCE) == 0
  assert lib.milestones(f'[[{NONCE}:7]]\n', NONCE) == 0


def test_windows_line_ends():
  program = 'import a\r\nm = """x\r\ny""".fit()\r\n'
  source = lib.instrument(program, NONCE)
  assert lib.milestones(source.replace('\\n', '\n'), NONCE) == 2
  assert ast.dump(ast.parse(program)) == _without_prints(source)


def test_a_shown_source_line_is_the_programs_own():
  source = lib.instrument('import a\nm.fit(X, y)  # fit\n', NONCE)
  shown = f'  File "program.py", line 2\n    {source.splitlines()[1]}\n'
  assert lib.strip_milestones(shown, NONCE) == (
      '  File "program.py", line 2\n    m.fit(X, y)  # fit\n'
  )


@pytest.mark.parametrize('nonce', ['', "a'b", 'a b', 'é', 'a_b'])
def test_nonce_must_be_plain(nonce):
  with pytest.raises(ValueError, match='nonce'):
    lib.instrument('import a', nonce)
