"""Computes a leaderboard: fits every reference solution, scores it.

`python -m ace_jax.envs.mle ladder TASK …` writes `leaderboards/TASK.csv` for
a built-in task, whose leaderboards ship, and `leaderboard.csv` in the task's
directory for one that a user added. A solution sees what an agent sees, the
public files; its predictions pass through the grader's own metric.
"""

from __future__ import annotations

import pathlib
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn import exceptions

from ace_jax.envs.mle import (
  catalog,
  grading,
  leaderboard,
  solutions,
  tasks,
  text_solutions,
)
from ace_jax.envs.mle.metrics import METRICS
from ace_jax.types import Task

# In log loss one confident error outweighs a hundred good rows, so every
# solution keeps its probabilities this far from 0 and 1.
FLOOR = 0.002
MIN_SOLUTIONS = 25  # below, medals mean little
TEXT_WORDS = 5  # a column with more words a cell, on average, is prose


def update(name: str, root: pathlib.Path | None = None) -> None:
  """Computes and writes the leaderboard of one task."""
  path = pathlib.Path(root or tasks.default_root()) / name
  task = tasks.read_task(path)
  scores = compute(task)
  built_in = name in {s.name for s in catalog.TASKS}
  leaderboard.write(
      leaderboard.SHIPPED / f'{name}.csv' if built_in
      else path / 'leaderboard.csv', scores, task.lower_is_better)


def compute(
    task: Task, say: Callable[[str], None] = print
) -> dict[str, dict[str, float]]:
  """Scores of every solution: {solution: {rows: score}}.

  Raises:
    TaskError: too few of the solutions work on this table.
  """
  train = pd.read_csv(task.public_dir / 'train.csv')
  test = pd.read_csv(task.public_dir / 'test.csv')
  answers = grading.load_answers(task)
  needs = METRICS[task.metric].needs
  features = [c for c in test if c != task.id_column]
  target = train[task.target]
  if task.kind != 'regression':
    target = target.astype(str)
  x, x_test = train[features], test[features]
  if task.kind != 'regression' and _is_prose(x):
    x, x_test = x[features[0]].fillna(''), x_test[features[0]].fillna('')
    menu = text_solutions.text(needs=needs)
  elif task.metric == 'quadratic_kappa':
    menu = solutions.ordinal(frame=x)
  elif needs == 'label' and _is_image(x):
    menu = solutions.image(frame=x)
  else:
    menu = solutions.tabular(kind=task.kind, needs=needs, frame=x)
  scores, start = {}, time.monotonic()
  for i, (name, make) in enumerate(menu.items(), start=1):
    began = time.monotonic()
    try:
      predictions = _fit_predict(make(), x, target, x_test, needs, answers)
    except ValueError as e:  # more neighbours than rows, say
      say(f'[{i}/{len(menu)}] {task.name} {name} left out: {e}')
      continue
    scores[name] = {
        rows: grading.score_predictions(task, answers, predictions, rows)
        for rows in leaderboard.ROWS}
    say(f'[{i}/{len(menu)}] {task.name} {name} {scores[name]["all"]:.5f} '
        f'in {time.monotonic() - began:.1f} s')
  if len(scores) < MIN_SOLUTIONS:
    raise tasks.TaskError(
        f'only {len(scores)} of {len(menu)} reference solutions work on '
        f'{task.name!r}, needs {MIN_SOLUTIONS}')
  say(f'{task.name}: {len(scores)} solutions in '
      f'{time.monotonic() - start:.0f} s')
  return scores


def _fit_predict(model, x, target, x_test, needs, answers) -> np.ndarray:
  with warnings.catch_warnings():
    # Small nets and untuned linear models stop early; they are rows too.
    for category in (exceptions.ConvergenceWarning, UserWarning,
                     FutureWarning, RuntimeWarning):
      warnings.simplefilter('ignore', category)
    model.fit(x, target.to_numpy())
    return predict(model, x_test, needs, answers.classes)


def predict(model, x, needs: str, classes: tuple[str, ...]) -> np.ndarray:
  """What the metric needs, in the order of the rows of `x`.

  Returns:
    [N] labels or numbers, [N] probabilities of '1', or [N, C].
  """
  if not needs.startswith('probabilit'):
    return model.predict(x)
  order = [list(model.classes_).index(c) for c in classes]
  p = np.clip(model.predict_proba(x)[:, order], FLOOR, 1 - FLOOR)
  p /= p.sum(1, keepdims=True)
  return p[:, classes.index('1')] if needs == 'probability' else p


def _is_prose(x: pd.DataFrame) -> bool:
  """A single column of running text."""
  if x.shape[1] != 1 or pd.api.types.is_numeric_dtype(x.iloc[:, 0]):
    return False
  return x.iloc[:, 0].fillna('').str.split().str.len().mean() > TEXT_WORDS


def _is_image(x: pd.DataFrame) -> bool:
  """A square of 64 pixels or more, none of them negative."""
  side = round(x.shape[1] ** 0.5)
  if side < 8 or side**2 != x.shape[1]:
    return False
  numbers = x.select_dtypes('number')
  return numbers.shape[1] == x.shape[1] and bool(numbers.min().min() >= 0)
