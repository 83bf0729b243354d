"""The command line: list, grade, add, and one clear line for bad input."""

import csv
import json
import pathlib
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn import dummy, linear_model

from ace_jax.envs.mle import (
  __main__,
  add,
  catalog,
  duplicates,
  grading,
  ladder,
  leaderboard,
  solutions,
  tasks,
)


def run(capsys, *argv) -> tuple[int, str, str]:
  code = __main__.main([str(a) for a in argv])
  out = capsys.readouterr()
  return code, out.out, out.err


def refused(capsys, *argv) -> str:
  code, out, err = run(capsys, *argv)
  assert code == 2 and out == ''
  assert err.startswith('error: ') and err.count('\n') == 1
  return err[len('error: '):-1]


def test_list_as_json(capsys, tmp_path):
  code, out, _ = run(capsys, 'list', '--json', '--root', tmp_path)
  rows = json.loads(out)
  assert code == 0
  assert [r['name'] for r in rows] == [s.name for s in catalog.TASKS]
  for row in rows:
    assert set(row) == {'name', 'split', 'metric', 'lower_is_better',
                        'leaderboard_rows'}
    assert row['split'] in ('train', 'held_out')
    assert row['leaderboard_rows'] >= 30


def test_list_for_people(capsys, tmp_path):
  _, out, _ = run(capsys, 'list', '--root', tmp_path)
  assert len(out.splitlines()) == len(catalog.TASKS) + 1
  assert all(len(line) <= 80 for line in out.splitlines())


def test_the_documentation_is_of_these_tasks(capsys, mle_root):
  code, out, _ = run(capsys, 'list', '--markdown', '--root', mle_root)
  page = pathlib.Path(__file__).parents[3] / 'docs' / 'tasks.md'
  assert code == 0
  assert page.read_text(encoding='utf-8') == out


def test_check_fails_where_a_table_is_on_both_sides(capsys, monkeypatch):
  monkeypatch.setattr(duplicates, 'check', lambda: [])
  assert run(capsys, 'check')[0] == 0
  monkeypatch.setattr(duplicates, 'check', lambda: [('a', 'b', 'runs')])
  assert 'both sides' in refused(capsys, 'check')


def test_grade_prints_one_object_from_a_process_of_its_own(mle_root):
  path = mle_root / 'quakes'
  sample = path / 'prepared/public/sample_submission.csv'
  done = subprocess.run(
      [sys.executable, '-m', 'ace_jax.envs.mle', 'grade', path, sample],
      capture_output=True, text=True, check=True)
  got = json.loads(done.stdout)
  assert set(got) >= {'valid', 'score', 'medal', 'above_median', 'human_rank',
                      'error'}
  grade = grading.grade(tasks.load_task(path), sample.read_bytes(), 'all')
  assert got == vars(grade)


def test_grade_of_one_part(capsys, mle_root):
  path = mle_root / 'quakes'
  sample = path / 'prepared/public/sample_submission.csv'
  scores = {rows: json.loads(run(
      capsys, 'grade', path, sample, f'--rows={rows}')[1])['score']
      for rows in leaderboard.ROWS}
  assert len(set(scores.values())) == 4


def test_an_invalid_submission_is_an_answer_not_a_failure(
    capsys, mle_root, tmp_path):
  (tmp_path / 's.csv').write_text('id\n1\n')
  code, out, _ = run(capsys, 'grade', mle_root / 'quakes', tmp_path / 's.csv')
  assert code == 0
  assert json.loads(out)['valid'] is False


def test_grade_refuses_in_one_line(capsys, mle_root, own_task, tmp_path):
  path = own_task('quakes')
  assert 'cannot read' in refused(capsys, 'grade', path, tmp_path / 'no.csv')
  (path / 'prepared/private/test.csv').unlink()
  sample = path / 'prepared/public/sample_submission.csv'
  assert 'no answers' in refused(capsys, 'grade', path, sample)
  assert 'did you mean' in refused(
      capsys, 'grade', 'quake', sample, '--root', mle_root)


# --- add --------------------------------------------------------------------


@pytest.fixture
def few_solutions(monkeypatch):
  """A ladder of two rungs: what is tested here is not how long it is."""
  monkeypatch.setattr(ladder, 'MIN_SOLUTIONS', 2)
  monkeypatch.setattr(solutions, '_classification', lambda raw, calibrate: {
      'dummy': lambda: raw(dummy.DummyClassifier()),
      'linear': lambda: raw(linear_model.LogisticRegression())})
  monkeypatch.setattr(solutions, '_regression', lambda raw: {
      'dummy': lambda: raw(dummy.DummyRegressor()),
      'linear': lambda: raw(linear_model.LinearRegression())})


