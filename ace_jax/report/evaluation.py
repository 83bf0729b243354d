"""The evaluation protocol's result: table, `evaluation.json`, figures.

`result` here is what evaluate/result.py makes.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from ace_jax.report import plots
from ace_jax.report.charts import Figure
from ace_jax.report.table import with_error

FILE_NAME = 'evaluation.json'
# Measure → heading and format, in the order in which they are shown.
SHOWN = {
    'valid_rate': ('valid', '{:.3f}'),
    'valid_submission': ('solved', '{:.3f}'),
    'any_medal': ('medal', '{:.3f}'),
    'above_median': ('>median', '{:.3f}'),
    'human_rank': ('HumanRank', '{:.3f}'),
    'oracle_human_rank': ('oracle', '{:.3f}'),
    'mean_human_rank': ('mean', '{:.3f}'),
    'score@1': ('score@1', '{:.3f}'),
    'score@8': ('score@8', '{:.3f}'),
    'score@32': ('score@32', '{:.3f}'),
    'distinct_programs': ('distinct', '{:.1f}'),
    'first_valid': ('first valid', '{:.1f}'),
    'seconds': ('seconds', '{:.0f}'),
}
PER_TASK = ('valid_rate', 'human_rank')
LEGEND = (
    'valid: share of attempts. solved, medal, >median, HumanRank: of the '
    'selected attempt, graded on rows that the search never saw; oracle: the '
    'best by those rows; mean: of all attempts. score@k: HumanRank of the best '
    'of k attempts. first valid: attempts, the whole budget where none was. '
    '± one standard error over seeds; of a difference, over tasks.'
)


def write(workdir: pathlib.Path, result: Mapping[str, Any]) -> None:
  """`evaluation.json`, replaced whole."""
  new = workdir / f'{FILE_NAME}.new'
  new.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
  os.replace(new, workdir / FILE_NAME)


# --- The table ---------------------------------------------------------------


def show(
    result: Mapping[str, Any],
    *,
    console: rich.console.Console | None = None,
) -> None:
  """Prints arms, their differences, and every task; unframed in a pipe."""
  console = console or rich.console.Console()
  arms, settings = result['arms'], result['settings']
  budget = f'{settings["attempts"]} attempts'
  if settings['wall_s']:
    budget += f' or {settings["wall_s"]:g} s'
  title = (
      f'{len(settings["tasks"])} held-out tasks, {len(settings["seeds"])} '
      f'seeds, {budget} each'
  )
  _print(console, title, ['arm', *(name for name, _ in SHOWN.values())], [
      [name, *_cells(arm['pooled'], 'se')] for name, arm in arms.items()
  ])
  if result['differences']:
    _print(
        console, 'Paired by task and seed',
        ['difference', *(name for name, _ in SHOWN.values())],
        [[f'{d["to"]} − {d["from"]}', *_cells(d['measures'], 'se_tasks')]
         for d in result['differences']],
    )
  headings = [f'{SHOWN[m][0]} {arm}' for m in PER_TASK for arm in arms]
  _print(console, 'Per task', ['task', *headings], [
      [task, *(
          _cell(arm['tasks'][task][m], 'se', SHOWN[m][1])
          for m in PER_TASK for arm in arms.values()
      )]
      for task in settings['tasks']
  ])
  console.print(rich.text.Text(LEGEND))


def _cells(measures: Mapping[str, Any], error: str) -> list[str]:
  return [
      _cell(measures[name], error, form) for name, (_, form) in SHOWN.items()
  ]


def _cell(value: Mapping[str, Any], error: str, form: str) -> str:
  return with_error(value['mean'], value[error], form=form)


def _print(
    console: rich.console.Console,
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
  view = rich.table.Table(
      title=title, title_justify='left', pad_edge=False,
      box=rich.box.SIMPLE_HEAD if console.is_terminal else None,
  )
  for i, name in enumerate(headings):
    view.add_column(name, justify='right' if i else 'left')
  for row in rows:
    view.add_row(*map(rich.text.Text, row))
  # Figures cut off at the edge are worse than a long line.
  width = console.width
  console.width = max(width, console.measure(view).maximum)
  console.print(view, soft_wrap=False, crop=False)
  console.width = width


# --- Figures -----------------------------------------------------------------


def figures(result: Mapping[str, Any]) -> list[Figure]:
  """Best so far against attempts and against seconds, a line for each arm."""
  arms = result['arms']
  return [
      Figure(
          f'Best so far by {by}',
          'HumanRank of what would be handed in, held-out tasks; the band is '
          'one standard error over seeds',
          tuple(arms) if len(arms) > 1 else (),
          plots.line_chart(
              [_series(name, arm['curves'][by]) for name, arm in arms.items()],
              title=f'Best so far by {by}', y_label='HumanRank', x_label=by,
          ),
      )
      for by in ('attempts', 'seconds')
  ]


def _series(name: str, points: Sequence[Mapping[str, Any]]) -> plots.Series:
  # So few that the chart draws no running mean, which a maximum has no use of.
  every = -(-len(points) // (plots.SMOOTH_FROM - 1))
  kept = [p for p in points[::-1][::every][::-1] if p['mean'] is not None]
  return plots.Series(
      name,
      [(p['x'], p['mean']) for p in kept],
      spread=[p['se'] or 0.0 for p in kept],
  )
