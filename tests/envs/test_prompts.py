"""Prompts: what a policy must know, in few tokens."""

import dataclasses
import re
import types

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from ace_jax.envs import programs, prompts
from ace_jax.types import Grade, Parent, Problem

LIMITS = types.SimpleNamespace(cpu_limit_s=10.0, memory_mb=1024)


@pytest.fixture(scope='module')
def wine(tmp_path_factory, write_task):
  data = datasets.load_wine(as_frame=True).frame.sample(frac=1, random_state=0)
  data = data.reset_index(drop=True)
  data.loc[::3, 'hue'] = np.nan
  data['ash'] = np.where(data['ash'] > 2.3, 'rich', 'poor')
  return write_task(tmp_path_factory.mktemp('tasks') / 'wine', data, 'target')


def _user(task, detail=prompts.LADDER[0], problem=None, **kwargs):
  chat = prompts.messages(
      problem or Problem(task.name), task, prompts.preview(task), LIMITS,
      detail=detail, **kwargs,
  )
  assert [m['role'] for m in chat] == ['system', 'user']
  return chat[1]['content']


def test_preview(wine):
  preview = prompts.preview(wine)
  columns = {c.name: c for c in preview.columns}
  assert len(columns) == 13 and 'id' not in columns
  assert columns['alcohol'].kind == 'number'
  assert columns['ash'] == prompts.Column('ash', 'category', 0.0, 2)
  assert columns['hue'].missing == pytest.approx(1 / 3, abs=0.01)
  assert preview.num_rows == 89
  assert preview.classes == ('0', '1', '2')
  assert preview.submission_columns == ('id', 'target')
  assert len(preview.rows) == 2 and len(preview.rows[0]) == 14
  assert preview.rows[0][list(columns).index('hue')] == ''


def test_preview_tells_text_from_categories(tmp_path, write_task):
  words = datasets.load_wine().DESCR.split()
  table = pd.DataFrame({
      'text': [' '.join(words[i : i + 9]) for i in range(40)],
      'word': words[:40],
      'length': [len(w) for w in words[:40]],
  })
  task = write_task(tmp_path / 'text', table, 'length', kind='regression')
  preview = prompts.preview(task)
  assert [c.kind for c in preview.columns] == ['text', 'category']
  assert preview.classes == ()
  assert 'Text columns: text.' in _user(task)
  assert max(len(v) for v in preview.rows[0]) <= 41


def test_a_draft_says_all_there_is_to_know(wine):
  text = _user(wine)
  for part in (
      'Target: target (0, 1, 2), 89 training rows.',
      'Wines from one region. Predict the grower.',
      'alcohol, malic_acid', 'String columns: ash.',
      'Missing values in hue.', 'data/train.csv', 'data/test.csv',
      'submission.csv with columns id,target', 'accuracy, higher is better',
      '10 s CPU', '1024 MB',
  ):
    assert part in text, part
  assert 'Title' not in text and 'train.csv: 90' not in text
  rows = [line for line in text.splitlines() if line.endswith(('0', '1', '2'))]
  assert len(rows) == 2


@pytest.mark.parametrize('metric, lower, kind, expected', [
    ('auc', False, 'binary', 'the probability of 1.\nMetric: AUC, higher'),
    ('log_loss', True, 'binary', 'the probability of 1.\nMetric: log loss, l'),
    ('multi_log_loss', True, 'multiclass', 'id,0,1: class probabilities.'),
    ('rmse', True, 'regression', 'id,target.\nMetric: RMSE, lower is better'),
    ('quadratic_kappa', False, 'multiclass', 'quadratic weighted kappa, high'),
])
def test_contract_of_a_metric(
    tmp_path, write_task, metric, lower, kind, expected
):
  table = datasets.load_breast_cancer(as_frame=True).frame[:90]
  task = write_task(
      tmp_path / metric, table, 'target', metric=metric, kind=kind,
      lower_is_better=lower,
  )
  assert expected in _user(task)


def test_suggested_imports_stay_when_details_go(wine):
  lines = ['from sklearn.svm import SVC', 'from sklearn.tree import ExtraTree']
  for detail in prompts.LADDER:
    text = _user(wine, detail, imports=lines)
    assert text.endswith('\n' + '\n'.join(lines))
    assert text.removesuffix('\n' + '\n'.join(lines)) == _user(wine, detail)


