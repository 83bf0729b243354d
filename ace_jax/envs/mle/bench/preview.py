"""What a prompt shows of a competition's public files.

They are whatever Kaggle had: tables as csv or JSON, archives of images, a
sample submission of any name. All that is read is bounded: the first rows of
tables, the directories of archives, names and sizes of the rest.
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import warnings
import zipfile

import pandas as pd

from ace_jax.envs import prompts
from ace_jax.envs.mle.bench import definition
from ace_jax.envs.mle.bench.competitions import METRICS
from ace_jax.types import Task

_ROWS = 1000  # of a table that are looked at
_JSON_BYTES = 64 << 20  # larger JSON is not read
_LISTED = 6  # files named in a prompt
_ENTRIES = 100_000  # of a folder that are counted
_MAX_CLASSES = 50


def preview(task: Task, *, num_rows: int = 2) -> prompts.Preview:
  """As `prompts.preview`, of a directory that `mlebench prepare` made.

  Warns of a public column that is known to give the label away; the
  directory stays as it is, so that scores are MLE-bench's.
  """
  known = definition.define(task.path)
  public = task.public_dir
  leak = known.competition.leak if known.competition else ''
  train, test = _table(public, 'train'), _table(public, 'test')
  if leak and test is not None and leak in test:
    warnings.warn(
        f'{task.name}: the public column {leak!r} gives the label away; it '
        'is left out of prompts, programs can still read it', stacklevel=2)
  features, classes = [], ()
  if train is not None:
    shared = train.columns if test is None else test.columns
    features = [c for c in shared if c in train and c not in (
        task.id_column, task.target, leak)]
    classes = _classes(train, task)
  rows = ()
  if features and task.target in train:
    rows = tuple(
        tuple(prompts.cell(row[c]) for c in [*features, task.target])
        for _, row in train.head(num_rows).iterrows())
  return prompts.Preview(
      columns=tuple(prompts.column(_plain(train[c])) for c in features),
      rows=rows,
      num_rows=0 if train is None else len(train),
      classes=classes,
      submission_columns=known.columns,
      question=_question(task, classes),
      contract=_contract(task, known),
      files=_files(public))


def _question(task: Task, classes: tuple[str, ...]) -> str:
  names = prompts.abbreviate(classes)[:8]
  values = f' ({", ".join(names)}{", …" if len(classes) > 8 else ""})'
  return f'Competition: {task.name}. Target: {task.target}' + (
      f'{values if classes else ""}.')


def _contract(task: Task, known: definition.Definition) -> str:
  shown = prompts.abbreviate(known.columns)
  columns = ','.join(shown[:8]) + (',…' if len(shown) > 8 else '')
  metric, content = METRICS.get(known.metric), ''
  if metric:
    content = f': {metric.content}'
  as_in = f' (as data/{known.sample.name})' if known.sample else ''
  title = metric.title if metric else known.metric
  direction = 'lower' if task.lower_is_better else 'higher'
  return (
      f'Write submission.csv with columns {columns}{as_in}{content}.\n'
      f'Metric: {title}, {direction} is better.')


def _classes(train: pd.DataFrame, task: Task) -> tuple[str, ...]:
  """Labels that the first rows hold, where these are few."""
  if task.target not in train or task.kind == 'regression':
    return ()
  labels = train[task.target].dropna().unique().tolist()
  if len(labels) > _MAX_CLASSES:
    return ()
  return tuple(str(c) for c in sorted(labels, key=str))


# --- Files ----------------------------------------------------------------


def _files(public: pathlib.Path) -> str:
  """Names with sizes, tables first; and a note of what is not listed."""
  entries = sorted(
      (e for e in os.scandir(public) if e.name != 'description.md'),
      key=lambda e: (not e.name.endswith(('.csv', '.json')), e.name))
  more = f' and {len(entries) - _LISTED} more' if len(
      entries) > _LISTED else ''
  shown = ', '.join(_file(pathlib.Path(e)) for e in entries[:_LISTED])
  return f'Files in data/: {shown}{more}.'


def _file(path: pathlib.Path) -> str:
  if path.is_dir():
    with os.scandir(path) as entries:
      names = [e.name for e in itertools.islice(entries, _ENTRIES)]
    return f'{path.name}/ ({_listing(sorted(names))})'
  size = _size(path.stat().st_size)
  if zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
      names = [n for n in archive.namelist() if not n.endswith('/')]
    return f'{path.name} ({size}: {_listing(names)})'
  return f'{path.name} ({size})'


def _listing(names: list[str]) -> str:
  if len(names) < 2:
    return ''.join(names) or 'empty'
  return f'{len(names)} files, {names[0]} …'


def _size(num_bytes: int) -> str:
  for unit in ('B', 'KB', 'MB'):
    if num_bytes < 1000:
      return f'{num_bytes:.0f} {unit}'
    num_bytes /= 1000
  return f'{num_bytes:.0f} GB'


def _table(public: pathlib.Path, name: str) -> pd.DataFrame | None:
  """The first rows of <name>.csv or .json; None where there is no such table.

  Also of <anything>_<name>.csv, and of a csv that is alone in an archive.
  """
  files = [public / f'{name}.csv', *sorted(public.glob(f'*{name}*.csv')),
           public / f'{name}.json', public / f'{name}.csv.zip',
           *sorted(public.glob(f'*_{name}*.csv.zip'))]
  for file in files:
    if file.is_file() and not definition.SAMPLE.fullmatch(file.name):
      try:
        return _read(file)
      except (ValueError, OSError, zipfile.BadZipFile):
        continue  # not a table after all
  return None


def _read(file: pathlib.Path) -> pd.DataFrame:
  if file.suffix != '.json':
    return pd.read_csv(file, nrows=_ROWS)
  if file.stat().st_size > _JSON_BYTES:
    raise ValueError('too large to be read for a prompt')
  records = json.loads(file.read_text('utf-8'))
  if not isinstance(records, list):
    raise ValueError('not a list of records')
  return pd.DataFrame(records[:_ROWS])


def _plain(values: pd.Series) -> pd.Series:
  """Cells of a JSON table may be lists, which have no hash."""
  if values.map(lambda x: isinstance(x, (list, dict))).any():
    return values.map(str)
  return values
