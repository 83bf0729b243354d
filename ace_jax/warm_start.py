"""Warm start: imitate demonstrations until their held-out loss stops falling.

Demonstrations come from a grammar of solutions and from training tasks only.
Each was run and graded valid before it is learnt from. They are kept in the
workdir, and learning is checkpointed, so a run stopped here resumes too.
"""

from __future__ import annotations

import itertools
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ace_jax.agent import Agent
from ace_jax.envs.mle import grammar, revisions
from ace_jax.learner import checkpoint, imitation, state
from ace_jax.report.metrics import MetricsWriter
from ace_jax.report.progress import Progress


def warm_start(
    agent: Agent,
    workdir: pathlib.Path,
    progress: Progress,
    writer: MetricsWriter,
) -> Any:
  """Returns the parameters to start reinforcement learning from.

  They are the last ones: with early stopping they differ from the best by at
  most `patience` evaluations, and a resumed run needs no second copy.
  """
  config = agent.config.imitation
  if not config.num_demos:
    return agent.params
  train, held_out = _batches(agent, _demonstrations(agent, workdir, progress))
  num_steps = config.max_epochs * len(train)
  tx = state.make_optimizer(
      state.learning_rate(
          lr=config.lr,
          lr_schedule=config.lr_schedule,
          warmup_steps=config.warmup_steps,
          num_steps=num_steps,
      ),
      b1=agent.config.learner.b1,
      b2=agent.config.learner.b2,
      weight_decay=0.0,
      max_grad_norm=agent.config.learner.max_grad_norm,
  )
  update_fn, loss_fn = imitation.make_step_fns(
      agent.model,
      tx,
      vocab_chunk=agent.config.learner.vocab_chunk,
      keep_logits_mb=agent.config.learner.keep_logits_mb,
  )

  def held_out_losses(params: Any) -> dict[str, float]:
    sums = {
        kind: [loss_fn(params, batch) for batch in batches]
        for kind, batches in held_out.items()
    }
    name = 'imitation/held_out_loss'
    losses = {name: _mean_loss(list(itertools.chain(*sums.values())))}
    if len(sums) > 1:
      losses |= {f'{name}_{kind}': _mean_loss(p) for kind, p in sums.items()}
    return losses

  root = workdir / 'checkpoints' / 'imitation'
  found = checkpoint.restore(
      root, state.init(agent.params, tx), note=progress.note
  )
  step, learner, meta, _ = found or (
      0, state.init(agent.params, tx), {'stopper': [], 'done': False}, {}
  )
  agent.params = None  # donated to the first update
  stopper = imitation.Stopper(*meta['stopper'])
  done = meta['done']
  writer.rewind(step, phase='imitation')
  progress.phase('warm start', num_steps, start=step)
  while not done:
    start = time.monotonic()
    batch = train[_order(agent.config.seed, step, len(train))]
    learner, loss = update_fn(learner, batch)
    metrics = {'imitation/loss': float(loss)}
    metrics['imitation/tokens_per_s'] = (
        batch.mask.sum() + batch.prompt_mask.sum()
    ) / (time.monotonic() - start)
    step += 1
    if step % config.eval_every == 0 or step == num_steps:
      metrics |= held_out_losses(learner.params)
      stopper = stopper.update(metrics['imitation/held_out_loss'])
    done = step == num_steps or stopper.since_best >= config.patience
    writer.write(step - 1, metrics, phase='imitation')
    progress.update(step, metrics)
    if done or step % config.checkpoint_every == 0:
      meta = {'stopper': list(stopper), 'done': done}
      checkpoint.save(root, step, learner, meta, keep=1 if done else 2)
  return learner.params


def _mean_loss(sums: Sequence[tuple[Any, Any]]) -> float:
  return float(sum(s for s, _ in sums) / sum(n for _, n in sums))


def _order(seed: int, step: int, num_batches: int) -> int:
  """Which batch a step takes: every epoch a permutation of its own."""
  epoch, position = divmod(step, num_batches)
  return int(
      np.random.default_rng((seed, epoch)).permutation(num_batches)[position]
  )


def _demonstrations(
    agent: Agent, workdir: pathlib.Path, progress: Progress
) -> list[grammar.Demo]:
  path = workdir / 'demonstrations.jsonl'
  if path.exists():
    lines = path.read_text().splitlines()
    return [revisions.from_json(line) for line in lines]
  config = agent.config.imitation
  num = config.num_demos + config.num_held_out_demos
  progress.phase('demonstrations', num)
  ran = itertools.count(1)

  def on_done() -> None:
    if (done := next(ran)) % 16 == 0:
      progress.update(min(done, num), {})

  demos = agent.demonstrations(on_done=on_done)
  partial = path.with_suffix('.partial')
  partial.write_text(''.join(revisions.to_json(d) + '\n' for d in demos))
  partial.rename(path)
  return demos


def _batches(agent: Agent, demos: list[grammar.Demo]):
  """(training batches, kind → held-out batches)."""
  config = agent.config.imitation
  cut = config.num_held_out_demos

  def batches(part: Sequence[grammar.Demo], size: int, per_row: int):
    rows = imitation.rows(
        [agent.example(demo) for demo in part],
        per_row=per_row,
        seed=agent.config.seed,
    )
    rows += rows[: -len(rows) % size]  # the last batch is filled up
    return [
        imitation.to_batch(
            rows[i : i + size],
            bucket=agent.config.sampler.bucket,
            pad_id=agent.pad_id,
        )
        for i in range(0, len(rows), size)
    ]

  drafts, revised = [], []
  for demo in demos[cut:]:
    (revised if demo.parent else drafts).append(demo)
  # A revision's prompt is its own: there is nothing to share a row with.
  train = batches(drafts, config.rows_per_batch, config.per_row)
  train += batches(revised, config.revisions_per_batch, 1)
  held_out: dict[str, list[grammar.Demo]] = {}
  for demo in demos[:cut]:
    held_out.setdefault(demo.kind, []).append(demo)
  return train, {kind: batches(d, 4, 1) for kind, d in held_out.items()}
