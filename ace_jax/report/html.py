"""`report.html`: a run on one page that needs nothing but itself.

The page has no scripts and loads nothing: its policy (`default-src 'none'`)
allows one style sheet, by its hash. Whatever a model wrote, a program printed
or a task is called enters through the template's escaping, control characters
made visible. It can be written at any time of a run; what is not there yet is
said to be missing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from ace_jax.buffer import ledger as ledger_lib
from ace_jax.report import charts, evaluation, metrics, plots, source, table

HERE = pathlib.Path(__file__).parent
MAX_VALUE_ROWS = 100
NUM_PROGRAMS = 12  # where the run has no config.json to say it
# A sample says more the later it was taken.
SAMPLED_FROM = ('after', 'train', 'before', 'imitation')
LIGHT_COLUMNS = ('phase', 'step', 'key', 'task', 'status', 'valid',
                 'human_rank', 'program_hash', 'duration_s', 'recorded_s')


def write_report(workdir: str | pathlib.Path) -> pathlib.Path:
  """Writes `report.html` from what lies in `workdir`; returns its path.

  Raises:
    FileNotFoundError: there is no such directory.
    OSError: it cannot be written to.
  """
  workdir = pathlib.Path(workdir)
  if not workdir.is_dir():
    raise FileNotFoundError(f'no workdir {workdir}')
  page = render(workdir).encode(errors='replace')
  path, new = workdir / 'report.html', workdir / 'report.html.new'
  new.write_bytes(page)
  os.replace(new, path)
  return path


def render(workdir: pathlib.Path) -> str:
  """The page. Raises no error for missing or unreadable files of the run."""
  missing: list[str] = []

  def load(name: str, read: Callable[[pathlib.Path], Any], default: Any) -> Any:
    try:
      return read(workdir / name)
    except FileNotFoundError:
      missing.append(f'{name}: not there yet')
    except (OSError, ValueError, sqlite3.Error) as error:
      missing.append(f'{name}: cannot be read ({error})')
    return default

  config = load('config.json', _json, {})
  versions = load('versions.json', _json, {})
  rows = load(metrics.FILE_NAME, _metrics, [])
  results = load('results.json', _json, {}).get('comparison', [])
  count = config.get('report', {}).get('num_programs', NUM_PROGRAMS)
  attempts, samples = load(
      'attempts.sqlite', lambda path: _attempts(path, count), ([], []))
  training = [row for row in attempts if row['phase'] == 'train']
  figures = charts.draw(rows)
  if outcomes := charts.draw_outcomes(training):
    figures = {'Learning': []} | figures
    figures['Learning'].append(outcomes)
  if (workdir / evaluation.FILE_NAME).exists():  # most runs have none
    found = load(evaluation.FILE_NAME, _json, {})
    if found:
      figures = {'Evaluation': evaluation.figures(found)} | figures
  style = (HERE / 'report.css').read_text(encoding='utf-8')
  digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
  return _template().render(
      title=config.get('name') or workdir.resolve().name,
      style=Markup(style),  # ours; its hash is what the policy allows
      style_hash=digest,
      status=_status(config, rows, results),
      facts=_facts(config, rows, attempts),
      headline=_headline(results),
      results=results,
      splits={'held_out': 'Held-out tasks', 'train': 'Training tasks'},
      dumbbells=_dumbbells(results),
      groups=figures,
      values=_values(rows),
      samples=samples,
      config=_flatten(config),
      versions=_flatten(versions),
      missing=missing,
      written=time.strftime('%Y-%m-%d %H:%M %Z'),
  )


def _template() -> jinja2.Template:
  env = jinja2.Environment(
      autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
      lstrip_blocks=True, loader=jinja2.FileSystemLoader(HERE),
      finalize=lambda x: x if isinstance(x, Markup) else source.visible(x))
  env.filters |= {
      'number': plots.number,
      'percent': lambda x: '–' if x is None else f'{100 * x:.0f}\u202f%',
      'rate': lambda x: '–' if x is None else f'{x:.3f}',
      'python': source.highlight,
  }
  return env.get_template('report.html.j2')


def _json(path: pathlib.Path) -> dict[str, Any]:
  value = json.loads(path.read_text(encoding='utf-8'))
  if not isinstance(value, dict):
    raise ValueError('not a JSON object')
  return value


def _metrics(path: pathlib.Path) -> list[dict[str, Any]]:
  if not path.exists():
    raise FileNotFoundError(path)
  return metrics.read(path.parent)


def _attempts(path: pathlib.Path, count: int) -> tuple[list, list]:
  """Every row without its texts, and `count` samples with them."""
  if not path.exists():
    raise FileNotFoundError(path)
  with ledger_lib.Ledger(path, read_only=True) as ledger:
    rows = list(ledger.attempts(columns=LIGHT_COLUMNS))
    samples = [ledger.attempt(row['phase'], row['key'])
               for row in choose(rows, count)]
  return rows, samples


def choose(
    rows: Iterable[Mapping[str, Any]], count: int
) -> list[Mapping[str, Any]]:
  """Samples worth reading, from the latest phase: the best of each task, then
  one of each way to fail, then other programs; never the same program twice.
  """
  rows = list(rows)
  phases = {row['phase'] for row in rows}
  phase = next((p for p in SAMPLED_FROM if p in phases), None)
  rows = [row for row in rows if row['phase'] == phase]
  ranked = sorted(rows, key=lambda row: -row['human_rank'])  # stable
  best = _first_of(
      [r for r in ranked if r['valid']], lambda row: row['task'])
  failed = _first_of([row for row in rows if not row['valid']], charts.outcome)
  # Failures get a third of the room, if there are that many.
  room = count - min(len(failed), count // 3)
  picked = best[:room] + failed[:count - min(len(best), room)]
  seen = {(row['task'], row['program_hash']) for row in picked}
  for row in ranked:
    if len(picked) >= count:
      break
    program = row['task'], row['program_hash']
    if row['program_hash'] and program not in seen:
      seen.add(program)
      picked.append(row)
  return picked[:count]


def _first_of(rows: Sequence[Any], key: Callable[[Any], Any]) -> list[Any]:
  first: dict[Any, Any] = {}
  for row in rows:
    first.setdefault(key(row), row)
  return list(first.values())


def _status(config, rows, results) -> str:
  steps = [row['step'] for row in rows if row.get('phase') == 'train']
  total = config.get('num_steps')
  if results and all(row['after'] for row in results):
    return 'finished'
  if not steps:
    where = 'warm start' if rows else 'no step yet'
  else:
    where = f'{max(steps) + 1} RL steps' + (f' of {total}' if total else '')
  return f'unfinished: {where}'


def _facts(config, rows, attempts) -> list[tuple[str, str]]:
  """What a run was, in a line."""
  training = [row for row in rows if row.get('phase') == 'train']
  ran = [row for row in attempts if row['status'] is not None]
  model = config.get('model', {})
  facts = [
      ('Policy', model.get('source')),
      ('Algorithm', config.get('learner', {}).get('algorithm')),
      ('Reward', config.get('env', {}).get('reward')),
      ('Seed', config.get('seed')),
      ('RL steps', len(training) or None),
      ('Programs run', f'{len(ran):,}' if ran else None),
      ('RL time', f'{sum(r.get("time/step_s", 0) for r in training) / 60:.1f}'
       ' min' if training else None)]
  return [(name, str(value)) for name, value in facts if value is not None]


def _headline(results) -> list[dict[str, Any]]:
  """The pooled figures that matter most, held-out tasks first."""
  names = {'held_out': 'held-out tasks', 'train': 'training tasks'}
  cards = []
  for row in results:
    if not row['pooled']:
      continue
    for key, label, form in (('human_rank', 'HumanRank', 'rate'),
                             ('valid_rate', 'Valid programs', 'percent')):
      sides = [row[phase] or {} for phase in table.PHASES]
      cards.append({
          'label': label, 'where': names[row['split']], 'form': form,
          'before': sides[0].get(key), 'after': sides[1].get(key),
          'change': (row['change'] or {}).get(key),
          'error': (row['change'] or {}).get(f'{key}_se')})
  return cards


def _values(rows) -> list[dict[str, Any]]:
  """The curves as tables, for who cannot see them; long runs thinned."""
  tables = []
  for phase in dict.fromkeys(row['phase'] for row in rows):
    steps = [row for row in rows if row['phase'] == phase]
    every = -(-len(steps) // MAX_VALUE_ROWS)
    keys = dict.fromkeys(key for row in steps for key in row if '/' in key)
    tables.append({
        'phase': phase, 'every': every, 'keys': sorted(keys),
        'rows': steps[::every]})
  return tables


def _dumbbells(results) -> list[charts.Figure]:
  figures = []
  for split, where in (('held_out', 'held out'), ('train', 'training')):
    rows = [row for row in results if row['split'] == split]
    for key, label in (('human_rank', 'HumanRank'),
                       ('valid_rate', 'Share of valid programs')):
      if rows:
        drawn = [(row['task'], *((side[key], side[f'{key}_se']) if side
                                 else (None, None)
                                 for side in (row['before'], row['after'])))
                 for row in rows]
        figures.append(charts.Figure(f'{label}, {where}', '', (),
                                     plots.dumbbells(drawn, title=label)))
  return figures


def _flatten(tree: Any, path: str = '') -> list[tuple[str, str]]:
  if isinstance(tree, Mapping) and tree:
    return [pair for key, value in tree.items()
            for pair in _flatten(value, f'{path}.{key}' if path else str(key))]
  text = tree if isinstance(tree, str) else json.dumps(tree)
  return [(path, text)] if path else []
