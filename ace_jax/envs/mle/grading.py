"""Grades one submission against the private answers.

Everything in a submission is untrusted: it is parsed by the csv module under
a bound on its size, and each complaint is one line that tells the author what
is wrong and nothing of the answers.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import math
import pathlib
from typing import NamedTuple

import numpy as np

from ace_jax.envs.mle import canary, layout, leaderboard
from ace_jax.envs.mle.bench import directory
from ace_jax.envs.mle.bench import grading as bench_grading
from ace_jax.envs.mle.metrics import METRICS
from ace_jax.types import Grade, Task

MAX_BYTES = 8 << 20
SUM_TOLERANCE = 1e-3  # of a row of probabilities
TOO_LARGE = 'some predictions are so large that they have no finite score'


class Answers(NamedTuple):
  ids: tuple[str, ...]  # [N]
  target: np.ndarray  # [N] str, or float64 for regression; all right
  rows: np.ndarray  # [N] str: reward | select | report
  classes: tuple[str, ...]  # () for regression
  is_canary: np.ndarray  # [N] bool: wrong in the file, see canary.py


class InvalidSubmission(ValueError):
  """The message goes to the author of the submission."""


def grade(task: Task, submission: bytes | None, rows: str = 'reward') -> Grade:
  """Scores a submission on one part of the answers.

  Args:
    task: with its leaderboard.
    submission: the bytes of submission.csv; None when there is none.
    rows: reward | select | report | all.

  Returns:
    a Grade; `valid` is whether there is a score, 0.0 being a legitimate one.
  """
  if rows not in leaderboard.ROWS:
    raise ValueError(f'rows is one of {leaderboard.ROWS}, not {rows!r}')
  if directory.is_prepared(task.path):
    return bench_grading.grade(task, submission, rows)
  answers = load_answers(task)
  try:
    predictions = parse(task, answers, submission)
  except InvalidSubmission as e:
    return Grade(valid=False, error=str(e), rows=rows)
  if canary.p_value(answers.target, predictions, answers.is_canary,
                    answers.classes) < canary.MAX_P:
    return Grade(valid=False, error=canary.COPIED, rows=rows)
  with np.errstate(over='ignore'):
    score = score_predictions(task, answers, predictions, rows)
  if not math.isfinite(score):
    return Grade(valid=False, error=TOO_LARGE, rows=rows)
  scores, lower = task.leaderboard[rows], task.lower_is_better
  return Grade(
      valid=True, score=score, rows=rows,
      medal=leaderboard.medal(score, scores, lower),
      above_median=leaderboard.above_median(score, scores, lower),
      human_rank=leaderboard.human_rank(score, scores, lower))


def score_predictions(
    task: Task, answers: Answers, predictions: np.ndarray, rows: str
) -> float:
  """The task's metric on a part of the answers, rounded to 5 decimals."""
  part = np.ones(len(answers.ids), bool)
  if rows != 'all':
    part = answers.rows == rows
  score = METRICS[task.metric].fn(
      answers.target[part], predictions[part], answers.classes)
  return round(float(score), 5)


def load_answers(task: Task) -> Answers:
  """Reads prepared/private/test.csv, once per state of the file."""
  file = task.private_dir / 'test.csv'
  return _load_answers(task.path, file.stat().st_mtime_ns, task.target,
                       task.id_column)


@functools.lru_cache(maxsize=256)
def _load_answers(
    path: pathlib.Path, modified_ns: int, target: str, id_column: str
) -> Answers:
  del modified_ns
  info = json.loads((path / 'task.json').read_text(encoding='utf-8'))
  file = path / 'prepared' / 'private' / 'test.csv'
  with open(file, newline='', encoding='utf-8') as f:
    table = list(csv.DictReader(f))
  ids = [line[id_column] for line in table]
  is_canary = np.zeros(len(ids), bool)
  if info.get('canaries'):
    is_canary = layout.canaries(info['name'], ids)
  values = canary.lift(
      [line[target] for line in table], is_canary, info['classes'])
  regression = info['kind'] == 'regression'
  return Answers(
      ids=tuple(ids),
      target=np.array(values, np.float64 if regression else str),
      rows=np.array([line['rows'] for line in table]),
      classes=tuple(info['classes']),
      is_canary=is_canary)


