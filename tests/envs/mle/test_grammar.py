"""The grammar: every program it draws runs, and is valid where it was drawn."""

import ast
import collections
import dataclasses
import io
import json
import re
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from ace_jax.envs import instrument, programs, prompts
from ace_jax.envs.mle import estimators, grammar
from ace_jax.types import Grade, Status

NONCE = '5eed'
DRAWS = 9  # programs of each task that run for real

# Runs [directory, source] pairs; prints [stdout, submission, error, CPU
# seconds] of each as JSON.
DRIVER = '''
import contextlib, io, json, os, sys, time, traceback, warnings
import numpy as np
warnings.simplefilter('ignore')
results = []
for directory, source in json.load(sys.stdin):
  os.chdir(directory)
  out, error, submission = io.StringIO(), '', None
  with contextlib.suppress(FileNotFoundError):
    os.remove('submission.csv')
  np.random.seed(0)
  start = time.process_time()
  try:
    with contextlib.redirect_stdout(out):
      exec(compile(source, 'program.py', 'exec'), {'__name__': '__main__'})
    with open('submission.csv') as f:
      submission = f.read()
  except Exception:
    error = traceback.format_exc()
  used = time.process_time() - start
  results.append([out.getvalue(), submission, error, used])
print(json.dumps(results))
'''


def _tables():
  """name → (table, target, fields), over all metrics and kinds of columns."""
  wine = datasets.load_wine(as_frame=True).frame
  diabetes = datasets.load_diabetes(as_frame=True).frame
  cancer = datasets.load_breast_cancer(as_frame=True).frame.iloc[:300, -12:]
  cancer = cancer.rename(columns=lambda c: c.replace(' ', '_'))
  mixed = wine.copy()
  mixed['ash'] = np.where(mixed['ash'] > 2.3, 'rich', 'poor')
  mixed.loc[::3, 'hue'] = np.nan
  mixed.loc[::5, 'ash'] = None
  named = wine.assign(target=np.array(['a', 'b', 'c'])[wine['target']])
  texts = [
      (line, int(i == 0))
      for i, load in enumerate((datasets.load_wine, datasets.load_diabetes))
      for line in re.split(r'(?<=[.,])\s+|\n', load().DESCR)
      if len(line.split()) > 4
  ]
  gaps = diabetes.copy()
  gaps.loc[::4, 'bmi'] = np.nan
  lower = {'lower_is_better': True}
  return {
      'accuracy': (named, 'target', {'metric': 'accuracy'}),
      'macro_f1': (mixed, 'target', {'metric': 'macro_f1'}),
      'kappa': (wine, 'target', {'metric': 'quadratic_kappa'}),
      'auc': (cancer, 'target', {'metric': 'auc', 'kind': 'binary'}),
      'log_loss': (cancer, 'target',
                   {'metric': 'log_loss', 'kind': 'binary', **lower}),
      'multi': (named, 'target', {'metric': 'multi_log_loss', **lower}),
      'rmse': (gaps, 'target',
               {'metric': 'rmse', 'kind': 'regression', **lower}),
      'mae': (mixed, 'alcohol',
              {'metric': 'mae', 'kind': 'regression', **lower}),
      'text': (pd.DataFrame(texts, columns=['text', 'wine']), 'wine',
               {'metric': 'accuracy', 'kind': 'binary'}),
  }


@pytest.fixture(scope='module')
def tasks(tmp_path_factory, write_task):
  root = tmp_path_factory.mktemp('tasks')
  made = {}
  for name, (table, target, fields) in _tables().items():
    table = table.sample(frac=1, random_state=0)
    made[name] = write_task(root / name, table, target, **fields)
  return made


@pytest.fixture(scope='module')
def preview(tasks):
  made = {name: prompts.preview(task) for name, task in tasks.items()}
  return made.__getitem__


def _draw(tasks, preview, num):
  for name, task in tasks.items():
    for i in range(num):
      rng = np.random.default_rng([3, i])
      yield task, grammar.sample_program(task, preview(name), rng)


