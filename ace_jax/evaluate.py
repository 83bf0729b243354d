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
    progress: is told of every task done.
    phase: 'before', 'after', …
  """
  config = agent.config
  rng = jax.random.fold_in(jax.random.key(config.seed), 2)
  plan = [(name, config.eval.num_samples) for name in agent.env.held_out_tasks]
  plan += [
      (name, config.eval.num_train_samples) for name in agent.env.train_tasks
  ]
  plan = [(name, num) for name, num in plan if num]
  progress.phase(f'{phase} RL', sum(num for _, num in plan))
  sampled = 0
  done = {row['key'] for row in ledger.attempts(phase, columns=('key',))}
  for index, (name, num_samples) in enumerate(plan):
    prefix = f'{phase}/{name}'
    if f'{prefix}/0/{num_samples - 1}' not in done:
      agent.collector.launch(
          [Problem(name)],
          jax.random.fold_in(rng, index),
          prefix=prefix,
          num_samples=num_samples,
          rows='report',
          purpose='audit',
          temperature=config.eval.temperature,
      )
      for group in agent.collector.take():
        ledger.insert(0, phase, group.attempts)
    sampled += num_samples
    progress.update(sampled, {})
