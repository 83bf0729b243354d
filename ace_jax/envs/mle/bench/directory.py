"""Directories that `mlebench prepare` made: <data>/<id>/prepared/…

They are read and never written to. Ours, which have a task.json, are told
apart by it.
"""

from __future__ import annotations

import os
import pathlib

from ace_jax.envs.mle.bench.competitions import COMPETITIONS

MAX_BYTES = 256 << 20  # of a submission: denoising has one row per pixel


def default_data() -> pathlib.Path:
  """Where mlebench puts data unless told otherwise: the user's cache."""
  cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return pathlib.Path(cache).expanduser() / 'mle-bench' / 'data'


def is_prepared(path: pathlib.Path) -> bool:
  """Whether a directory is one of mlebench's, and not one of our own."""
  return (path / 'prepared' / 'public').is_dir() and not (
      path / 'task.json').is_file()


def find(
    name_or_dir: str, data: str | pathlib.Path = ''
) -> pathlib.Path | None:
  """The directory that a path or the id of a competition means, if any.

  Args:
    name_or_dir: as in config.env.train_tasks.
    data: of all competitions; '' is mlebench's default.

  Raises:
    ValueError: a competition that we know and that is not prepared.
  """
  if is_prepared(pathlib.Path(name_or_dir)):
    return pathlib.Path(name_or_dir).resolve()
  if os.sep in name_or_dir:
    return None
  path = pathlib.Path(data or default_data()).expanduser() / name_or_dir
  if is_prepared(path):
    return path.resolve()
  if name_or_dir in COMPETITIONS:
    raise ValueError(f'competition {name_or_dir!r} is not prepared in '
                     f'{path.parent}: run `mlebench prepare -c {name_or_dir}` '
                     'or set env.mlebench_data')
  return None
