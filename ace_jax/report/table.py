"""The final table: before RL against after RL, per task and pooled.

Standard errors are s/√n over samples, s with n − 1 degrees of freedom. Pooled
rows take all samples of a split alike, so the spread between its tasks is in
their error: it is conservative for a change on the same tasks. Scores have
the unit of their task and are not pooled.
"""

from __future__ import annotations

import csv
import json
import math
import os
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from ace_jax import types

PHASES = ('before', 'after')
SPLITS = ('held_out', 'train')
POOLED = 'all tasks'
# What is needed of a ledger's rows.
COLUMNS = ('phase', 'task', 'program_hash', 'status', 'valid', 'score',
           'medal', 'above_median', 'human_rank', 'reward')


def comparison(
    rows: Iterable[Mapping[str, Any]], tasks: Sequence[types.Task]
) -> list[dict[str, Any]]:
  """Rows of the ledger → rows of the table, made of JSON types.

  Args:
    rows: mappings with COLUMNS; phases other than PHASES are left out.
    tasks: those that the rows name (more do no harm).

  Returns:
    Per split first the pooled row, then one per task: `split`, `task`,
    `pooled`, `metric`, `lower_is_better`, and under `before` and `after` the
    dict of `_side` (None where nothing was sampled yet), under `change` their
    differences.

  Raises:
    ValueError: a row names an unknown task.
  """
  known = {task.name: task for task in tasks}
  samples: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
  for row in rows:
    if row['phase'] in PHASES:
      if row['task'] not in known:
        raise ValueError(f'task {row["task"]!r} is none of {sorted(known)}')
      samples.setdefault((row['task'], row['phase']), []).append(row)
  table = []
  for split in SPLITS:
    names = sorted({name for name, _ in samples if known[name].split == split})
    for name in ([POOLED] if names else []) + names:
      pooled = name == POOLED
      task = None if pooled else known[name]
      sides = {
          phase: _side(
              [row for member in (names if pooled else [name])
               for row in samples.get((member, phase), ())],
              None if pooled else task.lower_is_better)
          for phase in PHASES}
      table.append({
          'split': split, 'task': name, 'pooled': pooled,
          'metric': None if pooled else task.metric,
          'lower_is_better': None if pooled else task.lower_is_better,
          **sides, 'change': _change(*sides.values())})
  return table


def _side(
    rows: Sequence[Mapping[str, Any]], lower_is_better: bool | None
) -> dict[str, Any] | None:
  """The figures of one phase; `lower_is_better` None: scores do not mix.

  Samples that our own machinery failed are counted apart: they say nothing
  about the policy. A sample that is not valid has HumanRank 0.
  """
  if not rows:
    return None
  infra = types.Status.INFRA_ERROR.value
  rows, total = [r for r in rows if r['status'] != infra], len(rows)
  valid = [row for row in rows if row['valid']]
  scores = [] if lower_is_better is None else [row['score'] for row in valid]
  best = min if lower_is_better else max
  programs = {row['program_hash'] for row in rows} - {None}
  return {
      'n': len(rows),
      'infra_errors': total - len(rows),
      'num_valid': len(valid),
      **_mean('valid_rate', [float(row['valid']) for row in rows]),
      **_mean('human_rank', [row['human_rank'] if row['valid'] else 0.0
                             for row in rows]),
      **_mean('human_rank_valid', [row['human_rank'] for row in valid]),
      **_mean('score', scores),
      'score_best': best(scores) if scores else None,
      'medal_rate': sum(bool(r['medal']) for r in rows) / max(len(rows), 1),
      'above_median_rate':
          sum(bool(r['above_median']) for r in rows) / max(len(rows), 1),
      'distinct_programs': len(programs),
  }


def _mean(name: str, values: Sequence[float]) -> dict[str, float | None]:
  n = len(values)
  return {
      name: statistics.fmean(values) if n else None,
      f'{name}_se': statistics.stdev(values) / math.sqrt(n) if n > 1 else None,
  }


