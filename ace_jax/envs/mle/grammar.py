"""A grammar of solutions: the demonstrations of the warm start.

Poor, fair and strong choices are drawn equally often. A policy that imitates
them writes programs that run, and knows nothing about which of them score
well: that is left for reinforcement learning to find out. All are in one
plain style, short, with the same names everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from ace_jax.envs import programs
from ace_jax.envs.mle import estimators
from ace_jax.envs.prompts import Preview
from ace_jax.types import Execution, Grade, Status, Task

_MAX_DUMMIES = 60  # columns that one-hot encoding may add
_PROBABILITIES = ('auc', 'log_loss', 'multi_log_loss')
_LEVELS = ('weak', 'fair', 'strong')


@dataclasses.dataclass(frozen=True)
class Demo:
  """A program that was seen to earn a valid grade."""

  task: str  # Task.name
  program: str

  @property
  def text(self) -> str:
    """The completion that holds it."""
    return f'```python\n{self.program}\n```'


# --- Programs --------------------------------------------------------------


def sample_program(
    task: Task, preview: Preview, rng: np.random.Generator
) -> str:
  """Draws a program that solves the task, well or not.

  Raises:
    ValueError: no feature of the task is usable.
  """
  features = _features(task, preview, rng)
  level = _LEVELS[rng.integers(len(_LEVELS))]
  probabilities = task.metric in _PROBABILITIES
  shape = estimators.Shape(
      rows=preview.num_rows,
      columns=features.columns,
      classes=len(preview.classes),
      text=features.text,
  )
  imports, model = estimators.draw(shape, level, rng)
  pred, columns = 'model.predict(Z)', f"['{task.target}']"
  if probabilities:
    pred = 'model.predict_proba(Z)'
    if len(preview.submission_columns) == 2:
      pred += '[:, 1]'
    else:
      columns = 'model.classes_'
  return '\n'.join([
      'import pandas as pd',
      *imports,
      "train = pd.read_csv('data/train.csv')",
      "test = pd.read_csv('data/test.csv')",
      f'X = {features.train}',
      f'Z = {features.test}',
      f'model = {model}',
      f"model.fit(X, train['{task.target}'])",
      f"sub = pd.DataFrame({pred}, test['{task.id_column}'], {columns})",
      "sub.to_csv('submission.csv')",
  ])


@dataclasses.dataclass(frozen=True)
class _Features:
  """Expressions for X and Z."""

  train: str
  test: str
  columns: int  # of X, about
  text: bool = False  # X is a column of strings


def _features(
    task: Task, preview: Preview, rng: np.random.Generator
) -> _Features:
  """One way for each kind of table, so that a small policy can learn it whole.

  Text decides where there is any.
  """
  texts = [c for c in preview.columns if c.kind == 'text']
  if texts:
    column = texts[rng.integers(len(texts))]
    blank = ".fillna('')" if column.missing else ''
    return _Features(
        f"train['{column.name}']{blank}", f"test['{column.name}']{blank}",
        1, text=True,
    )
  strings = [c for c in preview.columns if c.kind == 'category']
  numbers = [c for c in preview.columns if c.kind == 'number']
  rest = f"train.drop(columns=['{task.id_column}', '{task.target}'])"
  if not strings and not any(c.missing for c in numbers):
    return _Features(rest, 'test[X.columns]', len(numbers))
  num_dummies = sum(c.cardinality for c in strings)
  if num_dummies <= _MAX_DUMMIES:
    return _Features(
        f'pd.get_dummies({rest}).fillna(0)',
        # A category that test.csv lacks becomes a column of zeros.
        'pd.get_dummies(test).reindex(columns=X.columns).fillna(0)',
        len(numbers) + num_dummies,
    )
  if not numbers:
    raise ValueError(f'{task.name}: no numbers, no text, too many categories')
  return _Features(
      f"{rest}.select_dtypes('number').fillna(0)",
      'test[X.columns].fillna(0)',
      len(numbers),
  )


# --- Demonstrations --------------------------------------------------------


class Outcome(Protocol):
  """What a demonstration's run came to."""

  execution: Execution
  grade: Grade


def demonstrations(
    tasks: Mapping[str, Task],
    preview: Callable[[str], Preview],
    *,
    num: int,
    seed: int,
    run: Callable[[Sequence[tuple[str, str, str]]], Sequence[Outcome]],
) -> list[Demo]:
  """Draws programs, the tasks in turn, and keeps those that earn a grade.

  Draw i depends on (seed, i) alone, and the order is that of the draws, so
  the result does not depend on which run ended first.

  Args:
    tasks: the training tasks, by name.
    preview: a task's name → its preview.
    num: demonstrations wanted.
    seed: of the draws.
    run: (key, task, program)s → outcomes in the same order.

  Returns:
    `num` demonstrations, no two of a task with the same syntax tree.

  Raises:
    ValueError: a task that is not for training.
    RuntimeError: most draws failed, or the machinery did; not a program's
      doing.
  """
  for task in tasks.values():
    if task.split != 'train':
      raise ValueError(f'{task.name} is held out: no demonstrations of it')
  names, seen, demos, i = list(tasks), set(), [], 0
  while len(demos) < num:
    batch = []
    while len(batch) < num - len(demos):
      if i > 4 * num + 40:
        raise RuntimeError(
            f'{i} draws gave {len(demos)} valid programs; wanted {num}'
        )
      name = names[i % len(names)]
      rng = np.random.default_rng([seed, i])
      program = sample_program(tasks[name], preview(name), rng)
      tree = (name, programs.program_hash(program))
      if tree not in seen:
        batch.append((f'demo/{i}', name, program))
      seen.add(tree)
      i += 1
    for (_, name, program), outcome in zip(batch, run(batch), strict=True):
      if outcome.execution.status is Status.INFRA_ERROR:
        raise RuntimeError(f'sandbox: {outcome.execution.error}')
      if outcome.grade.valid:
        demos.append(Demo(name, program))
  return demos
