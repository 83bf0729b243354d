"""Samples the policy on fixed tasks and keeps every attempt."""

from __future__ import annotations

import jax

from ace_jax.agent import Agent
from ace_jax.buffer.ledger import Ledger
from ace_jax.report.progress import Progress
from ace_jax.types import Problem


def evaluate(
    agent: Agent,
    ledger: Ledger,
    progress: Progress,
    *,
    phase: str,
) -> None:
  """Attempts every task from scratch; graded on the report rows.

  Samples the current policy of `agent.sampler` and records under `phase`.
  A phase that the ledger holds whole is not repeated. The same seeds serve
  every phase, so that two of them differ by the policy alone.

  Args:
    agent: whose policy is evaluated.
    ledger: where attempts go.
    progress: is told of every split done.
    phase: 'before', 'after', …
  """
  config = agent.config
  rng = jax.random.fold_in(jax.random.key(config.seed), 2)
  # One batch of samples for each split: the more rows, the faster each.
  plan = (
      ('held_out', agent.env.held_out_tasks, config.eval.num_samples),
      ('train', agent.env.train_tasks, config.eval.num_train_samples),
  )
  plan = [item for item in plan if item[1] and item[2]]
  progress.phase(f'{phase} RL', sum(len(names) * n for _, names, n in plan))
  sampled = 0
  done = {row['key'] for row in ledger.attempts(phase, columns=('key',))}
  for index, (split, names, num_samples) in enumerate(plan):
    prefix = f'{phase}/{split}'
    if f'{prefix}/0/0' not in done:
      agent.collector.launch(
          [Problem(name) for name in names],
          jax.random.fold_in(rng, index),
          prefix=prefix,
          num_samples=num_samples,
          rows='report',
          purpose='audit',
          temperature=config.eval.temperature,
      )
      groups = agent.collector.take()
      # All of a split or none of it: that is how a resumed run knows.
      ledger.insert(0, phase, [a for g in groups for a in g.attempts])
    sampled += len(names) * num_samples
    progress.update(sampled, {})