@pytest.fixture
def table(tmp_path):
  """A csv: number, gap (missing values), colour (text), and three targets."""
  rng = random.Random(0)
  path = tmp_path / 'mine.csv'
  with open(path, 'w', newline='') as f:
    out = csv.writer(f)
    out.writerow(['size', 'gap', 'colour', 'price', 'kind', 'sold'])
    for _ in range(200):
      size, colour = rng.random(), rng.choice(['red', 'blue'])
      gap = '' if rng.random() < 0.2 else round(rng.random(), 3)
      kind = 'big' if size + rng.gauss(0, 0.2) > 0.5 else 'small'
      out.writerow([round(size, 4), gap, colour,
                    round(3 * size + rng.gauss(0, 0.1), 3), kind,
                    int(kind == 'big')])
  return path


@pytest.mark.parametrize('target, metric, kind', [
    ('price', 'rmse', 'regression'), ('kind', 'macro_f1', 'binary'),
    ('sold', 'auc', 'binary'), ('sold', 'log_loss', 'binary'),
    ('colour', 'quadratic_kappa', 'binary')])
def test_add_makes_a_task_like_the_others(
    capsys, table, tmp_path, few_solutions, monkeypatch, target, metric, kind):
  if metric == 'quadratic_kappa':  # its menu takes rungs we do not have here
    monkeypatch.setattr(solutions, 'ordinal', lambda frame: solutions.tabular(
        kind='binary', needs='label', frame=frame))
  root = tmp_path / 'root'
  code, _, _ = run(
      capsys, 'add', table, '--name', 'mine', '--target', target, '--metric',
      metric, '--root', root)
  assert code == 0
  task = tasks.load_task('mine', root)
  assert (task.kind, task.metric, task.split) == (kind, metric, 'train')
  assert [p.name for p in root.iterdir()] == ['mine']
  sample = (task.public_dir / 'sample_submission.csv').read_bytes()
  grade = grading.grade(task, sample, 'all')
  assert grade.valid and grade.human_rank <= 0.5
  assert 'Missing values in: gap.' in task.description
  listed = json.loads(run(capsys, 'list', '--json', '--root', root)[1])[-1]
  assert listed == {
      'name': 'mine', 'split': 'train', 'metric': metric,
      'lower_is_better': task.lower_is_better, 'leaderboard_rows': 2}


def test_add_twice_is_refused(capsys, table, tmp_path, few_solutions):
  argv = ('add', table, '--name', 'mine', '--target', 'price', '--metric',
          'mae', '--root', tmp_path / 'root')
  assert run(capsys, *argv)[0] == 0
  assert refused(capsys, *argv) == "there is a task 'mine' already"


def spoil(path, change) -> None:
  with open(path, newline='') as f:
    rows = change(list(csv.reader(f)))
  with open(path, 'w', newline='') as f:
    csv.writer(f).writerows(rows)


@pytest.mark.parametrize('change, words', [
    ({'target': 'prize'}, "no column 'prize' in .*did you mean 'price'"),
    ({'metric': 'accurate'}, "unknown metric 'accurate', the metrics are: acc"),
    ({'target': 'colour', 'metric': 'rmse'}, "rmse needs numbers, column 'col"),
    ({'target': 'kind', 'metric': 'auc'}, 'auc needs a target of 0 and 1'),
    ({'target': 'price', 'metric': 'accuracy'}, "'price' has .* classes"),
    ({'target': 'price', 'metric': 'auc'}, "'price' has .* classes"),
    ({'name': 'quakes'}, "there is a task 'quakes' already"),
    ({'name': '../x'}, 'letters, digits, _ and - only'),
    ({'file': 'nothing.csv'}, 'cannot read .*No such file'),
])
def test_add_refuses_what_does_not_fit(
    capsys, table, tmp_path, change, words):
  given = {'file': table, 'name': 'mine', 'target': 'price', 'metric': 'mae'}
  given |= change
  root = tmp_path / 'root'
  message = refused(
      capsys, 'add', given['file'], '--name', given['name'], '--target',
      given['target'], '--metric', given['metric'], '--root', root)
  assert re.search(words, message), message
  assert not root.exists()