@pytest.fixture(scope='module')
def runs(tasks, preview, tmp_path_factory):
  """(task, program, [result, result when instrumented]) of real runs."""
  drawn = list(_draw(tasks, preview, DRAWS))
  for task in tasks.values():
    (task.path / 'work').mkdir()
    (task.path / 'work' / 'data').symlink_to(task.public_dir)
  jobs = [
      [str(task.path / 'work'), source]
      for task, program in drawn
      for source in (program, instrument.instrument(program, NONCE))
  ]
  done = subprocess.run(
      [sys.executable, '-c', DRIVER], input=json.dumps(jobs),
      capture_output=True, text=True, check=True, timeout=300,
  )
  results = json.loads(done.stdout)
  return [
      (task, program, results[2 * i : 2 * i + 2])
      for i, (task, program) in enumerate(drawn)
  ]


def test_programs_are_valid_where_they_were_drawn(runs, preview):
  for task, program, ((_, submission, error, _), _) in runs:
    assert not error, f'{program}\n{error}'
    table = pd.read_csv(io.StringIO(submission))
    ids = pd.read_csv(task.public_dir / 'test.csv')['id']
    assert tuple(table.columns) == preview(task.name).submission_columns
    assert list(table['id']) == list(ids)
    values = table.drop(columns='id')
    if task.kind != 'regression' and len(values.columns) == 1:
      if task.metric in ('auc', 'log_loss'):
        assert values.min().min() >= 0 and values.max().max() <= 1
      else:
        assert set(map(str, values[task.target])) <= set(
            preview(task.name).classes
        )
    elif len(values.columns) > 1:
      np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-9)
    assert np.isfinite(values.select_dtypes('number').to_numpy()).all()


def test_milestones_change_nothing_else(runs):
  for _, program, (plain, instrumented) in runs:
    assert instrumented[1] == plain[1], program
    assert instrument.milestones(instrumented[0], NONCE) == 6, program
    assert instrument.strip_milestones(instrumented[0], NONCE) == plain[0]


def test_programs_take_seconds_at_most(runs):
  slowest = max(runs, key=lambda run: run[2][0][3])
  assert slowest[2][0][3] < 3.0, slowest[1]


def test_scores_of_a_task_differ(runs):
  """Something is left to learn: poor and good programs both occur."""
  answers = datasets.load_wine(as_frame=True).frame.sample(
      frac=1, random_state=0)['target'].reset_index(drop=True)
  scores = []
  for task, _, (plain, _) in runs:
    if task.name == 'accuracy':
      table = pd.read_csv(io.StringIO(plain[1])).set_index('id')['target']
      truth = answers[table.index].map(dict(enumerate('abc')))
      scores.append((table == truth).mean())
  assert max(scores) > 0.95 and max(scores) - min(scores) > 0.3


def test_only_prints_are_added_to_any_program(tasks, preview):
  for _, program in _draw(tasks, preview, 60):
    source = instrument.instrument(program, NONCE)
    tree = ast.parse(source)
    added = [s for s in tree.body if NONCE in ast.dump(s)]
    tree.body = [s for s in tree.body if s not in added]
    assert len(added) >= 5
    assert all(s.value.func.id == 'print' for s in added)
    assert ast.dump(tree) == ast.dump(ast.parse(program))
    assert source.count('\n') == program.count('\n')