def test_numbered_columns_are_abbreviated():
  assert prompts.abbreviate([f'p{i}' for i in range(64)]) == ['p0…p63']
  assert prompts.abbreviate(['a', 'b0', 'b1', 'b2', 'c']) == [
      'a', 'b0', 'b1', 'b2', 'c']
  assert prompts.abbreviate(['b0', 'b1', 'b3', 'b4']) == [
      'b0', 'b1', 'b3', 'b4']
  assert prompts.abbreviate(['x', *map(str, range(1, 6)), '7']) == [
      'x', '1…5', '7']
  assert prompts.abbreviate([]) == []


def test_least_useful_parts_go_first(wine):
  texts = [_user(wine, detail) for detail in prompts.LADDER]
  sizes = [len(text) for text in texts]
  assert sizes == sorted(sizes, reverse=True)
  assert len(set(texts)) == len(texts)
  for text in texts:  # what no program can do without
    assert 'submission.csv with columns id,target' in text
    assert 'accuracy' in text and 'Target: target' in text
  no_rows = next(d for d in prompts.LADDER if not d.rows)
  assert 'Wines' in _user(wine, no_rows) and 'alcohol' in _user(wine, no_rows)
  assert 'Wines' not in texts[-1] and 'alcohol' not in texts[-1]


def test_fit_takes_the_most_that_fits(wine):
  preview = prompts.preview(wine)

  def count(chat):
    return len(' '.join(m['content'] for m in chat).split())

  def fit(budget):
    return prompts.fit(Problem(wine.name), wine, preview, LIMITS,
                       count_tokens=count, budget=budget)

  sizes = [
      count(prompts.messages(Problem(wine.name), wine, preview, LIMITS,
                             detail=detail))
      for detail in prompts.LADDER
  ]
  for size in sizes:
    assert count(fit(size)) == size
    assert count(fit(size + 1)) >= size
  assert count(fit(10_000)) == sizes[0]
  with pytest.raises(ValueError, match=f'takes {sizes[-1]} tokens'):
    fit(sizes[-1] - 1)


def test_a_preview_of_other_data_is_refused(wine):
  task = dataclasses.replace(wine, target='grower')
  with pytest.raises(ValueError, match="no column 'grower'"):
    prompts.preview(task)


# --- Improve and debug -------------------------------------------------------

PROGRAM = '''import pandas as pd
from sklearn.svm import SVC

train = pd.read_csv('data/train.csv')
text = """A fence in a line, ``` like this, and

an empty line."""
model = SVC(C=3).fit(train[['alcohol']], train['target'])
print('valid accuracy', 0.75)
'''
PRINTED = '\n'.join([
    'reading', *(f'epoch {i} train loss {1 / (i + 1):.3f}' for i in range(9)),
    'valid accuracy 0.75', *(f'wrote part {i}' for i in 'abcdefghij'),
])
STDERR = '''Traceback (most recent call last):
  File "program.py", line 12, in <module>
    main()
  File "program.py", line 8, in main
    model = SVC(C=3).fit(train[['alcohol']], train['target'])
ValueError: Input X contains NaN.
SVC does not accept missing values encoded as NaN natively. For supervised
learning, you might want to consider HistGradientBoostingClassifier.
'''
VALID = Grade(True, 0.75, human_rank=0.62)
FAILED = Grade(False, error='the program ended as error')
REFUSED = Grade(False, error='columns are id,y, expected id,target')


def _problem(kind, grade=VALID, *, program=PROGRAM, stderr=''):
  parent = Parent('1/2/3', '0/0/0', 1, program, PRINTED, stderr, 5, grade)
  return Problem('wine', kind, parent)


IMPROVE = _problem('improve')
DEBUG = _problem('debug', FAILED, stderr=STDERR)
REFUSAL = _problem('debug', REFUSED)
KINDS = [Problem('wine'), IMPROVE, DEBUG, REFUSAL]


