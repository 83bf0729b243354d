"""The loop: warm start, evaluation, reinforcement learning, evaluation.

The same command resumes a run wherever it was stopped. Every random draw is a
function of the seed and of what it is for, and no clock enters training, so
an interrupted run ends with the parameters of an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import pathlib
import time

import jax
import jax.numpy as jnp
import ml_collections

from ace_jax import collect, recipe, records
from ace_jax.agent import Agent
from ace_jax.evaluate.samples import evaluate
from ace_jax.learner import batching, checkpoint, critic, state, update
from ace_jax.report import html, table
from ace_jax.report.metrics import MetricsWriter
from ace_jax.report.progress import Progress
from ace_jax.warm_start import warm_start


def train(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
  """Trains, or goes on training, in `workdir`."""
  # What can be refused is refused before anything is written.
  records.check(workdir, config)
  schedule = recipe.learning_rate(config)
  spec = recipe.loss_spec(config)
  with contextlib.ExitStack() as stack:
    progress = stack.enter_context(Progress(config.num_steps))
    agent = stack.enter_context(Agent(config, note=progress.note))
    stack.enter_context(jax.set_mesh(agent.mesh))
    collate = recipe.make_collate(config, pad_id=agent.pad_id)
    source = recipe.make_source(
        config, agent.env.train_tasks, fits=agent.collector.fits
    )
    records.claim(workdir, config)
    ledger = stack.enter_context(records.open_ledger(agent, workdir))
    writer = stack.enter_context(
        MetricsWriter(workdir, tensorboard=config.report.tensorboard)
    )

    # --- Warm start, and where it leads -------------------------------------
    params = warm_start(agent, workdir, progress, writer)
    agent.sampler.sync(params, version=0)
    if agent.instrumenter:
      # Here, in a resumed run too: below, `learner` is what RL made of them.
      agent.sampler.freeze()
    evaluate(agent, ledger, progress, phase='before')

    # --- Learner --------------------------------------------------------------
    tx = recipe.make_optimizer(config, schedule)
    prepare_fn = update.make_prepare_fn(agent.model, spec)
    update_fn = update.make_update_fn(agent.model, tx, spec)
    ref_params = jax.tree.map(jnp.copy, params) if spec.kl_coef else None
    checkpoints = workdir / 'checkpoints' / 'rl'
    learner = state.init(params, tx)
    found = checkpoint.restore(checkpoints, learner, note=progress.note)
    version, learner, *kept = found or (0, learner)
    problems = source.restore(*kept) if kept else source.init()
    ledger.rewind(version)
    writer.rewind(version)

    # --- Reinforcement learning -----------------------------------------------
    rng = jax.random.fold_in(jax.random.key(config.seed), 3)
    progress.phase('RL', config.num_steps, start=version)
    while version < config.num_steps:
      start = time.monotonic()
      agent.sampler.sync(learner.params, version)
      agent.collector.launch(
          source.sample(problems, version),
          jax.random.fold_in(rng, version),
          prefix=str(version),
          num_samples=config.collect.group_size,
      )
      groups = agent.collector.take()
      ledger.insert(version, 'train', [a for g in groups for a in g.attempts])
      problems = source.insert(problems, groups, version)

      collected = time.monotonic()
      batch = collate(groups)
      learner = critic.start(learner, batch)
      batch = prepare_fn(learner.params, ref_params, batch)
      for minibatch in batching.minibatches(
          batch,
          num_epochs=config.learner.num_epochs,
          num_minibatches=config.learner.num_minibatches,
          seed=version,
      ):
        learner, learnt = update_fn(learner, minibatch)
      metrics = {key: float(value) for key, value in learnt.items()}

      metrics |= collect.metrics(groups) | agent.collector.pop_timings()
      metrics |= source.metrics(problems) | {
          'policy/lr': float(schedule(learner.step - 1)),
          'time/update_s': time.monotonic() - collected,
          'time/step_s': time.monotonic() - start,
      }
      writer.write(version, metrics)
      gate(metrics, version, config.learner.max_logp_gap)
      version += 1
      progress.update(version, metrics)
      if version % config.checkpoint.every == 0 or version == config.num_steps:
        checkpoint.save(
            checkpoints, version, learner, *source.state(problems),
            keep=config.checkpoint.keep,
        )

    # --- After ----------------------------------------------------------------
    agent.sampler.sync(learner.params, version)
    evaluate(agent, ledger, progress, phase='after')
    comparison = table.comparison(
        ledger.attempts(columns=table.COLUMNS), list(agent.env.tasks.values())
    )
    table.write(workdir, comparison)
  table.show(comparison)
  print(f'report: {html.write_report(workdir)}')


def gate(metrics: dict[str, float], step: int, limit: float) -> None:
  """Stops a run whose sampler and learner disagree on log-probs."""
  gap = metrics['policy/logp_gap_mean']
  if gap > limit:
    raise RuntimeError(
        f'step {step}: sampler and learner differ by {gap:.3f} nats a token on'
        f' average, more than learner.max_logp_gap={limit}'
    )
