"""A grammar of solutions: the demonstrations of the warm start.

Poor, fair and strong choices are drawn equally often. A policy that imitates
them writes programs that run, and knows nothing about which of them score
well: that is left for reinforcement learning to find out. All are in one
plain style, short, with the same names everywhere.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from ace_jax.envs import programs
from ace_jax.envs.mle import estimators
from ace_jax.envs.prompts import Preview
from ace_jax.types import Execution, Grade, Parent, Problem, Status, Task

_MAX_DUMMIES = 60  # columns that one-hot encoding may add
_PROBABILITIES = ('auc', 'log_loss', 'multi_log_loss')
_LEVELS = ('weak', 'fair', 'strong')


@dataclasses.dataclass(frozen=True)
class Demo:
  """A program that was seen to earn a valid grade."""

  task: str  # Task.name
  program: str
  kind: str = 'draft'  # draft | improve | debug
  parent: Parent | None = None  # what an improve or a debug starts from

  @property
  def problem(self) -> Problem:
    """The question that the program answers."""
    return Problem(self.task, self.kind, self.parent)

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
  X, Z, shape = _features(task, preview, rng)
  level = _LEVELS[rng.integers(len(_LEVELS))]
  imports, model = estimators.draw(shape, level, rng)
  pred, names = 'model.predict(Z)', f"['{task.target}']"
  if task.metric in _PROBABILITIES:
    pred = 'model.predict_proba(Z)'
    if len(preview.submission_columns) == 2:
      pred += '[:, 1]'
    else:
      names = 'model.classes_'
  return '\n'.join([
      'import pandas as pd',
      *imports,
      "train = pd.read_csv('data/train.csv')",
      "test = pd.read_csv('data/test.csv')",
      f'X = {X}',
      f'Z = {Z}',
      f'model = {model}',
      f"model.fit(X, train['{task.target}'])",
      f"sub = pd.DataFrame({pred}, test['{task.id_column}'], {names})",
      "sub.to_csv('submission.csv')",
  ])


def _features(
    task: Task, preview: Preview, rng: np.random.Generator
) -> tuple[str, str, estimators.Shape]:
  """Expressions for X and Z, and the shape of X.

  Text decides where there is any. All other tables are encoded alike, with
  strings in them or not, so that a small policy has one form to learn.
  """
  shape = functools.partial(
      estimators.Shape, rows=preview.num_rows, classes=len(preview.classes)
  )
  texts = [c for c in preview.columns if c.kind == 'text']
  if texts:
    column = texts[rng.integers(len(texts))]
    X, Z = (f"{table}['{column.name}']" for table in ('train', 'test'))
    blank = ".fillna('')" if column.missing else ''
    return X + blank, Z + blank, shape(columns=1, text=True)
  strings = [c for c in preview.columns if c.kind == 'category']
  num_numbers = len(preview.columns) - len(strings)
  num_dummies = sum(c.cardinality for c in strings)
  X = f"train.drop(columns=['{task.id_column}', '{task.target}'])"
  zero = '.fillna(0)' if any(c.missing for c in preview.columns) else ''
  if num_dummies <= _MAX_DUMMIES:
    return (
        f'pd.get_dummies({X}){zero}',
        f'pd.get_dummies(test)[X.columns]{zero}',
        shape(columns=num_numbers + num_dummies),
    )
  if not num_numbers:
    raise ValueError(f'{task.name}: no numbers, no text, too many categories')
  return (
      f"{X}.select_dtypes('number'){zero}",
      f'test[X.columns]{zero}',
      shape(columns=num_numbers),
  )


# --- Demonstrations --------------------------------------------------------


def check_split(tasks: Mapping[str, Task]) -> None:
  """Raises ValueError at a task that is not for training."""
  for task in tasks.values():
    if task.split != 'train':
      raise ValueError(f'{task.name} is held out: no demonstrations of it')


class Outcome(Protocol):
  """What a demonstration's run came to."""

  execution: Execution
  grade: Grade
  milestones: int


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
  check_split(tasks)
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