def test_programs_are_short_and_in_one_style(tasks, preview):
  lengths = []
  for task, program in _draw(tasks, preview, 60):
    lines = program.splitlines()
    lengths.append(len(program))
    assert lines[0] == 'import pandas as pd'
    assert lines[-1] == "sub.to_csv('submission.csv')"
    assert len(lines) <= 13
    assert 'id' not in re.findall(r"train\[\[.*?\]\]", program)
    names = {n.id for n in ast.walk(ast.parse(program))
             if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assert names == {'train', 'test', 'X', 'Z', 'model', 'sub'}
    assert task.target in program
  assert np.mean(lengths) < 480 and max(lengths) < 650


def test_levels_and_families_all_occur(tasks, preview):
  task = tasks['accuracy']
  counts = collections.Counter()
  for i in range(900):
    program = grammar.sample_program(
        task, preview('accuracy'), np.random.default_rng([4, i])
    )
    model = program.split('model = ')[1].split('\n')[0]
    counts.update(re.findall(r'(\w+)\(', model))
  families = {
      family.name for level in estimators.CLASSIFIERS.values()
      for family in level
  }
  assert families <= set(counts)
  assert counts['ExtraTreesClassifier'] == pytest.approx(900 / 3 / 2, rel=0.3)
  assert counts['DecisionTreeClassifier'] == pytest.approx(
      2 * 900 / 3 / 3, rel=0.3
  )


def test_suggested_imports_are_those_that_are_drawn(tasks, preview):
  drawn = collections.defaultdict(set)
  for task, program in _draw(tasks, preview, 60):
    drawn[task.name] |= {
        line for line in program.split('\n') if line.startswith('from ')
    }
  for name, lines in drawn.items():
    suggested = estimators.imports(
        text=name == 'text', classes=len(preview(name).classes)
    )
    assert len(set(suggested)) == len(suggested)
    assert set(suggested) == lines


def test_demonstrations_differ(tasks, preview):
  trees = {
      programs.program_hash(program)
      for _, program in _draw({'auc': tasks['auc']}, preview, 200)
  }
  assert len(trees) > 150


def test_same_seed_same_program(tasks, preview):
  one, other = (list(_draw(tasks, preview, 3)) for _ in range(2))
  assert [p for _, p in one] == [p for _, p in other]


# --- Demonstrations --------------------------------------------------------


def _outcome(valid=True, status=Status.OK):
  execution = types.SimpleNamespace(status=status, error='it broke')
  return types.SimpleNamespace(execution=execution, grade=Grade(valid))


def _demonstrations(tasks, preview, run, *, num=40, seed=0):
  return grammar.demonstrations(tasks, preview, num=num, seed=seed, run=run)


def test_demonstrations_are_those_that_ran(tasks, preview):
  ran = []

  def run(items):
    ran.extend(items)
    return [_outcome('Neighbors' not in program) for _, _, program in items]

  demos = _demonstrations(tasks, preview, run)
  assert len(demos) == 40
  kept = [(task, p) for _, task, p in ran if 'Neighbors' not in p]
  assert [(d.task, d.program) for d in demos] == kept
  assert len(kept) < len(ran)
  assert len({key for key, _, _ in ran}) == len(ran)
  counts = collections.Counter(d.task for d in demos)
  assert set(counts) == set(tasks) and max(counts.values()) <= 7
  trees = {(d.task, programs.program_hash(d.program)) for d in demos}
  assert len(trees) == len(demos)
  for demo in demos:
    assert programs.extract(demo.text).strip() == demo.program


def test_demonstrations_depend_on_the_seed_alone(tasks, preview):
  def run(items):
    return [_outcome() for _ in items]

  one = _demonstrations(tasks, preview, run)
  assert one == _demonstrations(tasks, preview, run)
  assert one != _demonstrations(tasks, preview, run, seed=1)
  # More demonstrations begin with the same ones.
  assert _demonstrations(tasks, preview, run, num=60)[:40] == one


def test_no_demonstrations_of_held_out_tasks(tasks, preview):
  held_out = dataclasses.replace(tasks['auc'], split='held_out')
  with pytest.raises(ValueError, match='auc is held out'):
    _demonstrations({**tasks, 'auc': held_out}, preview, None)


def test_a_broken_machine_is_not_a_programs_fault(tasks, preview):
  def broken(items):
    return [_outcome(False, Status.INFRA_ERROR) for _ in items]

  with pytest.raises(RuntimeError, match='it broke'):
    _demonstrations(tasks, preview, broken)

  def failing(items):
    return [_outcome(False, Status.ERROR) for _ in items]

  with pytest.raises(RuntimeError, match='gave 0 valid programs'):
    _demonstrations(tasks, preview, failing)


def test_a_task_without_usable_features(tasks, preview):
  column = prompts.Column('name', 'category', 0.0, 5000)
  bare = dataclasses.replace(preview('auc'), columns=(column,))
  with pytest.raises(ValueError, match='too many categories'):
    grammar.sample_program(tasks['auc'], bare, np.random.default_rng(0))
