"""Tasks on disk: where they are, and reading one.

Layout of a task directory (MLE-bench's, with our two files beside it):

  task.json, leaderboard.csv, manifest.json
  prepared/public/   train.csv test.csv sample_submission.csv description.md
  prepared/private/  test.csv: id, target, rows (reward | select | report)
"""

from __future__ import annotations

import difflib
import json
import os
import pathlib
from collections.abc import Iterable

from ace_jax.envs.mle import catalog, leaderboard
from ace_jax.envs.mle.bench import competitions, definition, directory
from ace_jax.types import Task

PREPARE = 'python -m ace_jax.envs.mle prepare'


class TaskError(ValueError):
  """A task that is not there or not usable, in one line for the user."""


def default_root() -> pathlib.Path:
  """`$ACE_JAX_CACHE/mle`, or `~/.cache/ace_jax/mle`."""
  cache = os.environ.get('ACE_JAX_CACHE') or '~/.cache/ace_jax'
  return pathlib.Path(cache).expanduser() / 'mle'


def task_names(split: str) -> tuple[str, ...]:
  """Built-in tasks of a split: train | held_out."""
  if split not in ('train', 'held_out'):
    raise ValueError(f'split is train or held_out, not {split!r}')
  return tuple(s.name for s in catalog.TASKS if s.split == split)


# Names that config.env.*_tasks may use for many.
SETS: dict[str, tuple[str, ...]] = {
    # What the quickstart's recorded results were had on.
    'quickstart_train': tuple(s.name for s in catalog.first.TRAIN),
    'quickstart_held_out': tuple(s.name for s in catalog.first.HELD_OUT),
} | competitions.SETS


def expand(names: Iterable[str]) -> tuple[str, ...]:
  """Names of tasks, each named set replaced by its own."""
  return tuple(dict.fromkeys(
      task for name in names for task in SETS.get(name, (name,))))


def nearest(name: str, known: Iterable[str]) -> str:
  """The known name that looks most like `name`."""
  return difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]


def added_names(root: pathlib.Path | None = None) -> tuple[str, ...]:
  """Tasks under `root` that users added."""
  root = pathlib.Path(root or default_root())
  if not root.is_dir():
    return ()
  built_in = {s.name for s in catalog.TASKS}
  return tuple(sorted(
      p.parent.name for p in root.glob('*/task.json')
      if p.parent.name not in built_in
      and not p.parent.name.startswith('.')))


def load_task(
    name_or_dir: str | pathlib.Path,
    root: str | pathlib.Path | None = None,
    mlebench_data: str | pathlib.Path = '',
) -> Task:
  """Reads a prepared task by its name, or by its directory.

  Names are those under `root`, then MLE-bench's competitions under
  `mlebench_data`; directories are ours or mlebench's.

  Raises:
    TaskError: unknown, not prepared, or without answers; one clear line.
  """
  root = pathlib.Path(root or default_root())
  given = str(name_or_dir)
  path = pathlib.Path(given)
  known = [s.name for s in catalog.TASKS] + list(added_names(root))
  if given not in known:
    prepared = directory.find(given, mlebench_data)
    if prepared:
      return definition.load(prepared)
  if os.sep not in given and not (path / 'task.json').is_file():
    path = root / given
    known += [*competitions.COMPETITIONS, *SETS]
    if given not in known:
      raise TaskError(
          f'unknown task {given!r}, did you mean {nearest(given, known)!r}?')
    if not path.is_dir():
      raise TaskError(f'task {given!r} is not prepared in {root}: run '
                      f'`{PREPARE}`')
  task = read_task(path)
  file = path / 'leaderboard.csv'
  if not file.is_file():
    raise TaskError(f'task directory {path} has no leaderboard.csv')
  scores = leaderboard.read(file, task.lower_is_better)
  return Task(**{**vars(task), 'leaderboard': scores})


def read_task(path: pathlib.Path) -> Task:
  """As `load_task` from a directory, with an empty leaderboard."""
  path = pathlib.Path(path)
  if not path.is_dir():
    raise TaskError(f'no task directory {path}')
  if not (path / 'task.json').is_file():
    raise TaskError(f'{path} is not a task directory: it has no task.json')
  prepared = path / 'prepared'
  if not (prepared / 'private' / 'test.csv').is_file():
    raise TaskError(f'task directory {path} has no answers '
                    '(prepared/private/test.csv)')
  for name in ('train.csv', 'test.csv', 'sample_submission.csv',
               'description.md'):
    if not (prepared / 'public' / name).is_file():
      raise TaskError(f'task directory {path} has no prepared/public/{name}')
  try:
    info = json.loads((path / 'task.json').read_text(encoding='utf-8'))
    return Task(
        name=info['name'], path=path, split=info['split'], kind=info['kind'],
        metric=info['metric'], lower_is_better=info['lower_is_better'],
        description=(prepared / 'public' / 'description.md').read_text(
            encoding='utf-8'),
        target=info['target'], id_column=info['id_column'], leaderboard={})
  except (json.JSONDecodeError, KeyError) as e:
    raise TaskError(f'{path}/task.json is not readable: {e!r}') from e


def list_tasks(root: str | pathlib.Path | None = None) -> list[dict]:
  """Every built-in and added task, prepared or not.

  Returns:
    dicts with name, split, metric, lower_is_better, leaderboard_rows.
  """
  root = pathlib.Path(root or default_root())
  out = []
  for spec in catalog.TASKS:
    lower = spec.metric in catalog.LOWER_IS_BETTER
    board = leaderboard.read(
        leaderboard.SHIPPED / f'{spec.name}.csv', lower)
    out.append((spec.name, spec.split, spec.metric, lower, board))
  for name in added_names(root):
    t = load_task(name, root)
    out.append((t.name, t.split, t.metric, t.lower_is_better, t.leaderboard))
  return [
      {'name': name, 'split': split, 'metric': metric,
       'lower_is_better': lower, 'leaderboard_rows': len(board['all'])}
      for name, split, metric, lower, board in out
  ]
