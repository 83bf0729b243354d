"""Typical mistakes of a small model, made on purpose in a valid program.

Each operator takes a program of the grammar and gives the program with one
mistake, or None where there is no place for it. Whether the mistake really
breaks the program is for the sandbox to say: without a string column, a
forgotten `get_dummies` does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ace_jax.envs.mle.options import Rng, pick
from ace_jax.types import Task

Mistake = Callable[[str, Task, Rng], str | None]


def _swap(
    program: str, old: str, news: Sequence[str], rng: Rng, count: int = -1
) -> str | None:
  news = [new for new in news if new != old]
  return program.replace(old, pick(rng, news), count) if old in program else (
      None)


def _wrong_target(program: str, task: Task, rng: Rng) -> str | None:
  names = ('target', 'label', 'y', task.target.swapcase())
  news = [f"train['{name}']" for name in names]
  return _swap(program, f"train['{task.target}']", news, rng)


def _wrong_id(program: str, task: Task, rng: Rng) -> str | None:
  names = ('Id', 'ID', 'index', 'row_id')
  news = [f"test['{name}']" for name in names]
  return _swap(program, f"test['{task.id_column}']", news, rng)


def _no_dummies(program: str, task: Task, rng: Rng) -> str | None:
  """Strings go into the model as they are."""
  return (
      program.replace('pd.get_dummies(train', 'train')
      .replace("'])" + ')', "'])")
      .replace('pd.get_dummies(test)', 'test')
  )


def _unaligned(program: str, task: Task, rng: Rng) -> str | None:
  """Z keeps the columns that X has not."""
  return _swap(program, '[X.columns]', ('',), rng)


def _no_fill(program: str, task: Task, rng: Rng) -> str | None:
  return re.sub(r'\.fillna\(.*?\)', '', program)


def _wrong_class(program: str, task: Task, rng: Rng) -> str | None:
  """The class's name, wrong in its import and where it is used."""
  names = re.findall(r'from sklearn\.\S+ import (\w+)', program)
  name = names[-1]
  cut = re.sub(r'(Classifier|Regressor|Regression|NB)$', '', name)
  news = (cut, name + 'Model', name.lower(), 'Sklearn' + name)
  return _swap(program, name, news, rng)


def _wrong_module(program: str, task: Task, rng: Rng) -> str | None:
  module = re.findall(r'from sklearn\.(\S+) import', program)[-1]
  modules = ('ensemble', 'linear_model', 'tree', 'neighbors', 'models')
  news = [f'from sklearn.{name} import' for name in modules]
  return _swap(program, f'from sklearn.{module} import', news, rng)


def _no_import(program: str, task: Task, rng: Rng) -> str | None:
  lines = program.split('\n')
  places = [i for i, line in enumerate(lines) if line.startswith('from ')]
  del lines[pick(rng, places)]
  return '\n'.join(lines)


def _undefined_name(program: str, task: Task, rng: Rng) -> str | None:
  old, news = pick(rng, (
      ('model.fit(X', ('model.fit(x', 'clf.fit(X', 'model.fit(X_train')),
      ('model.predict', ('clf.predict', 'm.predict')),
      ('(Z)', ('(X_test)', '(z)', '(test_X)')),
      ('sub.to_csv', ('submission.to_csv', 'df.to_csv')),
  ))
  return _swap(program, old, news, rng)


def _wrong_argument(program: str, task: Task, rng: Rng) -> str | None:
  arguments = re.findall(r'(?<=[(, ])(\w+)=', program)
  if not arguments:
    return None
  name = pick(rng, arguments)
  news = [f'{new}=' for new in ('num_' + name, name + 's', 'size')]
  return _swap(program, f'{name}=', news, rng, 1)


def _no_id(program: str, task: Task, rng: Rng) -> str | None:
  """The submission has no column of ids."""
  if rng.integers(2):
    return program.replace(
        "('submission.csv')", "('submission.csv', index=False)"
    )
  return program.replace(f"test['{task.id_column}'], ", 'columns=', 1)


def _wrong_file(program: str, task: Task, rng: Rng) -> str | None:
  old, news = pick(rng, (
      ("'submission.csv'", ("'submissions.csv'", "'data/submission.csv'",
                            "'output.csv'", "'sample_submission.csv'")),
      ("'data/train.csv'", ("'train.csv'", "'data/training.csv'")),
      ("'data/test.csv'", ("'test.csv'", "'data/tests.csv'")),
  ))
  return _swap(program, old, news, rng)


def _syntax_slip(program: str, task: Task, rng: Rng) -> str | None:
  """One bracket or quote is missing, or one is too many."""
  places = [i for i, c in enumerate(program) if c in "()[]'"]
  i = int(pick(rng, places))
  return program[:i] + program[i] * 2 * int(rng.integers(2)) + program[i + 1:]


MISTAKES: dict[str, Mistake] = {
    'wrong_target': _wrong_target,
    'wrong_id': _wrong_id,
    'no_dummies': _no_dummies,
    'unaligned': _unaligned,
    'no_fill': _no_fill,
    'wrong_class': _wrong_class,
    'wrong_module': _wrong_module,
    'no_import': _no_import,
    'undefined_name': _undefined_name,
    'wrong_argument': _wrong_argument,
    'no_id': _no_id,
    'wrong_file': _wrong_file,
    'syntax_slip': _syntax_slip,
}


def make(program: str, task: Task, rng: Rng) -> str:
  """The program with a mistake, of a kind drawn from those it has room for."""
  for name in rng.permutation(list(MISTAKES)):
    broken = MISTAKES[name](program, task, rng)
    if broken not in (None, program):
      return broken
  raise ValueError(f'no mistake fits this program:\n{program}')
