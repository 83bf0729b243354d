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
# Measure → label and format, in the order in which they are shown.
SHOWN = {
    'valid_rate': ('valid attempts', '{:.3f}'),
    'valid_submission': ('valid submission', '{:.3f}'),
    'any_medal': ('any medal', '{:.3f}'),
    'above_median': ('above median', '{:.3f}'),
    'official_any_medal': ('any medal, all rows', '{:.3f}'),
    'official_above_median': ('above median, all rows', '{:.3f}'),
    'human_rank': ('HumanRank, selected', '{:.3f}'),
    'oracle_human_rank': ('HumanRank, oracle', '{:.3f}'),
    'mean_human_rank': ('HumanRank, mean', '{:.3f}'),
    'score@1': ('score@1', '{:.3f}'),
    'score@8': ('score@8', '{:.3f}'),
    'score@32': ('score@32', '{:.3f}'),
    'distinct_programs': ('distinct programs', '{:.2f}'),
    'first_valid': ('attempts to the first valid', '{:.2f}'),
    'improve_share': ('improve attempts', '{:.3f}'),
    'debug_share': ('debug attempts', '{:.3f}'),
    'seconds': ('seconds', '{:.1f}'),
}
PER_TASK = ('valid_rate', 'human_rank')
LEGEND = (
    'From valid submission to HumanRank, selected: of the attempt that did '
    'best on the rows that the search sees, graded on rows that it never saw '
    '(or on all rows, as MLE-bench does). oracle: the best by those unseen '
    'rows; mean: of all attempts, 0 where invalid. score@k: HumanRank of the '
    'best of k attempts. attempts to the first valid: the whole budget where '
    'none was. ± one standard error: over seeds, of a difference over tasks.'
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
  title = (
      f'Tasks: {len(settings["tasks"])}, seeds: {len(settings["seeds"])}, '
      f'attempts of each: {settings["attempts"]}'
  )
  if settings['wall_s']:
    title += f', none begun after {settings["wall_s"]:g} s'
  _print(console, title, ['', *arms], [
      [label, *(_cell(arm['pooled'][name], 'se', form)
                for arm in arms.values())]
      for name, (label, form) in SHOWN.items()
  ])
  if differences := result['differences']:
    _print(
        console, 'Differences, paired by task and seed',
        ['', *(f'{d["to"]}\n− {d["from"]}' for d in differences)],
        [[label, *(_cell(d['measures'][name], 'se_tasks', form)
                   for d in differences)]
         for name, (label, form) in SHOWN.items()],
    )
  for name in PER_TASK:
    label, form = SHOWN[name]
    _print(console, f'Per task: {label}', ['task', *arms], [
        [task, *(_cell(arm['tasks'][task][name], 'se', form)
                 for arm in arms.values())]
        for task in settings['tasks']
    ])
  console.print(rich.text.Text(LEGEND))


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
    view.add_column(name, justify='right' if i else 'left', no_wrap=True)
  for row in rows:
    view.add_row(*map(rich.text.Text, row))
  # Figures cut off at the edge are worse than a long line.
  width, console.width = console.width, max(console.width, 500)
  console.print(view, soft_wrap=False, crop=False)
  console.width = width


# --- Figures -----------------------------------------------------------------


def figures(result: Mapping[str, Any]) -> list[Figure]:
  """Best so far against attempts and against seconds, a line for each arm."""
  arms = result['arms']
  return [
      Figure(
          f'Best so far by {by}',
          'HumanRank of what would be handed in; the band is one standard '
          'error over seeds',
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
