"""The evolving data buffer: the agent's own traces become Problems.

After AceGRPO (arXiv 2602.07906), whose schema, formulas and eviction are not
public; what is ours is told in core/learnability.py and here:

1. A finished Attempt becomes an improve or a debug Problem (envs/lineage.py),
   unless a program with the same normalised syntax tree is there already.
2. Rewards are HumanRanks, 0 of a failure, whatever the loss is paid in.
3. What was never drawn is predicted from its task and cell (cells.py).
4. Draws are ∝ potential^(1/τ), mixed with ε uniform over tasks and then
   Problems, so that no task starves.
5. At a task's capacity what has the least potential goes; its draft and its
   best Attempt's Problem stay. At most `lineage_share` of the buffer descends
   from one root.
6. Sums decay with every policy version.
7. What an attempt costs is counted in tokens by default, not by a clock: with
   seconds no resumed run would draw what an uninterrupted one does.

Everything is pure: functions return another buffer. A task's rows are copied
when they are written, so a write costs the size of one task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ace_jax.buffer import cells, potential, table
from ace_jax.buffer.potential import Pooled
from ace_jax.buffer.spec import COSTS, Spec
from ace_jax.buffer.table import COST, Table
from ace_jax.core import learnability
from ace_jax.envs import lineage, programs
from ace_jax.types import Attempt, Group, Problem


class Buffer(NamedTuple):
  tables: tuple[Table, ...]  # [K] tasks
  index: dict[str, int]  # task → its position; never written to
  mass: np.ndarray  # [K] sum of each task's weights
  pooled: Pooled  # what all tasks together say
  size: int  # Problems
  version: int  # that the sums were decayed to
  duplicates: int  # programs that were there already, since the beginning


def init(tasks: Sequence[str], spec: Spec) -> Buffer:
  """The tasks' drafts, all equally likely.

  Raises:
    ValueError: no task.
  """
  if not tasks:
    raise ValueError('a buffer needs at least one task')
  buffer = Buffer(
      tables=tuple(map(table.new, tasks)),
      index={name: i for i, name in enumerate(tasks)},
      mass=np.ones(len(tasks)),
      pooled=potential.no_pooled(),
      size=len(tasks),
      version=0,
      duplicates=0,
  )
  return refresh(buffer, spec, version=0)


# --- Writing -----------------------------------------------------------------


def insert(
    buffer: Buffer,
    spec: Spec,
    groups: Sequence[Group],
    *,
    child_fn: Callable[[Attempt], Problem | None] = lineage.child,
) -> Buffer:
  """After groups of attempts: what they say of their Problems, new Problems.

  The order of the groups does not matter. Attempts lost to `infra_error` say
  nothing.

  Args:
    buffer: from `init`.
    spec: the choices.
    groups: finished.
    child_fn: Attempt → the Problem that it may become, or None.
  """
  groups = sorted(groups, key=lambda g: [a.key for a in g.attempts])
  if not groups:
    return buffer
  tables, every = list(buffer.tables), buffer.pooled.sums.copy()
  for group in groups:
    k = buffer.index[group.problem.task]
    seen = [a for a in group.attempts if a.reward is not None]
    if not seen:
      continue
    rewards = np.array(
        [a.grade.human_rank if a.grade.valid else 0.0 for a in seen]
    )
    cell = cells.cell(group.problem)
    # As the buffer stood before all of these groups.
    guess = potential.predict(buffer.tables[k].cell_sums, buffer.pooled)
    cost = sum(map(COSTS[spec.cost], seen))
    sums = np.array(
        [*learnability.moments(rewards, guess.mean[cell]), cost]
    )
    every[cell] += sums
    tables[k] = table.observe(tables[k], group.problem, sums)
    if group.problem.kind == 'draft':
      tables[k] = _average(tables[k], rewards)
  touched = dict.fromkeys(buffer.index[g.problem.task] for g in groups)
  pooled = buffer.pooled._replace(sums=every)
  old, new = (
      potential.expected(np.stack([t[k].cell_sums for k in touched]), pooled)
      for t in (buffer.tables, tables)
  )
  pooled = pooled._replace(expected=pooled.expected + new - old)
  buffer = buffer._replace(tables=tuple(tables), pooled=pooled)
  children = [c for g in groups for c in map(child_fn, g.attempts) if c]
  for k in touched:
    mine = [c for c in children if buffer.index[c.task] == k]
    buffer = _grow(buffer, spec, k, mine)
  return buffer


def _average(task: Table, rewards: np.ndarray) -> Table:
  """The moving averages of draft rewards after one more group.

  Equal rewards, which teach nothing, are no progress in either direction.
  """
  fast, slow, groups = task.averages
  reward = rewards.mean()
  is_flat = len(rewards) > 1 and np.ptp(rewards) == 0
  if fast == slow == 0 and not is_flat:  # the first that differ
    fast = slow = reward
  elif not is_flat:
    fast += learnability.FAST * (reward - fast)
    slow += learnability.SLOW * (reward - slow)
  return task._replace(averages=np.array([fast, slow, groups + 1]))


def _grow(
    buffer: Buffer, spec: Spec, k: int, children: Sequence[Problem]
) -> Buffer:
  """A task with its new Problems, weighed, and what is too much evicted."""
  task = buffer.tables[k]
  others = buffer.size - len(task.problems)
  new = {}
  for child in children:
    new.setdefault(programs.program_hash(child.parent.program), child)
  new = {h: child for h, child in new.items() if h not in task.hashes}
  task = _weigh(buffer, k, spec, table.add(task, new))
  roots = {child.parent.root for child in new.values()}
  while True:
    size = others + min(len(task.problems), spec.capacity)
    most = max(int(spec.lineage_share * size), 1)
    crowded = [r for r in sorted(roots) if task.roots.count(r) > most]
    if not crowded and len(task.problems) <= spec.capacity:
      break
    # One root's rows first: where they go, the task may be within its bound.
    task = table.remove(task, table.least(task, *crowded[:1]))
  if spec.potential == 'uniform':  # which depends on how many stayed
    task = _weigh(buffer, k, spec, task)
  mass = buffer.mass.copy()
  mass[k] = task.weight.sum()
  return buffer._replace(
      tables=(*buffer.tables[:k], task, *buffer.tables[k + 1 :]),
      mass=mass,
      size=others + len(task.problems),
      duplicates=buffer.duplicates + len(children) - len(new),
  )


def refresh(buffer: Buffer, spec: Spec, *, version: int) -> Buffer:
  """Decays what was observed, and weighs every Problem anew.

  Args:
    buffer: from `init`.
    spec: the choices.
    version: of the policy, at least the buffer's.
  """
  decay = spec.decay ** (version - buffer.version)
  tables = buffer.tables
  ends = np.cumsum([len(t.problems) for t in tables])[:-1]
  sums = np.concatenate([t.sums for t in tables], 1)
  sums *= np.float32(decay)
  cell_sums = np.stack([t.cell_sums for t in tables]) * decay
  pooled = buffer.pooled._replace(sums=buffer.pooled.sums * decay)
  pooled = pooled._replace(expected=potential.expected(cell_sums, pooled))
  weight, pooled = potential.weights(
      spec.potential,
      spec.temperature,
      sums=sums,
      cell=np.concatenate([t.cell for t in tables]),
      quality=np.concatenate([t.quality for t in tables]),
      visits=np.concatenate([t.visits for t in tables]),
      sizes=np.array([len(t.problems) for t in tables]),
      cell_sums=cell_sums,
      averages=np.stack([t.averages for t in tables]),
      noise=np.stack([t.noise for t in tables]),
      pooled=pooled,
      update_ranges=True,
  )
  rows = zip(
      tables, np.split(sums, ends, 1), cell_sums, np.split(weight, ends),
      strict=True,
  )
  return buffer._replace(
      tables=tuple(
          t._replace(sums=s, cell_sums=c, weight=w) for t, s, c, w in rows
      ),
      mass=np.add.reduceat(weight, [0, *ends]),
      pooled=pooled,
      version=version,
  )


def observe_noise(
    buffer: Buffer, spec: Spec, task: str, rewards: Sequence[float]
) -> Buffer:
  """After replicates: how rewards of one and the same program differ."""
  k = buffer.index[task]
  _, _, freedom, squares = learnability.moments(np.asarray(rewards), 0.0)
  if len(rewards) < 2:
    raise ValueError(f'one run of a program says nothing of noise: {rewards}')
  tables = list(buffer.tables)
  noise = tables[k].noise + (freedom, squares)
  tables[k] = tables[k]._replace(noise=noise)
  return _grow(buffer._replace(tables=tuple(tables)), spec, k, ())


# --- Weights -----------------------------------------------------------------


def _weigh(buffer: Buffer, k: int, spec: Spec, task: Table) -> Table:
  """A task with its weights, everything else as the buffer stands."""
  weight, _ = potential.weights(
      spec.potential,
      spec.temperature,
      sums=task.sums,
      cell=task.cell,
      quality=task.quality,
      visits=task.visits,
      sizes=np.array([len(task.problems)]),
      cell_sums=task.cell_sums[None],
      averages=task.averages[None],
      noise=task.noise[None],
      pooled=buffer.pooled,
  )
  return task._replace(weight=weight)


# --- Reading -----------------------------------------------------------------


def foresee(buffer: Buffer, problem: Problem) -> dict[str, float]:
  """What is predicted of a Problem's attempts: spread, mean, potential."""
  task = buffer.tables[buffer.index[problem.task]]
  sums = np.zeros((COST, 1))
  if problem.key in task.keys:
    sums = task.sums[:, [task.keys.index(problem.key)]]
  found = potential.estimate(
      sums, np.array([cells.cell(problem)]),
      potential.predict(task.cell_sums, buffer.pooled),
      noise=potential.noise_variance(task.noise),
  )
  value = learnability.learnability(
      spread=found.spread, mean=found.mean, cost=found.cost,
      progress=learnability.progress(*task.averages),
  )
  return {'spread': float(found.spread[0]), 'mean': float(found.mean[0]),
          'potential': float(value[0])}


def metrics(buffer: Buffer) -> dict[str, float]:
  """What there is to draw from, as metric paths."""
  problems = [p for t in buffer.tables for p in t.problems]
  visits = np.concatenate([t.visits for t in buffer.tables])

  def share(kind: str) -> float:
    return sum(p.kind == kind for p in problems) / len(problems)

  return {
      'buffer/size': float(len(problems)),
      'buffer/improve_share': share('improve'),
      'buffer/debug_share': share('debug'),
      'buffer/depth_max': float(
          max((p.parent.depth + 1 for p in problems if p.parent), default=0)
      ),
      'buffer/unseen_share': float((visits == 0).mean()),
      'buffer/duplicates': float(buffer.duplicates),
  }
