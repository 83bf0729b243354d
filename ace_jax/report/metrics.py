"""Numbers per step: `metrics.jsonl`, and the same to TensorBoard.

A row of `metrics.jsonl` is one JSON object: `phase`, `step`, `time_s` (Unix
time) and the metrics, whose keys are paths such as `loss/policy`. Rows stand
in the order in which they were written.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any, Self

FILE_NAME = 'metrics.jsonl'


class MetricsWriter:
  """Appends rows; each is in the file when `write` returns.

  Args:
    workdir: an existing directory.
    tensorboard: also write event files under `workdir/tensorboard/<phase>`.
  """

  def __init__(self, workdir: str | pathlib.Path, *, tensorboard: bool):
    self._workdir = pathlib.Path(workdir)
    self._path = self._workdir / FILE_NAME
    self._tensorboard = tensorboard
    self._events: dict[str, Any] = {}  # phase → SummaryWriter
    if self._path.exists():
      _replace(self._path, read(workdir))  # drops a line that a kill cut short
    self._file = self._path.open('a', encoding='utf-8')

  def write(
      self, step: int, metrics: Mapping[str, float], *, phase: str = 'train'
  ) -> None:
    """Records one step.

    Raises:
      FloatingPointError: a value is not finite; nothing is written.
    """
    values = {key: float(value) for key, value in metrics.items()}
    for key, value in values.items():
      if not math.isfinite(value):
        raise FloatingPointError(f'{phase} step {step}: {key} is {value}')
    row = {'phase': phase, 'step': int(step), 'time_s': round(time.time(), 3)}
    self._file.write(json.dumps(row | values) + '\n')
    self._file.flush()
    if self._tensorboard:
      events = self._event_writer(phase)
      for key, value in values.items():
        events.add_scalar(key, value, step)
      events.flush()

  def rewind(self, step: int, *, phase: str = 'train') -> None:
    """Takes back everything from step `step` of `phase` on, in one move."""
    rows = read(self._workdir)
    for i, row in enumerate(rows):
      if row['phase'] == phase and row['step'] >= step:
        self._file.close()
        _replace(self._path, rows[:i])
        self._file = self._path.open('a', encoding='utf-8')
        break
    if self._tensorboard:
      if phase in self._events:
        self._events.pop(phase).close()
      self._event_writer(phase, purge_step=step)

  def _event_writer(self, phase: str, purge_step: int | None = None) -> Any:
    # A run per phase: TensorBoard's purge hides later steps of every tag.
    if phase not in self._events:
      import tensorboardX  # here, so that runs without it do not load it
      self._events[phase] = tensorboardX.SummaryWriter(
          str(self._workdir / 'tensorboard' / phase), purge_step=purge_step,
          # Else a second file of the same second replaces the first.
          filename_suffix=f'.{time.time_ns()}')
    return self._events[phase]

  def close(self) -> None:
    self._file.close()
    while self._events:
      self._events.popitem()[1].close()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    self.close()


def read(workdir: str | pathlib.Path) -> list[dict[str, Any]]:
  """The rows so far; [] without a file. A last line cut short is left out.

  Raises:
    ValueError: a line before the last is no JSON.
  """
  path = pathlib.Path(workdir) / FILE_NAME
  if not path.exists():
    return []
  *lines, _ = path.read_text(encoding='utf-8').split('\n')
  return [json.loads(line) for line in lines]


def _replace(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
  """Writes the file anew; whoever reads sees the old or the new one whole."""
  new = path.with_suffix('.new')
  with new.open('w', encoding='utf-8') as f:
    f.writelines(json.dumps(row) + '\n' for row in rows)
    f.flush()
    os.fsync(f.fileno())
  os.replace(new, path)
