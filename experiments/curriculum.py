"""Does a curriculum of the agent's own traces beat drafts alone?

  ./run.sh setup
  .venv/bin/python -m experiments.curriculum [--seeds=0,1,2] [--quick]

configs/acegrpo_cpu.py against the same without the buffer: the same warm
start, number of updates, samples an update and seeds; what differs is where
problems come from. Both are tried on drafts for held-out tasks, graded on the
report rows. An arm whose record is there already is not run again, and one
that was stopped goes on. Every arm and seed leaves
`experiments/results/curriculum_ARM_seedN.json`; then come a table and, as last
line, one JSON object. `--quick` takes the smoke policy and leaves no record.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import shlex
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from ace_jax.envs.mle import tasks
from ace_jax.evaluate.measures import expected_best
from ace_jax.report import metrics
from experiments.quickstart_seeds import ROOT, _commit, _shown

RESULTS = ROOT / 'experiments' / 'results'
ARMS = {
    'drafts': ('--config.buffer.kind=mixture',),
    'curriculum': (),
}
CONFIG = 'configs/acegrpo_cpu.py'
QUICK = (
    'configs/smoke.py', '--config.buffer.kind=evolving',
    '--config.sampler.max_prompt_tokens=512',
    '--config.imitation.improve_share=0.3',
)
SAMPLES = (1, 8, 32)
# What the warm start leaves, for every arm of a seed the same.
SHARED = ('demonstrations.jsonl', 'checkpoints/imitation', 'attempts.sqlite')
MEASURES = ('human_rank', 'valid_rate', 'distinct',
            *(f'score@{k}' for k in SAMPLES), 'first_valid')


# --- Running -----------------------------------------------------------------


def run(
    arm: str, seed: int, workdir: pathlib.Path, command: Sequence[str]
) -> dict[str, Any]:
  """One arm on one seed, from where it stopped; returns its record."""
  args = [f'--config={command[0]}', *command[1:], *ARMS[arm],
          f'--config.seed={seed}', f'--workdir={_shown(workdir)}']
  shown = shlex.join(['./run.sh', *args])
  print(f'{arm}, seed {seed}: {shown}', flush=True)
  start = time.monotonic()
  if not (workdir / 'results.json').exists():
    subprocess.run(
        [sys.executable, '-P', '-m', 'ace_jax.main', *args],
        check=True, cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)},
    )
  steps = [r for r in metrics.read(workdir) if r['phase'] == 'train']
  return {
      'arm': arm,
      'seed': seed,
      'command': shown,
      'commit': _commit(),
      'wall_s': round(time.monotonic() - start, 1),
      'step_s': [round(r['time/step_s'], 2) for r in steps],
      'versions': json.loads((workdir / 'versions.json').read_text()),
      'trained_on': kinds(workdir),
      'tasks': {p: measures(workdir, p) for p in ('before', 'after')},
  }


def share_warm_start(source: pathlib.Path, target: pathlib.Path) -> None:
  """What comes before the first update, and its evaluation, is done once."""
  if target.exists():
    return
  partial = target.with_suffix('.partial')
  shutil.rmtree(partial, ignore_errors=True)
  for name in SHARED:
    (partial / name).parent.mkdir(parents=True, exist_ok=True)
    copy = shutil.copytree if (source / name).is_dir() else shutil.copy
    copy(source / name, partial / name)
  with sqlite3.connect(partial / 'attempts.sqlite') as db:
    db.execute("DELETE FROM attempts WHERE phase != 'before'")
  partial.rename(target)


# --- Figures -----------------------------------------------------------------


def _rows(workdir: pathlib.Path, what: str) -> list[tuple[Any, ...]]:
  path = (workdir / 'attempts.sqlite').absolute()
  with sqlite3.connect(f'{path.as_uri()}?mode=ro', uri=True) as db:
    return db.execute(f'SELECT {what}').fetchall()


def kinds(workdir: pathlib.Path) -> dict[str, int]:
  """kind → how many attempts of that kind were trained on."""
  return dict(_rows(
      workdir, "kind, count(*) FROM attempts WHERE phase = 'train' GROUP BY 1"))


def measures(workdir: pathlib.Path, phase: str) -> dict[str, dict[str, float]]:
  """held-out task → its measures; attempts lost to our own failures are none.
  """
  config = json.loads((workdir / 'config.json').read_text())
  given = config['env']['held_out_tasks']
  held_out = tasks.expand(given) or tasks.task_names('held_out')
  rows = _rows(
      workdir, 'task, valid, human_rank, program_hash FROM attempts WHERE'
      f" phase = '{phase}' AND reward IS NOT NULL")
  found = {}
  for task in held_out:
    mine = [row[1:] for row in rows if row[0] == task]
    ranks = [rank if valid else 0.0 for valid, rank, _ in mine]
    num_valid = sum(valid for valid, _, _ in mine)
    found[task] = {
        'n': len(mine),
        'human_rank': statistics.mean(ranks),
        'valid_rate': num_valid / len(mine),
        'distinct': len({h for _, _, h in mine if h}),
        **{f'score@{k}': expected_best(ranks, k)
           for k in SAMPLES if k <= len(ranks)},
        # Over all orders of the attempts; with none valid, one past the last.
        'first_valid': (len(mine) + 1) / (num_valid + 1),
    }
  return found


def summary(
    records: Sequence[dict[str, Any]], arm: str, phase: str
) -> dict[str, list[float]]:
  """measure → its mean over tasks, for each seed."""
  sides = [r['tasks'][phase].values() for r in records if r['arm'] == arm]
  return {
      name: [statistics.mean(task[name] for task in side) for side in sides]
      for name in MEASURES if all(name in t for side in sides for t in side)
  }


def with_error(values: Sequence[float]) -> str:
  mean = statistics.mean(values)
  if len(values) < 2:
    return f'{mean:.3f}'
  error = statistics.stdev(values) / math.sqrt(len(values))
  return f'{mean:.3f} ± {error:.3f}'


def markdown(records: Sequence[dict[str, Any]]) -> str:
  """Means over seeds ± standard error; the last row pairs seeds."""
  sides = {
      'warm start': summary(records, 'drafts', 'before'),
      **{arm: summary(records, arm, 'after') for arm in ARMS},
  }
  names = list(sides['drafts'])
  sides['difference'] = {
      name: [b - a for a, b in zip(
          sides['drafts'][name], sides['curriculum'][name], strict=True)]
      for name in names
  }
  lines = [f'| arm | {" | ".join(names)} |', '|---' * (len(names) + 1) + '|']
  for arm, side in sides.items():
    cells = [with_error(side[name]) for name in names]
    lines.append(f'| {arm} | {" | ".join(cells)} |')
  return '\n'.join(lines)


def main() -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--seeds', default='0,1,2')
  parser.add_argument('--workdirs', type=pathlib.Path,
                      default=ROOT / 'workdirs')
  parser.add_argument('--quick', action='store_true')
  args = parser.parse_args()
  command, seeds = (CONFIG,), list(map(int, args.seeds.split(',')))
  if args.quick:
    command, seeds = QUICK, seeds[:1]
    args.workdirs = pathlib.Path(tempfile.mkdtemp(prefix='curriculum-'))
  records = []
  for seed in seeds:
    dirs = {a: args.workdirs.absolute() / f'{a}-seed{seed}' for a in ARMS}
    for arm, workdir in dirs.items():
      path = RESULTS / f'curriculum_{arm}_seed{seed}.json'
      if args.quick or not path.exists():
        if arm != 'drafts':
          share_warm_start(dirs['drafts'], workdir)
        records.append(run(arm, seed, workdir, command))
        if not args.quick:
          path.write_text(json.dumps(records[-1], indent=1) + '\n')
      else:
        records.append(json.loads(path.read_text()))
  print(f'\n{markdown(records)}\n')
  print(json.dumps({
      'seeds': seeds,
      'trained_on': {a: [r['trained_on'] for r in records if r['arm'] == a]
                     for a in ARMS},
      'before': summary(records, 'drafts', 'before'),
      **{arm: summary(records, arm, 'after') for arm in ARMS},
  }))
  if args.quick:
    shutil.rmtree(args.workdirs)


if __name__ == '__main__':
  main()
