"""What is known of one prepared competition, and its Task.

A competition's config.yaml, grade.py and leaderboard.csv are looked for
beside its `prepared` folder, then in the installed mlebench package; what is
in neither comes from our own tables. Nothing of either is imported here: a
grade.py runs in the grader's process only.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.util
import pathlib
import re
from typing import Any

import numpy as np
import yaml

from ace_jax.envs.mle import leaderboard
from ace_jax.envs.mle.bench.competitions import (
  COMPETITIONS,
  METRICS,
  Competition,
)
from ace_jax.types import Task

THRESHOLDS = pathlib.Path(__file__).parent / 'thresholds.csv'
MEDALS = ('gold', 'silver', 'bronze', 'median')
SAMPLE = re.compile(r'(?i).*sample_?submission.*\.csv')
_APPROXIMATE_TEAMS = 1000
_WORST_ERROR = 4  # an error so many times the median's ranks last


@dataclasses.dataclass(frozen=True)
class Definition:
  id: str
  path: pathlib.Path  # holds `prepared`
  competition: Competition | None  # ours, where we know it
  grader: str  # 'file.py:fn' | 'mlebench.module:fn' | '': our own
  metric: str  # a key of METRICS, or the name in config.yaml
  answers: pathlib.Path
  sample: pathlib.Path | None  # None: the public files hold none as csv
  columns: tuple[str, ...]  # of a submission, the id first where we know it
  scores: tuple[float, ...]  # of the leaderboard, best first
  lower_is_better: bool


def load(path: pathlib.Path) -> Task:
  """The Task of a prepared directory.

  Raises:
    ValueError: one line; it lacks what grading needs.
  """
  known = define(path)
  public = known.path / 'prepared' / 'public'
  text = public / 'description.md'
  ours, metric = known.competition, METRICS.get(known.metric)
  return Task(
      name=known.id, path=known.path, split='held_out',
      kind=metric.kind if metric else 'regression',
      metric=known.metric, lower_is_better=known.lower_is_better,
      description=text.read_text('utf-8') if text.is_file() else '',
      target=(ours and ours.label) or ', '.join(known.columns[1:]),
      id_column=known.columns[0],
      leaderboard=dict.fromkeys(leaderboard.ROWS, known.scores))


def define(path: pathlib.Path) -> Definition:
  """Reads what there is; see `load`."""
  path = pathlib.Path(path)
  for part in ('public', 'private'):
    if not (path / 'prepared' / part).is_dir():
      raise ValueError(f'{path} was not made by `mlebench prepare`: it has no '
                       f'prepared/{part}')
  config = _config(path / 'config.yaml')
  name = config['id'] if config else path.name
  package = _package(name)
  config = config or _config(package / 'config.yaml' if package else None)
  ours = COMPETITIONS.get(name)
  grader = _grader(path, package, config)
  if not grader and not ours:
    raise ValueError(
        f'nothing says how competition {name!r} is graded: install mlebench, '
        f'or put its config.yaml, grade.py and leaderboard.csv into {path}')
  dataset = config['dataset'] if 'dataset' in config else {}
  sample = _sample(path, dataset)
  scores, lower = _leaderboard(name, path, package, ours)
  return Definition(
      id=name, path=path, competition=ours, grader=grader,
      metric=ours.metric if ours else str(config['grader']['name']),
      answers=_answers(path, dataset, ours), sample=sample,
      columns=_columns(sample, ours, name), scores=scores,
      lower_is_better=lower)


# --- Files ----------------------------------------------------------------


def _config(file: pathlib.Path | None) -> dict[str, Any]:
  if file is None or not file.is_file():
    return {}
  try:
    found = yaml.safe_load(file.read_text('utf-8'))
    found['id'], found['grader']['name'], found['grader']['grade_fn']
  except (yaml.YAMLError, KeyError, TypeError) as e:
    raise ValueError(f'{file} is not a competition\'s config.yaml: '
                     f'{type(e).__name__}') from e
  return found


@functools.cache
def mlebench_root() -> pathlib.Path | None:
  """Where the package is installed; it is not imported."""
  found = importlib.util.find_spec('mlebench')
  return pathlib.Path(found.origin).parent if found else None


def _package(name: str) -> pathlib.Path | None:
  """The package's folder of a competition."""
  root = mlebench_root()
  folder = root / 'competitions' / name if root else None
  return folder if folder and (folder / 'config.yaml').is_file() else None


