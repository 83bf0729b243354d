"""Pairs to improve and to debug, and the mistakes that break a program."""

import dataclasses
import json
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest

from ace_jax.envs import prompts
from ace_jax.envs.mle import grammar, mistakes, revisions
from ace_jax.types import Execution, Grade, Status

# Runs the programs of a JSON list; prints [error's last line, submission].
DRIVER = '''
import contextlib, json, os, sys, traceback, warnings
warnings.simplefilter('ignore')
results = []
for source in json.load(sys.stdin):
  error, submission = '', None
  with contextlib.suppress(FileNotFoundError):
    os.remove('submission.csv')
  try:
    exec(compile(source, 'program.py', 'exec'), {'__name__': '__main__'})
  except BaseException:
    error = traceback.format_exc().strip().splitlines()[-1]
  with contextlib.suppress(FileNotFoundError):
    submission = open('submission.csv').read()
  results.append([error, submission])
print(json.dumps(results))
'''


@pytest.fixture(scope='module')
def task(tmp_path_factory, write_task):
  """Strings and gaps, so that every mistake has its place."""
  rng = np.random.default_rng(0)
  table = pd.DataFrame(rng.normal(size=(80, 2)), columns=['a', 'b'])
  table['c'] = rng.choice(['red', 'blue'], 80)
  # A column of codes that the two parts do not share.
  table['d'] = [f'v{i % 17}' for i in range(80)]
  table.loc[::3, 'a'] = np.nan
  table['kind'] = np.where(table['b'] > 0, 'up', 'down')
  path = tmp_path_factory.mktemp('tasks') / 'mixed'
  return write_task(path, table, 'kind', metric='accuracy')


@pytest.fixture(scope='module')
def preview(task):
  return prompts.preview(task)


def _program(task, preview, seed=0):
  return grammar.sample_program(task, preview, np.random.default_rng(seed))


@pytest.fixture(scope='module')
def broken(task, preview, tmp_path_factory):
  """name → [(program, error, submission)] of real runs."""
  drawn = [
      (name, mistake(_program(task, preview, seed), task,
                     np.random.default_rng(seed)))
      for name, mistake in mistakes.MISTAKES.items() for seed in range(4)
  ]
  drawn = [(name, program) for name, program in drawn if program]
  work = tmp_path_factory.mktemp('work')
  (work / 'data').symlink_to(task.public_dir)
  done = subprocess.run(
      [sys.executable, '-c', DRIVER], cwd=work, capture_output=True, text=True,
      input=json.dumps([p for _, p in drawn]), check=True, timeout=120,
  )
  out = {}
  for (name, program), result in zip(
      drawn, json.loads(done.stdout.splitlines()[-1]), strict=True
  ):
    out.setdefault(name, []).append((program, *result))
  return out


EXPECTED = {
    'wrong_target': 'KeyError', 'wrong_id': 'KeyError',
    'no_dummies': 'ValueError', 'wrong_class': 'ImportError',
    'wrong_module': 'Error', 'no_import': 'NameError',
    'undefined_name': 'NameError', 'wrong_argument': 'TypeError',
    'syntax_slip': 'SyntaxError',
}


@pytest.mark.parametrize('name', EXPECTED)
def test_a_mistake_has_its_error(broken, name):
  assert broken[name]
  for program, error, _ in broken[name]:
    assert EXPECTED[name] in error.split(':')[0], f'{error}\n{program}'


def test_mistakes_of_the_submission(broken):
  for _, error, submission in broken['no_id']:
    first = (submission or '').split('\n')[0].split(',')
    assert error or 'id' not in first
  assert all(e or s is None for _, e, s in broken['wrong_file'])


def test_one_mistake_at_most(task, preview):
  kinds = set()
  for seed in range(60):
    program = _program(task, preview, seed)
    made = mistakes.make(program, task, np.random.default_rng(seed))
    assert made != program
    old, new = set(program.split('\n')), set(made.split('\n'))
    assert len(new - old) <= 2
    kinds |= {
        name for name, mistake in mistakes.MISTAKES.items()
        if mistake(program, task, np.random.default_rng(seed)) not in
        (None, program)
    }
  assert kinds == set(mistakes.MISTAKES)


