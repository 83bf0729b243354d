"""The test-time protocol: arms of policy and search on held-out tasks.

Every arm searches every task under every seed, with the same budget. The
searches advance in lock step: each round is one call of the sampler, and first
drafts, which depend on nothing, are asked for many at a time. Prompts, searches
and what is handed in rest on the select rows; the report rows and all rows are
graded beside them, because a submission is not kept, and nothing here reads
them before the figures are made.

A round is recorded whole or not at all, so the same command goes on where it
was stopped, and ends with the same attempts.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import pathlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from ace_jax import collect
from ace_jax.agent import Agent
from ace_jax.buffer.ledger import Ledger
from ace_jax.evaluate import history
from ace_jax.evaluate import search as search_lib
from ace_jax.evaluate.compilation import CompileClock
from ace_jax.evaluate.measures import Cell
from ace_jax.evaluate.store import Store
from ace_jax.report.progress import Progress
from ace_jax.types import Attempt, Problem, Task

POLICIES = ('trained', 'frozen')
_LEAD_ROWS = 64  # first drafts sampled at a time
# What an attempt depends on, with the tasks: another choice, another phase.
_SETTINGS = (
    'attempts', 'wall_s', 'seeds', 'temperature', 'max_prompt_tokens',
    'aide_drafts', 'aide_debug_prob', 'aide_max_debug_depth',
)


@dataclasses.dataclass(frozen=True)
class Arm:
  """What one arm did."""

  name: str  # policy/search
  policy_version: int  # RL steps of the policy
  cells: tuple[Cell, ...]
  store: Store


def check(config: ml_collections.ConfigDict) -> None:
  """Is there anything in the section `eval` that cannot be done?

  Raises:
    ValueError: an unknown or repeated arm or seed, or no budget.
  """
  known = [f'{p}/{s}' for p in POLICIES for s in search_lib.make(config)]
  for arm in config.arms:
    if arm not in known:
      raise ValueError(f'eval.arms: {arm!r} is none of {", ".join(known)}')
  for name in ('arms', 'seeds'):
    values = config[name]
    if not values or len(set(values)) < len(values):
      raise ValueError(f'eval.{name}={values!r}: give one or more, each once')
  if min(config.seeds) < 0:
    raise ValueError(f'eval.seeds={config.seeds!r}: a seed is not negative')
  if config.attempts < 1 or config.wall_s < 0:
    raise ValueError(
        f'eval.attempts={config.attempts} must be at least 1 and '
        f'eval.wall_s={config.wall_s} at least 0 (0: no limit)'
    )
  if config.aide_drafts < 1 or not 0 <= config.aide_debug_prob <= 1:
    raise ValueError(
        f'eval.aide_drafts={config.aide_drafts} must be at least 1 and '
        f'eval.aide_debug_prob={config.aide_debug_prob} in [0, 1]'
    )


def run(
    agent: Agent,
    ledger: Ledger,
    progress: Progress,
    *,
    load: Callable[[str], int],
    workdir: pathlib.Path,
) -> list[Arm]:
  """Runs every arm, or what is left of it.

  Args:
    agent: whose `eval` section is the protocol.
    ledger: where attempts go, under `evaluate@<version>/<arm>/<settings>`.
    progress: is told of every round.
    load: gives the agent's sampler a policy by name; returns its version.
    workdir: gets `evaluation/<phase>/`.
  """
  config = agent.config.eval
  searches = search_lib.make(config)
  arms = []
  for name in config.arms:
    policy, search = name.split('/')
    version = load(policy)
    phase = f'evaluate@{version}/{name}/{_digest(agent)}'
    store = Store(workdir / 'evaluation' / phase)
    cells = _run_arm(
        agent, ledger, progress, searches[search], name, phase, store
    )
    arms.append(Arm(name, version, cells, store))
  return arms


def settings(agent: Agent) -> dict[str, Any]:
  """What the attempts of a policy and a search depend on."""
  config = agent.config
  return {
      'seed': config.seed,
      **{name: config.eval[name] for name in _SETTINGS},
      'tasks': [task.name for task in _tasks(agent)],
  }


def _tasks(agent: Agent) -> list[Task]:
  tasks = agent.env.tasks
  names = agent.config.eval.tasks or agent.env.held_out_tasks
  if not names:
    raise ValueError('there is no held-out task to evaluate on')
  if unknown := [name for name in names if name not in tasks]:
    raise ValueError(
        f'eval.tasks: {unknown[0]!r} is no task of this run; its tasks are '
        f'{", ".join(tasks)}'
    )
  return [tasks[name] for name in names]


def _digest(agent: Agent) -> str:
  text = json.dumps(settings(agent), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:8]


# --- One arm ----------------------------------------------------------------


@dataclasses.dataclass
class _Running:
  """A search under way."""

  task: Task
  seed: int
  attempts: list[Attempt] = dataclasses.field(default_factory=list)
  seconds: list[float] = dataclasses.field(default_factory=list)

  def spent(self, config: ml_collections.ConfigDict) -> float:
    """Share of the budget; from 1 on no attempt is begun."""
    share = len(self.attempts) / config.attempts
    if config.wall_s:
      share = max(share, math.fsum(self.seconds) / config.wall_s)
    return share


# Problems, and whose attempts their samples are; as many samples of each.
_Asks = list[tuple[Problem, list[_Running]]]


def _run_arm(
    agent: Agent,
    ledger: Ledger,
    progress: Progress,
    search: search_lib.Search,
    name: str,
    phase: str,
    store: Store,
) -> tuple[Cell, ...]:
  config = agent.config.eval
  running = [
      _Running(task, seed) for seed in config.seeds for task in _tasks(agent)
  ]
  rounds: dict[int, list] = {}
  for row in ledger.attempts(phase):
    rounds.setdefault(row['step'], []).append(row)
  progress.phase(
      name, config.attempts * len(running),
      start=sum(map(len, rounds.values())),
  )
  too_long: list[Problem] = []
  next_fn = functools.partial(
      _next, agent=agent, search=search, too_long=too_long
  )
  for index, asks in enumerate(_rounds(running, search, config, next_fn)):
    owners = [owner for _, samples in asks for owner in samples]
    if index in rounds:
      problems = [problem for problem, samples in asks for _ in samples]
      attempts = [
          history.restore(row, problem)
          for row, problem in zip(rounds[index], problems, strict=True)
      ]
    else:
      attempts, metrics = _sample(agent, asks, f'{phase}/{index}', index)
      # The ledger last: what it holds is complete.
      store.put_seconds(index, metrics['time/sample_s'])
      _keep_the_better(store, owners, attempts)
      ledger.insert(index, phase, attempts)
    share_s = store.seconds(index) / len(attempts)
    for owner, attempt in zip(owners, attempts, strict=True):
      owner.attempts.append(history.bare(attempt))
      owner.seconds.append(share_s + attempt.duration_s)
    if index not in rounds:
      progress.update(sum(len(r.attempts) for r in running), metrics)
  if too_long:
    progress.note(
        f'{name}: {len(too_long)} prompts with a program to start from were '
        'longer than sampler.max_prompt_tokens='
        f'{agent.config.sampler.max_prompt_tokens}; drafts took their place'
    )
  return tuple(
      Cell(name, r.task, r.seed, tuple(r.attempts), tuple(r.seconds))
      for r in running
  )


def _rounds(
    running: Sequence[_Running],
    search: search_lib.Search,
    config: ml_collections.ConfigDict,
    next_fn: Callable[[_Running], Problem],
) -> Iterator[_Asks]:
  """What is asked, round after round; looks at `running` anew each time."""
  # A wall-clock budget may end before the first drafts do: one at a time.
  lead = 1 if config.wall_s else search.lead_fn(config.attempts)
  by_task: dict[str, list[_Running]] = {}
  for r in running:
    by_task.setdefault(r.task.name, []).append(r)
  drafts = [(Problem(task), owners) for task, owners in by_task.items()]
  seeds = len(config.seeds)
  wave = _part(lead, max(_LEAD_ROWS // seeds, 1))
  size = _part(len(drafts), max(_LEAD_ROWS // (seeds * wave), 1))
  for begin in range(0, lead, wave):
    times = min(wave, lead - begin)
    for start in range(0, len(drafts), size):
      yield [
          (problem, owners * times)
          for problem, owners in drafts[start : start + size]
      ]
  while left := [r for r in running if r.spent(config) < 1]:
    yield [(next_fn(r), [r]) for r in left]


def _part(total: int, most: int) -> int:
  """The size of equal parts, at most `most` each: so they share a shape."""
  return -(-total // -(-total // most))


def _next(
    r: _Running,
    *,
    agent: Agent,
    search: search_lib.Search,
    too_long: list[Problem],
) -> Problem:
  """What the search asks next, or a draft where its prompt is too long."""
  config = agent.config
  rng = np.random.default_rng((
      config.seed, r.seed, zlib.crc32(r.task.name.encode()), len(r.attempts)
  ))
  problem = search.next_fn(r.task, r.attempts, rng, r.spent(config.eval))
  if problem.parent is None or agent.collector.fits(problem):
    return problem
  too_long.append(problem)
  return Problem(problem.task)


def _sample(
    agent: Agent, asks: _Asks, prefix: str, index: int
) -> tuple[list[Attempt], dict[str, float]]:
  """One round: (attempts in the order of the samples, metrics)."""
  config = agent.config
  rng = jax.random.fold_in(jax.random.key(config.seed), 4)
  # The same numbers for every arm, so that they differ by what they do.
  for number in (*config.eval.seeds, index):
    rng = jax.random.fold_in(rng, number)
  agent.collector.pop_timings()
  with CompileClock() as clock:
    agent.collector.launch(
        [problem for problem, _ in asks],
        rng,
        prefix=prefix,
        num_samples=len(asks[0][1]),
        rows='select',
        purpose='audit',
        temperature=config.eval.temperature,
    )
  groups = agent.collector.take()
  metrics = collect.metrics(groups) | agent.collector.pop_timings()
  metrics['time/sample_s'] -= clock.seconds()
  return [_audited(agent, a) for g in groups for a in g.attempts], metrics


def _audited(agent: Agent, attempt: Attempt) -> Attempt:
  """With the grades that figures are made of, and nothing else."""
  if not attempt.grade.valid:
    return attempt
  submission = attempt.execution.files['submission.csv']
  return dataclasses.replace(
      attempt,
      audits=tuple(
          agent.env.audit(attempt.problem.task, submission, rows)
          for rows in ('report', 'all')
      ),
  )


def _keep_the_better(
    store: Store, owners: Sequence[_Running], attempts: Sequence[Attempt]
) -> None:
  """Writes what each search would hand in now, where that is new."""
  new: dict[int, list[Attempt]] = {}
  for owner, attempt in zip(owners, attempts, strict=True):
    new.setdefault(id(owner), []).append(attempt)
  for owner in {id(owner): owner for owner in owners}.values():
    every = [*owner.attempts, *new[id(owner)]]
    at = search_lib.best(
        [a.grade for a in every], lower_is_better=owner.task.lower_is_better
    )
    if at is not None and at >= len(owner.attempts):
      store.put_submission(
          owner.seed, owner.task.name,
          every[at].execution.files['submission.csv'],
      )