@pytest.mark.parametrize('change, target, words', [
    (lambda rows: rows[:50], 'price', '49 different rows'),
    (lambda rows: rows[:1] + rows[1:20] * 20, 'price', '19 different rows'),
    (lambda rows: rows[:9] + [rows[9][:3]] + rows[10:], 'price',
     'row 10 has 3 cells, the header 6'),
    (lambda rows: [['a', 'a', *rows[0][2:]]] + rows[1:], 'price',
     "two columns 'a'"),
    (lambda rows: [r[:1] for r in rows], 'size', '1 column'),
    (lambda rows: rows[:0], 'price', 'is empty'),
    (lambda rows: rows[:1] + [[*r[:4], 'rare' if i < 5 else r[4], r[5]]
                              for i, r in enumerate(rows[1:])],
     'kind', "class 'rare' is too rare"),
])
def test_add_refuses_bad_tables_and_leaves_nothing(
    capsys, table, tmp_path, change, target, words):
  spoil(table, change)
  root = tmp_path / 'root'
  metric = 'accuracy' if target == 'kind' else 'mae'
  message = refused(
      capsys, 'add', table, '--name', 'mine', '--target', target, '--metric',
      metric, '--root', root)
  assert words in message
  assert not root.exists() or list(root.iterdir()) == []


def test_an_unwritable_root_is_refused(capsys, table, tmp_path):
  (tmp_path / 'file').write_text('')
  assert 'cannot create' in refused(
      capsys, 'add', table, '--name', 'mine', '--target', 'price', '--metric',
      'mae', '--root', tmp_path / 'file' / 'root')


# --- ladder -----------------------------------------------------------------


def test_a_ladder_is_scored_as_the_grader_scores(mle_root, few_solutions):
  task = tasks.read_task(mle_root / 'quakes')
  scores = ladder.compute(task, say=lambda line: None)
  answers = grading.load_answers(task)
  with open(task.public_dir / 'train.csv', newline='') as f:
    mean = np.mean([float(r['depth']) for r in csv.DictReader(f)])
  for rows in leaderboard.ROWS:
    part = (answers.rows == rows) | (rows == 'all')
    by_hand = np.mean(np.abs(answers.target[part] - mean))
    assert scores['dummy'][rows] == pytest.approx(by_hand, abs=1e-5)


def test_shipped_leaderboards_come_from_the_ladder(mle_root, few_solutions):
  """The two cheap rungs, computed here, are in what ships."""
  for name in ('quakes', 'ozone', 'conflict', 'weather'):
    task = tasks.read_task(mle_root / name)
    got = ladder.compute(task, say=lambda line: None)
    with open(leaderboard.SHIPPED / f'{name}.csv', newline='') as f:
      rows = {r['solution']: r for r in csv.DictReader(f)}
    for rung in ('dummy', 'linear'):
      assert got[rung]['all'] == pytest.approx(
          float(rows[rung]['all']), rel=2e-3), (name, rung)


def test_too_short_a_ladder_is_refused(
    capsys, table, tmp_path, few_solutions, monkeypatch):
  monkeypatch.setattr(ladder, 'MIN_SOLUTIONS', 3)
  code, _, err = run(
      capsys, 'add', table, '--name', 'mine', '--target', 'price', '--metric',
      'mae', '--root', tmp_path / 'root')
  assert code == 2 and 'only 2 of 2 reference solutions' in err
  assert list((tmp_path / 'root').iterdir()) == []


def test_ladder_of_an_added_task_is_written_beside_it(
    capsys, table, tmp_path, few_solutions):
  root = tmp_path / 'root'
  assert run(capsys, 'add', table, '--name', 'mine', '--target', 'price',
             '--metric', 'mae', '--root', root)[0] == 0
  board = root / 'mine' / 'leaderboard.csv'
  before = board.read_text()
  board.unlink()
  assert run(capsys, 'ladder', 'mine', '--root', root)[0] == 0
  assert board.read_text() == before


@pytest.mark.parametrize('metric, target', [
    ('quadratic_kappa', 'grade'), ('log_loss', 'grade'), ('log_loss', 'text')])
def test_nearly_every_rung_works(tmp_path, metric, target, capsys):
  """The solutions of each menu fit, on a table small enough to be hard."""
  rng = random.Random(1)
  words = 'a fine good bad poor film with plot and cast of old new'.split()
  path = tmp_path / 'mine.csv'
  with open(path, 'w', newline='') as f:
    out = csv.writer(f)
    out.writerow(['said', 'label'] if target == 'text'
                 else ['a', 'b', 'c', target])
    for _ in range(100):
      a, b = rng.random(), rng.random()
      said = ' '.join(rng.choices(words, k=9))
      y = a + b * b + rng.gauss(0, 0.1)
      out.writerow(
          [said, int('good' in said)] if target == 'text' else
          [round(a, 3), round(b, 3), rng.choice('xyz'),
           int(y > 0.8) if metric == 'log_loss' else min(3, int(2 * y) + 1)])
  add.add(path, name='mine', target='label' if target == 'text' else target,
          metric=metric, root=tmp_path / 'root')
  board = tasks.load_task('mine', tmp_path / 'root').leaderboard
  assert len(board['all']) >= 30
  assert capsys.readouterr().out.count('left out') <= 2
