"""A competition's own grade.py, beside the task or in the package."""

import importlib.util
import pathlib
import subprocess
import sys

import pandas as pd
import pytest
from bench_data import to_bytes

from ace_jax.envs.mle import grader, grading, tasks
from ace_jax.envs.mle.bench import definition
from ace_jax.envs.mle.bench import grading as bench_grading

MAY = 'tabular-playground-series-may-2022'
SPOOKY = 'spooky-author-identification'

# As the ones of MLE-bench are written: frames in, a float out.
GRADE = '''
import pandas as pd
from mlebench.grade_helpers import InvalidSubmissionError

from .classes import SHIFT

print('a grader may print')


def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
  if "target" not in submission.columns:
    raise InvalidSubmissionError("Submission must have\\na target")
  assert len(submission) == len(answers), f"secret {answers.target.tolist()}"
  merged = answers.merge(submission, on="id", suffixes=("", "_guess"))
  error = (merged["target"] - merged["target_guess"]).abs().mean()
  return SHIFT + error
'''
CONFIG = '''
id: {name}
name: A Competition
competition_type: simple
description: mlebench/competitions/{name}/description.md
dataset:
  answers: {name}/prepared/private/{answers}
  sample_submission: {name}/prepared/public/sample_submission.csv
grader:
  name: shifted-error
  grade_fn: mlebench.competitions.{name}.grade:grade
preparer: mlebench.competitions.{name}.prepare:prepare
'''


def write_competition(folder, name, answers='test.csv', shift=1):
  (folder / 'config.yaml').write_text(
      CONFIG.format(name=name, answers=answers))
  (folder / 'grade.py').write_text(GRADE)
  (folder / 'classes.py').write_text(f'SHIFT = {shift}\n')
  pd.DataFrame({'scoreNullable': 0, 'score': [1.5, 1.1, 1.0]}).to_csv(
      folder / 'leaderboard.csv', index=False)


@pytest.fixture
def own(prepared):
  """May 2022, graded by the grade.py beside it."""
  path = prepared(MAY)
  write_competition(path, MAY)
  return path


def sample(path) -> pd.DataFrame:
  return pd.read_csv(path / 'prepared/public/sample_submission.csv')


def test_grade_py_beside_the_task_is_used_unmodified(own):
  task = tasks.load_task(own)
  assert not task.lower_is_better  # first score higher than last
  assert (own / 'grade.py').read_text() == GRADE
  guess = sample(own).assign(target=.25)
  answers = pd.read_csv(own / 'prepared/private/test.csv')
  wanted = 1 + sum(abs(y - .25) for y in answers['target']) / len(answers)
  grade = grading.grade(task, to_bytes(guess), 'all')
  assert grade.score == round(wanted, 5)
  part = grading.grade(task, to_bytes(guess), 'report')
  assert part.valid and part.score != grade.score


def test_its_own_words_reach_the_author_its_accidents_do_not(own):
  task = tasks.load_task(own)
  refused = grading.grade(
      task, to_bytes(sample(own).drop(columns='target')), 'reward')
  assert refused.error == 'Submission must have a target'
  accident = grading.grade(task, to_bytes(sample(own)[:-2]), 'reward')
  assert accident.error == 'there are 58 rows, expected 60'
  text = grading.grade(
      task, to_bytes(sample(own).assign(target='x')), 'reward')
  assert 'secret' not in text.error and 'could not score' in text.error


def test_it_runs_in_the_graders_process(own):
  """Also with what it prints, and never where the policy is trained."""
  names = set(sys.modules)
  task = tasks.load_task(own)
  with grader.GraderProcess() as process:
    grade = process.grade(task, to_bytes(sample(own)), 'all')
  assert grade.score == 1.5
  assert not {n for n in set(sys.modules) - names if 'mlebench' in n}


def test_loading_a_task_does_not_load_scikit_learn():
  code = ('import sys; from ace_jax.envs.mle import tasks, grader; '
          'print("sklearn" in sys.modules)')
  out = subprocess.run([sys.executable, '-c', code], text=True, check=True,
                       stdout=subprocess.PIPE)
  assert out.stdout == 'False\n'


