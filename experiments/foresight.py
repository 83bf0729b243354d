"""Does a predicted potential foretell what a Problem's first visit shows?

  .venv/bin/python -m experiments.foresight --workdir=DIR [--quick]

Takes the policy that a run's reinforcement learning started from, draws
Problems from an evolving buffer, uniformly over tasks and then Problems (a
sampler's own draws have nearly one potential, and no rank to compare), and
notes for each that was never seen: what the buffer predicts, then the spread
of the rewards in its group. Prints Spearman's rank correlation with a 95 %
interval over tasks drawn with replacement, the same within tasks, and as last
line one JSON object; the visits stay beside the workdir's other files.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Callable, Sequence

import jax
import numpy as np
from scipy import stats

from ace_jax import modes, recipe, records
from ace_jax.agent import Agent
from ace_jax.buffer import draws, evolving
from ace_jax.envs import lineage
from ace_jax.report.progress import Progress
from ace_jax.types import Attempt, Problem
from configs import default

PREDICTED = ('potential', 'spread')


def visit(
    workdir: pathlib.Path, *, rounds: int, num_groups: int, group_size: int
) -> list[dict]:
  """First visits, in the order in which they were made."""
  config = default.get_config()
  records.load_config(workdir, config)
  with config.unlocked():
    config.buffer.potential = 'uniform'
    config.env.instrumenter = 'tree'
  spec = recipe.buffer_spec(config)
  found, seen = [], set()
  with Progress(rounds) as progress, Agent(config, note=progress.note) as agent:
    modes.load_policy(agent, workdir, progress, phases=('imitation',))
    buffer = evolving.init(agent.env.train_tasks, spec)

    def child_fn(attempt: Attempt) -> Problem | None:
      child = lineage.child(attempt)
      return child if child and agent.collector.fits(child) else None

    rng = jax.random.fold_in(jax.random.key(config.seed), 4)
    progress.phase('first visits', rounds)
    for number in range(rounds):
      problems = draws.sample(
          buffer, spec, np.random.default_rng((config.seed, number)), num_groups
      )
      predicted = [evolving.foresee(buffer, p) for p in problems]
      agent.collector.launch(
          problems, jax.random.fold_in(rng, number), prefix=f'f{number}',
          num_samples=group_size,
      )
      groups = agent.collector.take()
      for problem, guess, group in zip(
          problems, predicted, groups, strict=True
      ):
        ranks = [a.grade.human_rank if a.grade.valid else 0.0
                 for a in group.attempts if a.reward is not None]
        is_first = problem.key not in seen
        seen.add(problem.key)
        if is_first and len(ranks) > 1:
          found.append({
              'problem': problem.key, 'task': problem.task,
              'kind': problem.kind, **guess,
              'found_spread': float(np.std(ranks)),
              'found_mean': float(np.mean(ranks)),
          })
      buffer = evolving.insert(buffer, spec, groups, child_fn=child_fn)
      buffer = evolving.refresh(buffer, spec, version=buffer.version)
      progress.update(number + 1, {})
  return found


def correlation(visits: Sequence[dict], name: str) -> float:
  """Spearman's rho of what was predicted and the spread that was found."""
  x, y = ([v[key] for v in visits] for key in (name, 'found_spread'))
  if len(set(x)) < 2 or len(set(y)) < 2:
    return 0.0
  return float(stats.spearmanr(x, y).statistic)


def interval(
    visits: Sequence[dict], statistic: Callable[[Sequence[dict]], float],
    *, repeats: int = 2000,
) -> tuple[float, float]:
  """95 %, over tasks drawn with replacement."""
  by_task: dict[str, list[dict]] = {}
  for v in visits:
    by_task.setdefault(v['task'], []).append(v)
  groups, rng = list(by_task.values()), np.random.default_rng(0)
  drawn = [
      statistic([v for i in rng.integers(len(groups), size=len(groups))
                 for v in groups[i]])
      for _ in range(repeats)
  ]
  return tuple(float(q) for q in np.quantile(drawn, (0.025, 0.975)))


def within_tasks(visits: Sequence[dict], name: str) -> float:
  """The same on ranks from which each task's mean rank is taken off."""
  tasks = np.array([v['task'] for v in visits])
  sides = []
  for key in (name, 'found_spread'):
    rank = stats.rankdata([v[key] for v in visits])
    for task in set(tasks):
      rank[tasks == task] -= rank[tasks == task].mean()
    sides.append(rank)
  if not all(side.any() for side in sides):
    return 0.0
  return float(np.corrcoef(*sides)[0, 1])


def main() -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--workdir', type=pathlib.Path, required=True)
  parser.add_argument('--rounds', type=int, default=12)
  parser.add_argument('--num_groups', type=int, default=8)
  parser.add_argument('--group_size', type=int, default=8)
  parser.add_argument('--quick', action='store_true', help='two rounds')
  args = parser.parse_args()
  visits = visit(
      args.workdir.absolute(), rounds=2 if args.quick else args.rounds,
      num_groups=args.num_groups, group_size=args.group_size,
  )
  path = args.workdir / 'foresight.jsonl'
  path.write_text(''.join(json.dumps(v) + '\n' for v in visits))
  out = {'visits': len(visits), 'tasks': len({v['task'] for v in visits})}
  for name in PREDICTED:
    def rho(some: Sequence[dict], name: str = name) -> float:
      return correlation(some, name)

    low, high = interval(visits, rho)
    out[name] = {'rho': rho(visits), 'low': low, 'high': high,
                 'within_tasks': within_tasks(visits, name)}
    print(f'{name}: rho {rho(visits):.3f} [{low:.3f}, {high:.3f}], within '
          f'tasks {out[name]["within_tasks"]:.3f}, {len(visits)} first visits')
  print(json.dumps(out))


if __name__ == '__main__':
  main()
