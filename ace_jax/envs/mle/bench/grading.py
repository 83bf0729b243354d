"""A submission's Grade. Runs in the grader's process: a grade.py is code.

The official score is on all rows. Parts of them (reward, select, report) are
told apart by a hash of the id, and scored by the same grader on the rows of
the submission and of the answers that belong to the part.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import math
import pathlib
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from ace_jax.envs.mle import layout, leaderboard
from ace_jax.envs.mle.bench import definition, scoring
from ace_jax.envs.mle.bench.directory import MAX_BYTES
from ace_jax.envs.mle.bench.scoring import InvalidSubmission
from ace_jax.types import Grade, Task

# What a grader raises on what it did not foresee; MLE-bench gives no score.
_UNFORESEEN = (ArithmeticError, AssertionError, AttributeError, LookupError,
               TypeError, ValueError)
Grader = Callable[[pd.DataFrame, pd.DataFrame], float]


class _Bench(NamedTuple):
  known: definition.Definition
  grade: Grader
  refusal: type[Exception]  # that the grader raises
  answers: pd.DataFrame
  id_column: str
  parts: dict[str, np.ndarray]  # rows name → [N] bool, in the answers' order


def grade(task: Task, submission: bytes | None, rows: str) -> Grade:
  """Scores a submission as MLE-bench does.

  Args:
    task: of `definition.load`.
    submission: the bytes of submission.csv; None when there is none.
    rows: reward | select | report | all.
  """
  bench = _load(task.path, _state(task.path))
  try:
    score = _score(bench, submission, rows)
  except InvalidSubmission as e:
    return Grade(valid=False, error=str(e), rows=rows)
  scores, lower = task.leaderboard[rows], task.lower_is_better
  return Grade(
      valid=True, score=score, rows=rows,
      medal=leaderboard.medal(score, scores, lower),
      above_median=leaderboard.above_median(score, scores, lower),
      human_rank=leaderboard.human_rank(score, scores, lower))


def _score(bench: _Bench, submission: bytes | None, rows: str) -> float:
  if submission is None:
    raise InvalidSubmission('there is no submission.csv')
  if len(submission) > MAX_BYTES:
    raise InvalidSubmission(f'submission.csv is larger than {MAX_BYTES} bytes')
  try:
    frame = scoring.read_table(submission)
  except ValueError as e:  # pandas' own are ValueErrors
    raise InvalidSubmission('submission.csv is not readable as csv') from e
  score = _official(bench, frame)
  if rows != 'all':
    part = _on_part(bench, frame, rows)
    if part is None:
      _tell(bench.known.id, rows)
    else:
      score = part
  return round(float(score), 5)


@functools.cache
def _tell(name: str, rows: str) -> None:
  """Once for a task and a part."""
  warnings.warn(f'{name}: its metric is undefined on the {rows} rows alone; '
                'all rows are scored instead', stacklevel=3)


def _run(
    bench: _Bench, submission: pd.DataFrame, answers: pd.DataFrame
) -> float:
  with warnings.catch_warnings():  # of one class, a constant: NaN says it
    warnings.simplefilter('ignore')
    return bench.grade(submission, answers)


def _official(bench: _Bench, frame: pd.DataFrame) -> float:
  """The score on all rows, which decides what is valid."""
  try:
    score = _run(bench, frame.copy(), bench.answers.copy())
  except (InvalidSubmission, bench.refusal) as e:
    raise InvalidSubmission(_line(e)) from e
  except _UNFORESEEN as e:
    # Its words may hold answers.
    raise InvalidSubmission(_complaint(bench, frame)) from e
  if not math.isfinite(score):
    raise InvalidSubmission('the predictions have no finite score')
  return score


def _on_part(bench: _Bench, frame: pd.DataFrame, rows: str) -> float | None:
  """The score on a part; None where the metric is undefined there."""
  part = bench.parts[rows]
  answers, column = bench.answers[part], bench.id_column
  ours = bench.known.competition
  by_order = column not in frame or (ours and ours.align == 'order')
  chosen = part if by_order else frame[column].isin(set(answers[column]))
  if len(chosen) != len(frame):
    return None
  try:
    score = _run(bench, frame[chosen].reset_index(drop=True),
                 answers.reset_index(drop=True))
  except (bench.refusal, *_UNFORESEEN):
    return None
  return score if math.isfinite(score) else None


def _complaint(bench: _Bench, frame: pd.DataFrame) -> str:
  """What looks wrong beside the sample submission; public facts only."""
  lacking = [c for c in bench.known.columns if c not in frame]
  if lacking:
    return f'column {lacking[0]!r} is missing'
  if len(frame) != len(bench.answers):
    return f'there are {len(frame)} rows, expected {len(bench.answers)}'
  if frame[list(bench.known.columns)].isna().to_numpy().any():
    return 'some cells are empty'
  return 'the grader could not score it: compare ids and types with the ' \
         'sample submission'


def _line(error: Exception) -> str:
  return ascii(' '.join(str(error).split()))[1:-1][:300] or 'invalid'


# --- Graders and answers, read once ----------------------------------------


def _state(path: pathlib.Path) -> tuple[int, ...]:
  """Differs when what grades a task was changed."""
  files = (path / 'grade.py', path / 'config.yaml', path / 'leaderboard.csv',
           path / 'prepared' / 'private')
  return tuple(f.stat().st_mtime_ns if f.exists() else 0 for f in files)


@functools.lru_cache(maxsize=32)
def _load(path: pathlib.Path, state: tuple[int, ...]) -> _Bench:
  del state
  known = definition.define(path)
  answers = scoring.read_table(known.answers)
  column = known.columns[0]
  if column not in answers:
    column = answers.columns[0]
  if known.competition and not known.grader:
    lacking = set(scoring.targets(known.competition, answers)) - {*answers}
    if lacking:
      raise ValueError(f'{known.answers} has no column {min(lacking)!r}')
  if known.grader:
    function, refusal = _grade_fn(known.grader)
  else:
    function = functools.partial(scoring.score, known.competition)
    refusal = InvalidSubmission
  third = np.array([
      int(layout.fraction(known.id, 'rows', i) * 3) for i in answers[column]])
  return _Bench(
      known, function, refusal, answers, column,
      {rows: third == i for i, rows in enumerate(layout.PARTS)})


def _grade_fn(grader: str) -> tuple[Grader, type[Exception]]:
  """A grade.py's function, and what it raises for a bad submission."""
  place, _, function = grader.rpartition(':')
  try:
    with _helpers() as refusal:
      module = (_import_file(pathlib.Path(place)) if place.endswith('.py')
                else importlib.import_module(place))
      return getattr(module, function), refusal
  except (ImportError, AttributeError, SyntaxError) as e:
    raise ValueError(f'{place} does not load: {e}') from e


def _import_file(file: pathlib.Path) -> types.ModuleType:
  """Imports a file, its folder being a package: `from .classes import …`."""
  digest = hashlib.sha256(str(file).encode()).hexdigest()[:12]
  package = types.ModuleType(f'_mlebench_{digest}')
  package.__path__ = [str(file.parent)]
  sys.modules[package.__name__] = package
  name = f'{package.__name__}.{file.stem}'
  spec = importlib.util.spec_from_file_location(name, file)
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  spec.loader.exec_module(module)
  return module


@contextlib.contextmanager
def _helpers() -> Iterator[type[Exception]]:
  """What a grade.py imports of mlebench, also where it is not installed.

  Yields:
    InvalidSubmissionError; without mlebench, ours under that name.
  """
  if definition.mlebench_root() is not None:
    helpers = importlib.import_module('mlebench.grade_helpers')
    yield helpers.InvalidSubmissionError
    return
  names = ('mlebench', 'mlebench.grade_helpers')
  for name in names:
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].InvalidSubmissionError = InvalidSubmission
  try:
    yield InvalidSubmission
  finally:
    for name in names:
      del sys.modules[name]
