"""Programs: found in completions, and told apart by their syntax trees."""

import sys

import pytest

from ace_jax.envs import programs

PROGRAM = 'import pandas as pd\nprint(pd)\n'


@pytest.mark.parametrize('text, expected', [
    (f'```python\n{PROGRAM}```', PROGRAM),
    (f'Sure!\n```py\n{PROGRAM}```\nIt prints.', PROGRAM),
    (f'```\n{PROGRAM}```', PROGRAM),
    (f'```Python \n{PROGRAM}\n  ```', PROGRAM + '\n'),
    (f'```python\r\n{PROGRAM}```', PROGRAM),
    # Never closed: what is there parses.
    (f'```python\n{PROGRAM}', PROGRAM),
    (f'```python\n{PROGRAM}df = pd.read_csv(', None),
    # Closed, but wrong: worth an execution and its message.
    ('```python\nimport pandas as\n```', 'import pandas as\n'),
    # Several blocks: the longest that parses, never another language.
    (f'```python\nx = 1\n```\nthen\n```python\n{PROGRAM}```', PROGRAM),
    (f'```python\n{PROGRAM}```\n```python\n{"bad (" * 40}\n```', PROGRAM),
    (f'```bash\npip = {"1" * 99}\n```\n```python\n{PROGRAM}```', PROGRAM),
    ('```bash\nls\n```', None),
    # Bare code, if it is code.
    (PROGRAM, PROGRAM),
    ('Hello', None),
    ('I would use a random forest.', None),
    ('x = 1', None),
    ('```python\n\n```', None),
    ('```', None),
    ('', None),
    ('import a\x00', None),
])
def test_extract(text, expected):
  assert programs.extract(text) == expected


def test_backticks_inside_a_line_do_not_close_a_block():
  program = "import re\nre.sub('```', '', 'x```y')\n"
  assert programs.extract(f'```python\n{program}```') == program


SAME = [
    ('import pandas as pd\nx = pd.f(1)', 'import pandas as p\ny=p.f( 1 ) # c'),
    ('import numpy\nnumpy.ones(3)', 'import numpy as np\nnp.ones(3)'),
    ('from a import b\nb()', 'from a import b as c\nc()'),
    ("'doc'\nx = 1", 'x = 1'),
    ('def f(a, b):\n  "doc"\n  return a - b\nf(a=1, b=2)',
     'def g(x, y):\n  return x - y\ng(x=1, y=2)'),
    ('for i in [1]:\n  z = f"{i}"', 'for k in [1]: w = f"{k}"'),
    ('try:\n  x = 1\nexcept E as e:\n  print(e)',
     'try: y = 1\nexcept E as err: print(err)'),
    ('class A:\n  "doc"\n', 'class B: pass'),
    ('def f():\n  global n\n  n = 1', 'def h():\n  global m\n  m = 1'),
    ('with f() as a: a.b', 'with f() as x: x.b'),
    ('[i for i in y]', '[j for j in y]'),
    ('match x:\n  case [a, *b]: print(a, b)',
     'match x:\n  case [c, *d]: print(c, d)'),
]
DIFFERENT = [
    ('x = 1', 'x = 2'),
    ('model.fit(a)', 'model.predict(a)'),
    ('a = 1; b = 2; f(a, b)', 'a = 1; b = 2; f(b, a)'),
    ('f(a=1)', 'f(b=1)'),  # keywords of a library
    ('def f(a, b): return a - b\nf(a=1, b=2)',
     'def f(b, a): return b - a\nf(a=1, b=2)'),
    ('from a import b', 'from a import c'),
    ('import a.b', 'import a.c'),
    ('x = y', 'y = x'),
    ('x.a', 'x.b'),
]


@pytest.mark.parametrize('one, other', SAME)
def test_form_does_not_make_another_program(one, other):
  assert programs.normalise(one) == programs.normalise(other)
  assert programs.program_hash(one) == programs.program_hash(other)


@pytest.mark.parametrize('one, other', DIFFERENT)
def test_content_makes_another_program(one, other):
  assert programs.normalise(one) != programs.normalise(other)
  assert programs.program_hash(one) != programs.program_hash(other)


def test_normal_form_is_a_fixed_point():
  for text in [p for pair in SAME + DIFFERENT for p in pair]:
    once = programs.normalise(text)
    assert programs.normalise(once) == once


@pytest.mark.parametrize('text', [
    '\u3000', '\u00a0', '\u200b', '\f', '\ufeff', '\U0001f469\u200d\U0001f680',
])
def test_what_cannot_be_written_into_an_f_string(text):
  """Before 3.12 the tree of such a program has no source."""
  program = f"print(f'{{len(\"{text}\")}}')\n"
  assert len(programs.program_hash(program)) == 16
  assert programs.program_hash(program) != programs.program_hash('print(1)\n')


def test_what_does_not_parse():
  assert programs.normalise('import') is None
  assert programs.normalise('a' + '.b' * (10 * sys.getrecursionlimit())) is None
  assert len(programs.program_hash('import')) == 16
  assert programs.program_hash('import ') == programs.program_hash('import\n')
  assert programs.program_hash('import') != programs.program_hash('from')
