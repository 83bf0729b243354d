"""The quickstart on several seeds: the figures in README.md.

  ./run.sh setup
  .venv/bin/python -m experiments.quickstart_seeds [--seeds=0,1,2]

Each seed is a run of its own, with the command that a user would give, on two
cores. A seed whose results are there already is not run again, and one that
was stopped goes on. Every seed leaves `experiments/results/quickstart_seedN
.json`; then come the table for the README, what it should show, and as last
line one JSON object. The exit code is 1 if a criterion is not met.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import shlex
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'experiments' / 'results'
CORES = 2
MIN_SAMPLES = 64  # a side, held-out tasks together
MAX_WALL_S = 720.0
PHASES = ('before', 'after')
MEANS = ('valid_rate', 'human_rank', 'human_rank_valid')


def overrides(seed: int) -> list[str]:
  """What makes one run of the experiment differ from the next."""
  return [f'--config.seed={seed}']


# --- Running -----------------------------------------------------------------


def run_seed(seed: int, workdir: pathlib.Path) -> dict[str, Any]:
  """One run, or what an earlier one left; returns its record."""
  record = RESULTS / f'quickstart_seed{seed}.json'
  if record.exists():
    print(f'seed {seed}: {record.relative_to(ROOT)} is there', flush=True)
    return json.loads(record.read_text())
  shown = ['./run.sh', *overrides(seed), f'--workdir={_shown(workdir)}']
  print(f'seed {seed}: {shlex.join(shown)}', flush=True)
  is_fresh = not workdir.exists()
  start = time.monotonic()
  if not (workdir / 'results.json').exists():
    subprocess.run(
        [sys.executable, '-P', '-m', 'ace_jax.main',
         '--config=configs/quickstart.py', *shown[1:]],
        check=True, cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)},
    )
  wall_s = time.monotonic() - start
  table = json.loads((workdir / 'results.json').read_text())['comparison']
  result = {
      'seed': seed,
      'command': shlex.join(shown),
      'commit': _commit(),
      'cores': len(os.sched_getaffinity(0)),
      # Of an interrupted run nobody knows what it would have taken.
      'wall_s': round(wall_s, 1) if is_fresh else None,
      'versions': json.loads((workdir / 'versions.json').read_text()),
      'singletons': singletons(workdir, table),
      'comparison': table,
  }
  RESULTS.mkdir(exist_ok=True)
  record.write_text(json.dumps(result, indent=1) + '\n')
  return result


def singletons(
    workdir: pathlib.Path, table: Sequence[dict[str, Any]]
) -> dict[str, int]:
  """phase → how many held-out programs were written exactly once."""
  tasks = {r['task'] for r in held_out(table)}
  path = (workdir / 'attempts.sqlite').absolute()
  with sqlite3.connect(f'{path.as_uri()}?mode=ro', uri=True) as db:
    rows = db.execute(
        'SELECT phase, task, program_hash FROM attempts WHERE program_hash'
        " IS NOT NULL AND (status IS NULL OR status != 'infra_error')"
    ).fetchall()
  return {
      phase: sum(
          n == 1 for n in Counter(
              h for p, t, h in rows if p == phase and t in tasks
          ).values()
      )
      for phase in PHASES
  }


def _shown(path: pathlib.Path) -> str:
  return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _commit() -> str:
  def git(*args: str) -> str:
    done = subprocess.run(
        ['git', *args], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()

  # What this script writes itself does not make another program of it.
  dirty = git('status', '--porcelain', '--untracked-files=no', '--', '.',
              ':!experiments/results')
  return git('rev-parse', '--short', 'HEAD') + ('+changes' if dirty else '')


# --- Figures -----------------------------------------------------------------


def held_out(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """The table's rows of single held-out tasks."""
  return [r for r in table if r['split'] == 'held_out' and not r['pooled']]


def side(result: dict[str, Any], phase: str) -> dict[str, Any]:
  """One seed's figures over all held-out tasks, `before` or `after`."""
  (row,) = [
      r for r in result['comparison']
      if r['split'] == 'held_out' and r['pooled']
  ]
  return row[phase] | {
      'distinct_programs_se': distinct_error(
          row[phase]['n'], result['singletons'][phase]
      )
  }


def distinct_error(n: int, num_singletons: int) -> float:
  """Standard error of the number of distinct programs in n samples.

  The jackknife: without sample i there is one program fewer if nobody else
  wrote it, else as many.
  """
  share = num_singletons / n
  return math.sqrt((n - 1) * share * (1 - share))