def _grader(
    path: pathlib.Path, package: pathlib.Path | None, config: dict[str, Any]
) -> str:
  named = config['grader']['grade_fn'] if config else 'grade:grade'
  module, _, function = named.partition(':')
  # mlebench.competitions.<id>.grade:grade, or a file's own name
  stem = module.removesuffix('.py').rpartition('.')[2]
  if (path / f'{stem}.py').is_file():
    return f'{path / stem}.py:{function}'
  return named if package else ''


def _answers(path, dataset, ours) -> pathlib.Path:
  private = path / 'prepared' / 'private'
  names = ['test.csv', 'answers.csv']
  if ours:
    names.insert(0, ours.answers)
  if 'answers' in dataset:
    names = [_below_prepared(dataset['answers'])]
  for name in names:
    if (private / name).is_file():
      return private / name
  raise ValueError(f'competition {path.name!r} has no answers '
                   f'({private / names[0]})')


def _sample(path, dataset) -> pathlib.Path | None:
  public = path / 'prepared' / 'public'
  if 'sample_submission' in dataset:
    file = public / _below_prepared(dataset['sample_submission'])
    if file.is_file():
      return file
  found = sorted(p for p in public.iterdir() if SAMPLE.fullmatch(p.name))
  return found[0] if found else None


def _below_prepared(name: str) -> str:
  """<id>/prepared/private/test.csv → test.csv"""
  return name.partition('/prepared/')[2].partition('/')[2] or name


def _columns(sample, ours, name) -> tuple[str, ...]:
  """Of a submission; where we know the id column, it stands first."""
  if sample is None:
    if not (ours and ours.targets):
      raise ValueError(f'competition {name!r} has no sample submission')
    return (ours.id_column, *ours.targets)
  with open(sample, newline='', encoding='utf-8-sig') as file:
    found = next(csv.reader(file), [])
  if ours:
    found = [ours.id_column, *(c for c in found if c != ours.id_column)]
  if len(found) < 2:
    raise ValueError(f'{sample} has no columns')
  return tuple(found)


# --- Leaderboards ---------------------------------------------------------


def _leaderboard(name, path, package, ours):
  """(scores best first, lower is better)."""
  for folder in filter(None, (path, package)):
    scores = _scores(folder / 'leaderboard.csv')
    if scores:
      lower = scores[0] < scores[-1]
      return tuple(sorted(scores, reverse=not lower)), lower
  with open(THRESHOLDS, newline='', encoding='utf-8') as file:
    rows = {row['competition']: row for row in csv.DictReader(file)}
  if name not in rows or not ours:
    raise ValueError(
        f'competition {name!r} has no leaderboard: install mlebench with its '
        f'leaderboards (git lfs pull), or put leaderboard.csv into {path}')
  marks = [float(rows[name][medal]) for medal in MEDALS]
  lower = marks[0] < marks[-1]
  return approximate(marks, _worst(ours, marks[-1])), lower


def _scores(file: pathlib.Path) -> list[float]:
  """The column `score`; nothing where git lfs left a pointer."""
  if not file.is_file():
    return []
  with open(file, newline='', encoding='utf-8') as lines:
    table = csv.DictReader(lines)
    if 'score' not in (table.fieldnames or ()):
      return []
    return [float(row['score']) for row in table if row['score']]


def _worst(ours: Competition, median: float) -> float:
  """A score that earns a HumanRank of nearly 0."""
  if ours.metric == 'multi_log_loss':
    return float(np.log(ours.num_classes))
  worst = METRICS[ours.metric].worst
  return _WORST_ERROR * median if worst is None else worst


def approximate(marks: list[float], worst: float) -> tuple[float, ...]:
  """A leaderboard of 1,000 teams with these medals and this median.

  Medals and above-median are exact; HumanRank is interpolated between the
  known marks: top 1.2 % gold, 5 % silver, 10 % bronze, 50 % the median.

  Args:
    marks: the scores of gold, silver, bronze and the median.
    worst: the last score.
  """
  medals = leaderboard.medal_positions(_APPROXIMATE_TEAMS)
  half = _APPROXIMATE_TEAMS // 2
  at = [1, *(medals[m] for m in MEDALS[:3]), half, half + 1,
        _APPROXIMATE_TEAMS]
  known = [marks[0], *marks, marks[3], worst]
  scores = np.interp(range(1, _APPROXIMATE_TEAMS + 1), at, known).tolist()
  for position, score in zip(at, known, strict=True):
    scores[position - 1] = score  # to the last bit
  return tuple(scores)