def test_a_grade_py_that_does_not_load_is_our_failure(own):
  (own / 'grade.py').write_text('def grade(:\n')
  with grader.GraderProcess() as process:
    with pytest.raises(grader.GraderError, match='grade.py does not load'):
      process.grade(tasks.load_task(own), b'id,target\n', 'all')


def test_a_changed_grade_py_is_read_again(own):
  task, content = tasks.load_task(own), to_bytes(sample(own))
  assert grading.grade(task, content, 'all').score == 1.5
  (own / 'grade.py').write_text('def grade(a, b):\n  return 2\n')
  assert grading.grade(task, content, 'all').score == 2.0


@pytest.fixture
def package(tmp_path, monkeypatch):
  """An installed mlebench with one competition of its own and spooky."""
  root = tmp_path / 'site' / 'mlebench'
  for name in ('a-new-competition', SPOOKY):
    folder = root / 'competitions' / name
    folder.mkdir(parents=True)
    write_competition(folder, name, shift=3)
  (root / '__init__.py').write_text('')
  (root / 'grade_helpers.py').write_text(
      'class InvalidSubmissionError(Exception):\n  pass\n')
  monkeypatch.syspath_prepend(str(root.parent))
  for name in [n for n in sys.modules if n.split('.')[0] == 'mlebench']:
    monkeypatch.delitem(sys.modules, name)
  caches = (definition.mlebench_root, bench_grading._load)
  for cache in caches:
    cache.cache_clear()
  yield root
  for cache in caches:
    cache.cache_clear()
  for name in [n for n in sys.modules if n.split('.')[0] == 'mlebench']:
    del sys.modules[name]


def test_the_installed_package_grades_what_we_do_not_know(package, prepared):
  path = prepared(MAY)
  path = path.rename(path.parent / 'a-new-competition')
  task = tasks.load_task(path)
  assert task.name == 'a-new-competition'
  assert task.metric == 'shifted-error'
  assert task.leaderboard['all'] == (1.5, 1.1, 1.0)
  assert (task.id_column, task.target) == ('id', 'target')
  grade = grading.grade(task, to_bytes(sample(path)), 'all')
  assert grade.score == 3.5 and grade.medal == 'gold'
  refused = grading.grade(task, b'id\n1\n', 'all')
  assert refused.error == 'Submission must have a target'


def test_the_packages_leaderboard_wins_unless_it_is_a_pointer(
    package, prepared):
  path = prepared(SPOOKY)
  assert tasks.load_task(path).leaderboard['all'] == (1.5, 1.1, 1.0)
  board = package / 'competitions' / SPOOKY / 'leaderboard.csv'
  board.write_text('version https://git-lfs.github.com/spec/v1\noid sha256\n')
  task = tasks.load_task(path)
  assert task.lower_is_better and len(task.leaderboard['all']) == 1000


def test_the_package_is_not_imported_to_load_a_task(package, prepared):
  tasks.load_task(prepared(SPOOKY))
  assert importlib.util.find_spec('mlebench')
  assert 'mlebench' not in sys.modules


def test_the_answers_that_config_yaml_names(own):
  private = own / 'prepared' / 'private'
  (private / 'test.csv').rename(private / 'labels.csv')
  write_competition(own, MAY, answers='labels.csv')
  task = tasks.load_task(own)
  assert grading.grade(task, to_bytes(sample(own)), 'all').score == 1.5
  (private / 'labels.csv').unlink()
  with pytest.raises(ValueError, match='no answers .*labels.csv'):
    tasks.load_task(own)


@pytest.mark.parametrize('text', ['', 'id: x', 'grader: 3', '{'])
def test_a_config_yaml_of_something_else(prepared, text):
  path: pathlib.Path = prepared(MAY)
  (path / 'config.yaml').write_text(text)
  with pytest.raises(ValueError, match='config.yaml') as error:
    tasks.load_task(path)
  assert '\n' not in str(error.value)
