"""A user's own table becomes a task, with a leaderboard of its own."""

from __future__ import annotations

import csv
import pathlib
import re
import tempfile

from ace_jax.envs.mle import (
  catalog,
  grading,
  ladder,
  layout,
  leaderboard,
  prepare,
  tasks,
)
from ace_jax.envs.mle.metrics import METRICS
from ace_jax.envs.mle.tasks import TaskError

MIN_ROWS = 50
MAX_ROWS = 20_000
MAX_CLASSES = 50
MIN_OF_CLASS = 6


def add(
    file: str | pathlib.Path,
    *,
    name: str,
    target: str,
    metric: str,
    root: str | pathlib.Path | None = None,
) -> pathlib.Path:
  """Splits a csv, computes its ladder and installs it as a training task.

  Args:
    file: csv with a header.
    name: of the task, new.
    target: the column to predict.
    metric: a key of METRICS.
    root: of the prepared tasks.

  Returns:
    the task's directory.

  Raises:
    TaskError: one line; nothing is left behind.
  """
  root = pathlib.Path(root or tasks.default_root())
  path = _new_path(name, root)
  if metric not in METRICS:
    raise TaskError(f'unknown metric {metric!r}, the metrics are: '
                    f'{", ".join(METRICS)}')
  header, rows = _read(pathlib.Path(file))
  if target not in header:
    near = tasks.nearest(target, header)
    raise TaskError(f'no column {target!r} in {file}, did you mean {near!r}?')
  kind, rows = _typed(header, rows, target, metric)
  if 'id' in header and target != 'id':  # ours replaces it
    at = header.index('id')
    header = header[:at] + header[at + 1:]
    rows = [r[:at] + r[at + 1:] for r in rows]
  files = layout.build(
      name=name, split='train', kind=kind, metric=metric, target=target,
      about=f'Predict `{target}`.', header=header, rows=rows,
      max_rows=MAX_ROWS)
  prepare.make_root(root)
  with tempfile.TemporaryDirectory(prefix='.add-', dir=root) as tmp:
    draft = pathlib.Path(tmp) / name
    prepare.install(files, draft)
    task = tasks.read_task(draft)
    _check_split(task)
    scores = ladder.compute(task)
    leaderboard.write(draft / 'board.csv', scores, task.lower_is_better)
    files['leaderboard.csv'] = (draft / 'board.csv').read_bytes()
  prepare.install(files, path)
  print(f'task {name!r} is in {path}')
  return path


def _new_path(name: str, root: pathlib.Path) -> pathlib.Path:
  if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_-]{0,63}', name):
    raise TaskError(f'task name {name!r}: letters, digits, _ and - only')
  built_in = {s.name for s in catalog.TASKS}
  if name in built_in or (root / name).exists():
    raise TaskError(f'there is a task {name!r} already')
  return root / name


def _read(file: pathlib.Path) -> tuple[list[str], list[list[str]]]:
  """Header and rows of text cells of a user's csv."""
  try:
    with open(file, newline='', encoding='utf-8-sig') as f:
      table = [[c.strip() for c in row] for row in csv.reader(f) if row]
  except OSError as e:
    raise TaskError(f'cannot read {file}: {e.strerror}') from e
  except (UnicodeDecodeError, csv.Error) as e:
    raise TaskError(f'{file} is not a UTF-8 csv file: {e}') from e
  if not table:
    raise TaskError(f'{file} is empty')
  header, rows = table[0], table[1:]
  twice = sorted({c for c in header if header.count(c) > 1})
  if twice:
    raise TaskError(f'{file} has two columns {twice[0]!r}')
  if len(header) < 2:
    raise TaskError(f'{file} has {len(header)} column, needs 2 or more')
  for number, row in enumerate(rows, start=2):
    if len(row) != len(header):
      raise TaskError(f'{file}: row {number} has {len(row)} cells, the '
                      f'header {len(header)}')
  return header, rows


def _typed(
    header: list[str], rows: list[list[str]], target: str, metric: str
) -> tuple[str, list[list[str]]]:
  """The kind of task, and the rows with a target that fits the metric."""
  at = header.index(target)
  if target == 'id':
    raise TaskError("the target cannot be 'id', the name of the row id")
  rows = [r for r in rows if r[at] not in layout.MISSING]
  distinct = len({tuple(r) for r in rows})
  if distinct < MIN_ROWS:
    raise TaskError(f'{distinct} different rows with a {target!r}, needs '
                    f'{MIN_ROWS} or more')
  kinds = METRICS[metric].kinds
  if 'regression' in kinds:
    bad = [r[at] for r in rows if not layout.is_number(r[at])]
    if bad:
      raise TaskError(f'{metric} needs numbers, column {target!r} has '
                      f'{bad[0]!r}')
    return 'regression', rows
  classes = layout.sorted_classes(r[at] for r in rows)
  kind = 'binary' if len(classes) == 2 else 'multiclass'
  if not 2 <= len(classes) <= MAX_CLASSES:
    raise TaskError(f'column {target!r} has {len(classes)} classes, '
                    f'{metric} takes 2 to {MAX_CLASSES}')
  if kind not in kinds:
    raise TaskError(f'{metric} is for {" or ".join(kinds)} targets, column '
                    f'{target!r} has {len(classes)} classes')
  if METRICS[metric].needs == 'probability' and classes != ['0', '1']:
    raise TaskError(f'{metric} needs a target of 0 and 1, column {target!r} '
                    f'has {classes[0]!r} and {classes[1]!r}')
  return kind, rows


def _check_split(task) -> None:
  """Every third of the answers must be scorable."""
  answers = grading.load_answers(task)
  with open(task.public_dir / 'train.csv', newline='', encoding='utf-8') as f:
    trained = [row[task.target] for row in csv.DictReader(f)]
  for label in answers.classes:  # the ladder's cross-validation needs some
    if trained.count(label) < MIN_OF_CLASS:
      raise TaskError(f'class {label!r} is too rare: {trained.count(label)} '
                      f'of its rows in train.csv, needs {MIN_OF_CLASS}')
  for part in layout.PARTS:
    labels = set(answers.target[answers.rows == part])
    if answers.classes and len(labels) < 2:
      raise TaskError(f'the {part} rows of the answers hold '
                      f'{len(labels)} classes, needs 2: too few rows')
    if not labels:
      raise TaskError(f'no {part} rows: too few rows')
