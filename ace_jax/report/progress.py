"""Progress of a run: a live bar on a terminal, else one line per step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self

import rich.console
import rich.progress
import rich.text

# Metric key → label and format, in the order in which they are shown.
SHOWN = {
    'reward/mean': ('reward', '{:+.3f}'),
    'exec/valid_rate': ('valid', '{:.0%}'),
    'score/human_rank_mean': ('HumanRank', '{:.3f}'),
    'imitation/loss': ('loss', '{:.3f}'),
    'imitation/held_out_loss': ('held-out loss', '{:.3f}'),
    'sampler/tokens_per_s': ('tokens/s', '{:,.0f}'),
    'imitation/tokens_per_s': ('tokens/s', '{:,.0f}'),
}


class Progress:
  """Shows where a run is; use as a context manager.

  Args:
    total_steps: of RL; the length of a phase that names none.
    console: where to; by default the standard output.
  """

  def __init__(
      self, total_steps: int, *, console: rich.console.Console | None = None
  ):
    self._total_steps = total_steps
    # Without a terminal rich assumes 80 columns and would break the lines.
    self._console = console or rich.console.Console()
    self._live = self._console.is_terminal
    self._bar = rich.progress.Progress(
        rich.progress.TextColumn('[bold]{task.description}'),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn('{task.fields[shown]}', markup=False),
        rich.progress.TextColumn('[cyan]{task.fields[left]}'),
        console=self._console,
        disable=not self._live,
    )
    self._task: rich.progress.TaskID | None = None
    self._name, self._total = '', total_steps
    self._shown: dict[str, float] = {}
    self._begin(0)

  def _begin(self, start: int) -> None:
    self._start, self._start_s = start, time.monotonic()

  def phase(
      self, name: str, total: int | None = None, *, start: int = 0
  ) -> None:
    """Enters a phase of `total` steps, `start` of which are done already."""
    self._finish()
    self._name = name
    self._total = self._total_steps if total is None else total
    self._shown = {}
    self._begin(start)
    if self._live:
      self._task = self._bar.add_task(
          name, total=self._total, completed=start, shown='', left='')
    else:
      self._line(name if start == 0 else f'{name}  goes on from step {start}')

  def update(self, step: int, metrics: Mapping[str, float]) -> None:
    """`step` steps of the phase are done; a metric not given keeps its value.
    """
    self._shown.update((k, float(v)) for k, v in metrics.items() if k in SHOWN)
    left = self._time_left(step)
    shown = '  '.join(f'{label} {form.format(self._shown[key])}'
                      for key, (label, form) in SHOWN.items()
                      if key in self._shown)
    if self._live and self._task is not None:
      self._bar.update(self._task, completed=step, shown=shown, left=left)
    else:
      counted = f'{self._name}  step {step}/{self._total}'
      self._line('  '.join(filter(None, (counted, shown, left))))

  def note(self, text: str) -> None:
    """A line of its own, kept above the bar; control characters are shown."""
    text = ''.join(c if c.isprintable() or c in '\n\t' else repr(c)[1:-1]
                   for c in text)
    self._line(text)

  def _line(self, text: str) -> None:
    self._console.print(rich.text.Text(text), soft_wrap=True)
    self._console.file.flush()

  def _time_left(self, step: int) -> str:
    done, todo = step - self._start, self._total - step
    if done <= 0 or todo <= 0:
      return ''
    seconds = (time.monotonic() - self._start_s) / done * todo
    return f'{duration(seconds)} left'

  def _finish(self) -> None:
    """Leaves the phase's last state as a line above the next one's bar."""
    if self._live and self._task is not None:
      self._bar.stop_task(self._task)
    self._task = None

  def __enter__(self) -> Self:
    self._bar.start()
    return self

  def __exit__(self, *exc_info: object) -> None:
    self._finish()
    self._bar.stop()


def duration(seconds: float) -> str:
  """1:05, 1:02:03."""
  minutes, s = divmod(int(seconds + 0.5), 60)
  hours, m = divmod(minutes, 60)
  return f'{hours}:{m:02}:{s:02}' if hours else f'{m}:{s:02}'
