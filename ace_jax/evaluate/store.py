"""What an arm leaves on disk beside the ledger.

  <folder>/sample_s.json       seconds that each round's generation took
  <folder>/<seed>/<task>.csv   what a search hands in, as of its last round
"""

from __future__ import annotations

import json
import pathlib


class Store:
  """The files of one arm; each is replaced whole."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._path = folder / 'sample_s.json'
    self._seconds: list[float] = []
    if self._path.exists():
      self._seconds = json.loads(self._path.read_text())

  def seconds(self, index: int) -> float:
    """Of round `index`, which was put."""
    return self._seconds[index]

  def put_seconds(self, index: int, seconds: float) -> None:
    """Of round `index`; what is known of later ones is forgotten."""
    self._seconds[index:] = [seconds]
    _replace(self._path, json.dumps(self._seconds).encode())

  def submission(self, seed: int, task: str) -> pathlib.Path:
    """Where a search's submission is, if it has one."""
    return self._folder / str(seed) / f'{task}.csv'

  def put_submission(self, seed: int, task: str, content: bytes) -> None:
    _replace(self.submission(seed, task), content)


def _replace(path: pathlib.Path, content: bytes) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(path.name + '.partial')
  partial.write_bytes(content)
  partial.rename(path)