def _change(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> dict[str, float | None] | None:
  if before is None or after is None:
    return None
  change = {}
  for name in ('valid_rate', 'human_rank', 'human_rank_valid', 'score'):
    pair = before[name], after[name]
    errors = before[f'{name}_se'], after[f'{name}_se']
    change[name] = None if None in pair else pair[1] - pair[0]
    change[f'{name}_se'] = None if None in errors else math.hypot(*errors)
  change['distinct_programs'] = (
      after['distinct_programs'] - before['distinct_programs'])
  return change


def write(
    workdir: str | pathlib.Path, table: Sequence[Mapping[str, Any]]
) -> None:
  """`results.json` (under `comparison`) and `results.csv`, each replaced whole.

  The CSV has a line per row and columns such as `before_valid_rate_se`.
  """
  workdir = pathlib.Path(workdir)
  _replace(workdir / 'results.json',
           json.dumps({'comparison': list(table)}, indent=2) + '\n')
  flat = [_flat(row) for row in table]
  new = workdir / 'results.csv.new'
  with new.open('w', encoding='utf-8', newline='') as f:
    names = dict.fromkeys(name for row in flat for name in row)
    writer = csv.DictWriter(f, names, lineterminator='\n')
    writer.writeheader()
    writer.writerows(flat)
  os.replace(new, workdir / 'results.csv')


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
  flat = {}
  for name, value in row.items():
    if isinstance(value, Mapping):
      flat |= {f'{name}_{inner}': v for inner, v in value.items()}
    elif name not in (*PHASES, 'change'):
      flat[name] = value
  return flat


def _replace(path: pathlib.Path, text: str) -> None:
  new = path.with_name(path.name + '.new')
  new.write_text(text, encoding='utf-8')
  os.replace(new, path)


def show(
    table: Sequence[Mapping[str, Any]],
    *,
    console: rich.console.Console | None = None,
) -> None:
  """Prints the table, two lines per task; without a terminal unframed."""
  console = console or rich.console.Console()
  for split in SPLITS:
    rows = [row for row in table if row['split'] == split]
    if not rows:
      continue
    title = {'held_out': 'Held-out tasks', 'train': 'Training tasks'}[split]
    view = rich.table.Table(
        title=f'{title}: before RL / after RL', title_justify='left',
        box=rich.box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False, collapse_padding=True)
    view.add_column('task', no_wrap=True)
    view.add_column('RL', no_wrap=True)
    for name in ('n', 'valid', 'HumanRank', 'if valid', 'mean score', 'best',
                 'distinct'):
      view.add_column(name, justify='right', no_wrap=True)
    for row in rows:
      for phase in PHASES:
        view.add_row(*map(rich.text.Text, _cells(row, phase)),
                     style='bold' if row['pooled'] else None,
                     end_section=phase == 'after')
    # Figures cut off at the edge are worse than a long line.
    width, console.width = console.width, max(console.width, 110)
    console.print(view, soft_wrap=False, crop=False)
    console.width = width


def _cells(row: Mapping[str, Any], phase: str) -> list[str]:
  if phase == 'before':
    first = row['task']
  elif row['pooled']:
    first = ''
  else:
    first = f'  {row["metric"]} {"↓" if row["lower_is_better"] else "↑"}'
  side = row[phase]
  if side is None:
    return [first, phase, '–', *[''] * 6]
  return [
      first, phase, str(side['n']),
      with_error(side['valid_rate'], side['valid_rate_se']),
      with_error(side['human_rank'], side['human_rank_se']),
      with_error(side['human_rank_valid'], side['human_rank_valid_se']),
      with_error(side['score'], side['score_se'], form='{:.4g}'),
      '–' if side['score_best'] is None else f'{side["score_best"]:.5g}',
      str(side['distinct_programs']),
  ]


def with_error(
    mean: float | None, error: float | None, *, form: str = '{:.3f}'
) -> str:
  """0.250±0.031; – for no value."""
  if mean is None:
    return '–'
  if error is None:
    return form.format(mean)
  return f'{form.format(mean)}±{form.replace("4g", "2g").format(error)}'