def pool(sides: Sequence[dict[str, Any]]) -> dict[str, Any]:
  """All samples of several seeds as one: means with errors, counts summed."""
  out = {'n': sum(s['n'] for s in sides)}
  for name in MEANS:
    count = 'num_valid' if name == 'human_rank_valid' else 'n'
    parts = [
        (s[count], s[name], (s[f'{name}_se'] or 0.0) ** 2 * s[count])
        for s in sides if s[count]
    ]
    total = sum(n for n, _, _ in parts)
    mean = sum(n * m for n, m, _ in parts) / total
    squares = sum((n - 1) * v + n * (m - mean) ** 2 for n, m, v in parts)
    out[name] = mean
    out[f'{name}_se'] = math.sqrt(squares / (total - 1) / total)
  out['distinct_programs'] = sum(s['distinct_programs'] for s in sides)
  out['distinct_programs_se'] = math.hypot(
      *(s['distinct_programs_se'] for s in sides)
  )
  return out


def criteria(
    results: Sequence[dict[str, Any]],
    pooled: dict[str, dict[str, Any]],
) -> dict[str, bool]:
  """What the quickstart promises, each with whether it was so."""
  seeds = [{p: side(r, p) for p in PHASES} for r in results]

  def change(sides, name) -> float:
    return sides['after'][name] - sides['before'][name]

  def error(name) -> float:
    return math.hypot(*(pooled[p][f'{name}_se'] for p in PHASES))

  checks = {
      f'at least {MIN_SAMPLES} samples a side on each seed': all(
          s[p]['n'] >= MIN_SAMPLES for s in seeds for p in PHASES
      ),
      f'each seed took at most {MAX_WALL_S / 60:.0f} minutes': all(
          r['wall_s'] is not None and r['wall_s'] <= MAX_WALL_S
          for r in results
      ),
  }
  for name in ('valid_rate', 'human_rank'):
    checks[f'{name} rises on each seed'] = all(
        change(s, name) > 0 for s in seeds
    )
    checks[f'{name} rises by at least 2 standard errors, pooled'] = (
        change(pooled, name) >= 2 * error(name)
    )
  for name in ('human_rank_valid', 'distinct_programs'):
    checks[f'{name} falls by at most 1 standard error, pooled'] = (
        change(pooled, name) >= -error(name)
    )
  return checks


def markdown(
    results: Sequence[dict[str, Any]], pooled: dict[str, dict[str, Any]]
) -> str:
  """The README's table; each cell is before → after."""
  lines = [
      '| seed | samples a side | valid rate | HumanRank | HumanRank if valid '
      '| distinct programs | wall |',
      '|---|---|---|---|---|---|---|',
  ]
  rows = [
      (str(r['seed']), {p: side(r, p) for p in PHASES}, r['wall_s'])
      for r in results
  ]
  for name, sides, wall_s in [*rows, ('all', pooled, None)]:
    cells = [
        ' → '.join(_mean(sides[p], k) for p in PHASES) for k in MEANS
    ]
    cells.append(' → '.join(
        f'{sides[p]["distinct_programs"]} ± '
        f'{sides[p]["distinct_programs_se"]:.1f}' for p in PHASES
    ))
    wall = '' if wall_s is None else f'{wall_s:.0f} s'
    samples = ' → '.join(dict.fromkeys(str(sides[p]['n']) for p in PHASES))
    lines.append(f'| {name} | {samples} | {" | ".join(cells)} | {wall} |')
  return '\n'.join(lines)


def _mean(one_side: dict[str, Any], name: str) -> str:
  if one_side[name] is None:  # of no valid program
    return '–'
  return f'{one_side[name]:.3f} ± {one_side[f"{name}_se"] or 0.0:.3f}'


def main() -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--seeds', default='0,1,2')
  parser.add_argument('--workdirs', type=pathlib.Path,
                      default=ROOT / 'workdirs')
  args = parser.parse_args()
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  results = [
      run_seed(seed, args.workdirs.absolute() / f'quickstart-seed{seed}')
      for seed in map(int, args.seeds.split(','))
  ]
  pooled = {p: pool([side(r, p) for r in results]) for p in PHASES}
  checks = criteria(results, pooled)
  print(f'\n{markdown(results, pooled)}\n')
  for text, is_met in checks.items():
    print(f'{"pass" if is_met else "FAIL"}  {text}')
  print(json.dumps({
      'seeds': [r['seed'] for r in results],
      'wall_s': [r['wall_s'] for r in results],
      'pooled': pooled,
      'criteria': checks,
  }))
  return 0 if all(checks.values()) else 1


if __name__ == '__main__':
  sys.exit(main())