def _count(chat):
  """Words, numbers and marks, each four characters at most: as a BPE does."""
  return sum(
      8 + len(re.findall(r'[^\W\d_]{1,4}|\d|[^\w\s]|_|\n+| {2,}', m['content']))
      for m in chat
  )


def test_improve_tells_of_the_parent(wine):
  text = _user(wine, problem=IMPROVE)
  assert '0.75, better than 62% of the leaderboard, 5 of 6 steps' in text
  shown = text.split('It printed:\n')[1].splitlines()
  # Scores first, the last of them, in the order in which they were printed.
  assert shown == [
      *(f'epoch {i} train loss {1 / (i + 1):.3f}' for i in range(2, 9)),
      'valid accuracy 0.75',
  ]
  silent = dataclasses.replace(IMPROVE.parent, stdout='', milestones=0)
  text = _user(wine, problem=Problem('wine', 'improve', silent))
  assert 'printed' not in text and 'steps' not in text


def test_debug_tells_what_went_wrong(wine):
  text = _user(wine, problem=DEBUG)
  assert text.endswith(f'It failed, 5 of 6 steps done:\n{STDERR.strip()}')
  assert 'printed' not in text and '62%' not in text
  text = _user(wine, problem=REFUSAL)
  assert text.endswith(
      'It ran, but its submission is not valid:\n'
      'columns are id,y, expected id,target')


@pytest.mark.parametrize('problem', KINDS, ids=lambda p: p.key)
def test_every_budget_is_kept_and_no_program_is_cut(wine, problem):
  preview = prompts.preview(wine)
  args = problem, wine, preview, LIMITS

  def fits(budget):
    return prompts.fits(*args, count_tokens=_count, budget=budget)

  sizes = [
      _count(prompts.messages(*args, detail=d)) for d in prompts.ladder(problem)
  ]
  assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) > 4
  for budget in range(sizes[-1] - 30, sizes[0] + 30, 7):
    assert fits(budget) == (budget >= sizes[-1])
    if not fits(budget):
      with pytest.raises(ValueError, match=f'the limit is {budget}'):
        prompts.fit(*args, count_tokens=_count, budget=budget)
      continue
    chat = prompts.fit(*args, count_tokens=_count, budget=budget)
    size, text = _count(chat), chat[1]['content']
    # The most that fits, and always what cannot be done without.
    assert size == max(s for s in sizes if s <= budget)
    assert 'submission.csv with columns id,target' in text
    if problem.parent:
      assert programs.extract(text) == PROGRAM
      assert programs.parse(programs.extract(text)) is not None
    if problem is IMPROVE:
      assert 'better than 62%' in text
    if problem is DEBUG:
      for part in ('line 8, in main', "model = SVC(C=3).fit(train[['alcohol']]",
                   'ValueError: Input X contains NaN.'):
        assert part in text
    if problem is REFUSAL:
      assert REFUSED.error in text


def test_the_task_goes_before_what_the_parent_printed(wine):
  rungs = [_user(wine, d, IMPROVE) for d in prompts.ladder(IMPROVE)]
  bare = next(i for i, text in enumerate(rungs) if 'alcohol, ' not in text)
  assert all('epoch 2' in text for text in rungs[: bare + 1])
  assert rungs[-1].count('epoch') == 0 and 'printed' not in rungs[-1]
  rungs = [_user(wine, d, DEBUG) for d in prompts.ladder(DEBUG)]
  assert 'natively' in rungs[5] and 'natively' not in rungs[-1]


@pytest.mark.parametrize('kind', ['improve', 'debug'])
@pytest.mark.parametrize('rows', ['report', 'all', 'reward', 'select'])
def test_no_prompt_knows_the_report_rows(wine, kind, rows):
  problem = _problem(kind, dataclasses.replace(VALID, rows=rows))
  if rows in ('reward', 'select'):
    _user(wine, problem=problem)
  else:
    with pytest.raises(ValueError, match=f"{rows!r} rows is for a table"):
      _user(wine, problem=problem)


def test_what_is_no_problem(wine):
  with pytest.raises(ValueError, match='no program'):
    _user(wine, problem=Problem('wine', 'improve'))
  with pytest.raises(ValueError, match='unknown kind'):
    _user(wine, problem=_problem('audit'))