# --- Pairs -----------------------------------------------------------------


def _outcome(grade, status=Status.OK, stderr=''):
  run = Execution(status, 1.0, 1.0, 1.0, 0, 'out', stderr,
                  {'submission.csv': b'x'} if grade.valid else {}, 'local',
                  'L1', error='it broke')
  return types.SimpleNamespace(execution=run, grade=grade, milestones=3)


def _rank(program):
  return len(program) % 7 / 7


def _run(items):
  """Programs of the grammar are valid; others fail with an error."""
  out = []
  for key, _, program in items:
    if '/debug/' in key and key.endswith('/0'):
      failed = Grade(False, error='bad')
      out.append(_outcome(failed, Status.ERROR, 'OopsError: no'))
    else:
      rank = _rank(program)
      out.append(_outcome(Grade(True, score=rank, human_rank=rank)))
  return out


def _demos(kind, task, preview, *, num=12, run=_run, fits=lambda _: True, **kw):
  return revisions.demonstrations(
      kind, {'mixed': task}, lambda _: preview, num=num, seed=0, run=run,
      fits=fits, **kw,
  )


def test_an_answer_is_really_better(task, preview):
  demos = _demos('improve', task, preview)
  assert len(demos) == 12
  for demo in demos:
    assert demo.kind == demo.problem.kind == 'improve'
    assert _rank(demo.program) > demo.parent.quality
    assert demo.parent.quality == _rank(demo.parent.program)
    assert demo.parent.signature and demo.parent.milestones == 3


def test_a_pair_differs_in_its_estimator_alone(task, preview):
  for demo in _demos('improve', task, preview):
    old, new = (
        [line for line in program.split('\n')
         if not line.startswith(('from ', 'model = '))]
        for program in (demo.parent.program, demo.program)
    )
    assert old == new


def test_a_broken_program_is_answered_by_the_valid_one(task, preview):
  demos = _demos('debug', task, preview)
  for demo in demos:
    assert demo.kind == 'debug' and not demo.parent.grade.valid
    assert demo.parent.stderr == 'OopsError: no'
    assert demo.parent.program != demo.program
  assert len({demo.problem.key for demo in demos}) == 12


def test_useless_pairs_are_dropped(task, preview):
  def equal(items):
    return [_outcome(Grade(True, score=1.0, human_rank=0.5)) for _ in items]

  def silent(items):
    return [
        _outcome(Grade(False), Status.ERROR) if key.endswith('/0')
        else _outcome(Grade(True)) for key, _, _ in items
    ]

  with pytest.raises(RuntimeError, match='gave 0 demonstrations of improve'):
    _demos('improve', task, preview, run=equal)
  for useless in (equal, silent):
    with pytest.raises(RuntimeError, match='gave 0 demonstrations of debug'):
      _demos('debug', task, preview, run=useless)
  with pytest.raises(RuntimeError, match='max_prompt_tokens'):
    _demos('debug', task, preview, fits=lambda _: False)


def test_the_same_draws_every_time(task, preview):
  for kind in ('improve', 'debug'):
    one = _demos(kind, task, preview)
    assert one == _demos(kind, task, preview)
    assert _demos(kind, task, preview, num=20)[:12] == one
    assert _demos(kind, task, preview, num=0) == []


def test_held_out_tasks_are_refused(task, preview):
  held_out = dataclasses.replace(task, split='held_out')
  with pytest.raises(ValueError, match='held out'):
    _demos('improve', held_out, preview)


def test_lines_hold_the_parent(task, preview):
  demos = _demos('improve', task, preview) + _demos('debug', task, preview)
  demos.append(grammar.Demo('mixed', 'print()'))
  assert [revisions.from_json(revisions.to_json(d)) for d in demos] == demos


def test_every_stretch_has_the_kinds_in_proportion():
  parts = [[grammar.Demo(name, str(i)) for i in range(n)]
           for name, n in (('a', 60), ('b', 25), ('c', 15))]
  mixed = revisions.interleave(*parts)
  first = [demo.task for demo in mixed[:20]]
  assert [first.count(name) for name in 'abc'] == [12, 5, 3]
  assert revisions.interleave(parts[0], [], []) == parts[0]
