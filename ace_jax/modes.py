"""What `main` can be asked to do: one function per --mode."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Sequence

import jax

from ace_jax import records
from ace_jax.agent import Agent
from ace_jax.envs.mle import tasks as tasks_lib
from ace_jax.evaluate import protocol, result
from ace_jax.learner import checkpoint
from ace_jax.policy import weights
from ace_jax.report import evaluation, html
from ace_jax.report.progress import Progress
from ace_jax.train import train
from ace_jax.types import Problem


def _train(config, workdir, **_) -> None:
  train(config, workdir)


def _evaluate(config, workdir, **_) -> None:
  """The protocol of `eval` on the held-out tasks: arms, budgets, seeds."""
  records.load_config(workdir, config, keep=('eval',))
  protocol.check(config.eval)
  if config.eval.max_prompt_tokens:
    config.sampler.max_prompt_tokens = config.eval.max_prompt_tokens
  with Progress(0) as progress, Agent(config, note=progress.note) as agent:
    base = None if config.imitation.num_demos else agent.params

    def load(policy: str) -> int:
      if policy == 'trained':
        return load_policy(agent, workdir, progress, phases=('rl',))
      if base is None:
        load_policy(agent, workdir, progress, phases=('imitation',))
      agent.sampler.sync(agent.params if base is None else base, version=0)
      return 0

    with records.open_ledger(agent, workdir) as ledger:
      arms = protocol.run(
          agent, ledger, progress, load=load, workdir=workdir
      )
    found = result.result(
        arms,
        protocol.settings(agent),
        created_at=datetime.datetime.now().isoformat(),
    )
  evaluation.write(workdir, found)
  evaluation.show(found)
  print(f'report: {html.write_report(workdir)}')


def _report(config, workdir, **_) -> None:
  records.load_config(workdir, config)
  print(html.write_report(workdir))


def _export(config, workdir, *, out, **_) -> None:
  records.load_config(workdir, config)
  if out is None:
    raise ValueError('--mode=export needs --out=DIR')
  with Progress(0) as progress, Agent(config, note=progress.note) as agent:
    step = load_policy(agent, workdir, progress)
    weights.export(out, agent.model_config, agent.params, agent.tokenizer)
    progress.note(f'policy of step {step} written to {out}')


def _solve(config, workdir, *, out, task, num_samples, **_) -> None:
  """Samples programs for one task; the best on the select rows is kept."""
  records.load_config(workdir, config)
  if task is None:
    raise ValueError('--mode=solve needs --task=NAME')
  root = pathlib.Path(config.env.root or tasks_lib.default_root())
  name = tasks_lib.load_task(task, root, config.env.mlebench_data).name
  # The training tasks stay: a policy made from scratch has its vocabulary
  # from them.
  given = config.env.train_tasks or tasks_lib.task_names('train')
  if not {name, task} & set(tasks_lib.expand(given)):
    config.env.held_out_tasks = (task,)
  out = out or workdir / 'solutions' / name
  with Progress(num_samples) as progress:
    with Agent(config, note=progress.note) as agent:
      load_policy(agent, workdir, progress)
      progress.phase(f'solving {name}', num_samples)
      agent.collector.launch(
          [Problem(name)],
          jax.random.key(config.seed),
          prefix='solve',
          num_samples=num_samples,
          rows='select',
          purpose='audit',
          temperature=config.eval.temperature,
      )
      (group,) = agent.collector.take()
  valid = [a for a in group.attempts if a.grade.valid]
  if not valid:
    errors = {a.grade.error for a in group.attempts}
    raise ValueError(
        f'none of {num_samples} programs gave a valid submission '
        f'({"; ".join(sorted(errors))[:300]}); try a larger --num_samples'
    )
  best = max(valid, key=lambda a: a.grade.human_rank)
  out.mkdir(parents=True, exist_ok=True)
  (out / 'program.py').write_text(best.program)
  (out / 'submission.csv').write_bytes(best.execution.files['submission.csv'])
  print(json.dumps({
      'task': name,
      'valid': len(valid),
      'samples': num_samples,
      'select_score': best.grade.score,
      'select_human_rank': best.grade.human_rank,
      'out': str(out),
  }))


def load_policy(
    agent: Agent,
    workdir: pathlib.Path,
    progress: Progress,
    *,
    phases: Sequence[str] = ('rl', 'imitation'),
) -> int:
  """Gives the agent the newest trained parameters; returns their step."""
  for phase in phases:
    root = workdir / 'checkpoints' / phase
    found = checkpoint.restore_params(root, agent.params, note=progress.note)
    if found:
      step, agent.params = found
      agent.sampler.sync(agent.params, step)
      return step
  raise ValueError(
      f'{workdir} holds no trained policy yet: no checkpoint of '
      f'{" or ".join(phases)}; --mode=train goes on'
  )


MODES = {
    'train': _train,
    'evaluate': _evaluate,
    'report': _report,
    'export': _export,
    'solve': _solve,
}