def parse(
    task: Task, answers: Answers, submission: bytes | None
) -> np.ndarray:
  """Checks a submission and puts it in the order of the answers.

  Returns:
    [N] labels (str), [N] numbers, or [N, C] probabilities (float64).

  Raises:
    InvalidSubmission: in the words that its author will read.
  """
  needs = METRICS[task.metric].needs
  wanted = (answers.classes if needs == 'probabilities' else (task.target,))
  header, lines = _table(submission)
  expected = [task.id_column, *wanted]
  if sorted(header) != sorted(expected):
    raise InvalidSubmission(
        f'columns are {_show(header)}, expected {_show(expected)}')
  order = _order([line[header.index(task.id_column)] for line in lines],
                 answers.ids)
  columns = [header.index(c) for c in wanted]
  cells = [[lines[i][c].strip() for c in columns] for i in order]
  if needs == 'label':
    return _labels([row[0] for row in cells], answers.classes)
  values = np.array([[_number(c) for c in row] for row in cells])
  if needs == 'value':
    return values[:, 0]
  if (values < 0).any() or (values > 1).any():
    bad = values[(values < 0) | (values > 1)][0]
    raise InvalidSubmission(f'a probability is {bad:g}, not in [0, 1]')
  if needs == 'probability':
    return values[:, 0]
  sums = values.sum(1)
  if (abs(sums - 1) > SUM_TOLERANCE).any():
    bad = sums[abs(sums - 1) > SUM_TOLERANCE][0]
    raise InvalidSubmission(f'the probabilities of a row sum to {bad:g}, '
                            'not to 1')
  return values


def _table(submission: bytes | None) -> tuple[list[str], list[list[str]]]:
  if submission is None:
    raise InvalidSubmission('there is no submission.csv')
  if len(submission) > MAX_BYTES:
    raise InvalidSubmission(f'submission.csv is larger than {MAX_BYTES} bytes')
  try:
    text = submission.decode('utf-8-sig')
  except UnicodeDecodeError as e:
    raise InvalidSubmission('submission.csv is not UTF-8 text') from e
  try:
    table = [row for row in csv.reader(io.StringIO(text, newline='')) if row]
  except csv.Error as e:
    raise InvalidSubmission(f'submission.csv is not csv: {e}') from e
  if not table:
    raise InvalidSubmission('submission.csv is empty')
  header, lines = [c.strip() for c in table[0]], table[1:]
  for line in lines:
    if len(line) != len(header):
      raise InvalidSubmission(
          f'a row has {len(line)} cells, the header {len(header)}')
  return header, lines


def _order(given: list[str], ids: tuple[str, ...]) -> list[int]:
  """For each answer, the number of the submission's line."""
  known = set(ids)
  at: dict[str, int] = {}
  for i, cell in enumerate(given):
    name = _canonical(cell)
    if name not in known:
      raise InvalidSubmission(f'id {_show([cell])} is not in test.csv')
    if name in at:
      raise InvalidSubmission(f'id {_show([cell])} is there twice')
    at[name] = i
  if len(at) < len(ids):
    missing = next(i for i in ids if i not in at)
    raise InvalidSubmission(
        f'{len(ids) - len(at)} of {len(ids)} ids are missing, id {missing} '
        'for one')
  return [at[i] for i in ids]


def _labels(cells: list[str], classes: tuple[str, ...]) -> np.ndarray:
  known = {_canonical(c): c for c in classes}
  out = []
  for cell in cells:
    label = known.get(_canonical(cell))
    if label is None:
      raise InvalidSubmission(
          f'label {_show([cell])} is not one of {_show(classes)}')
    out.append(label)
  return np.array(out)


def _number(cell: str) -> float:
  try:
    value = float(cell)
  except ValueError:
    raise InvalidSubmission(
        f'{_show([cell])} is not a number') from None
  if not math.isfinite(value):
    raise InvalidSubmission(f'{_show([cell])} is not finite')
  return value


def _canonical(cell: str) -> str:
  """'3', '3.0' and ' 3' are one label: frames turn integers to floats."""
  cell = cell.strip()
  try:
    value = float(cell)
  except ValueError:
    return cell
  return str(int(value)) if value.is_integer() else repr(value)


def _show(cells) -> str:
  """Names from a stranger, short and printable."""
  names = [ascii(c[:40])[1:-1] or "''" for c in cells[:12]]
  return ','.join(names) + (',…' if len(cells) > 12 else '')
