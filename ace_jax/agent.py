"""What every mode needs: a policy, a sampler, an environment, executors."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from ace_jax.collect import Collector
from ace_jax.envs.lm_instrument import LmInstrumenter
from ace_jax.envs.mle import grammar, mistakes, revisions
from ace_jax.envs.mle import tasks as tasks_lib
from ace_jax.envs.mle.env import MleEnv
from ace_jax.learner.imitation import Example
from ace_jax.policy import sharding, sources, tokenizer, weights
from ace_jax.policy.transformer import ModelConfig, Transformer
from ace_jax.sampler.jax_sampler import JaxSampler
from ace_jax.sandbox import backends
from ace_jax.sandbox.base import SandboxSpec
from ace_jax.types import Problem

INSTRUMENTERS = ('none', 'tree', 'lm')


class Agent:
  """A policy in its environment. Close it, or use it as a context manager.

  Raises:
    ValueError: the configuration names what does not exist, or asks for a
      sandbox level that this machine cannot give.
  """

  def __init__(
      self, config: ml_collections.ConfigDict, *, note: Callable[[str], None]
  ):
    self.config = config
    keep_compiled()
    self.env = _make_env(config)
    self.sandbox = backends.make(config.sandbox, _limits(config))
    note(self.sandbox.describe())
    self.mesh = sharding.make_mesh(**config.mesh)
    model_config, params, self.tokenizer = _load(config, self.env)
    self.model_config = model_config
    self.model = Transformer(model_config)
    self.params = sharding.shard(params, self.mesh)
    stop_ids = tokenizer.stop_ids(self.tokenizer)
    self.pad_id = tokenizer.pad_id(self.tokenizer)
    self.stop_id = stop_ids[0]
    self.sampler = JaxSampler(
        model_config,
        self.params,
        stop_ids=stop_ids,
        pad_id=self.pad_id,
        temperature=config.sampler.temperature,
        top_k=config.sampler.top_k,
        top_p=config.sampler.top_p,
        max_prompt_tokens=config.sampler.max_prompt_tokens,
        max_new_tokens=config.sampler.max_new_tokens,
        bucket=config.sampler.bucket,
    )
    self.instrumenter = _make_instrumenter(
        config, self.sampler, self.tokenizer
    )
    self.collector = Collector(
        self.env,
        self.sampler,
        self.sandbox,
        self.tokenizer,
        max_prompt_tokens=config.sampler.max_prompt_tokens,
        num_slots=config.sandbox.num_slots,
        max_infra_retries=config.sandbox.max_infra_retries,
        seed=config.seed,
        instrumenter=self.instrumenter,
    )

  def demonstrations(
      self, *, on_done: Callable[[], None]
  ) -> list[grammar.Demo]:
    """Programs for training tasks, drawn from the grammar, all seen to run.

    Any stretch of the list has the three kinds in proportion.
    """
    config = self.config.imitation
    if not self.env.own_train_tasks:
      raise ValueError('demonstrations are written for tasks of our own '
                       'layout: name one in env.train_tasks, or '
                       'set imitation.num_demos=0')

    def run(items: Sequence[tuple[str, str, str]]):
      return self.collector.run(
          [(key, Problem(task), program) for key, task, program in items],
          purpose='baseline',
          on_done=on_done,
      )

    tasks = {name: self.env.tasks[name] for name in self.env.own_train_tasks}
    draws = dict(seed=self.config.seed, run=run)
    num = config.num_demos + config.num_held_out_demos
    shares = {'improve': config.improve_share, 'debug': config.debug_share}
    nums = {kind: round(num * share) for kind, share in shares.items()}
    drafts = grammar.demonstrations(
        tasks, self.env.preview, num=num - sum(nums.values()), **draws
    )
    return revisions.interleave(drafts, *(
        revisions.demonstrations(
            kind, tasks, self.env.preview, num=n, fits=self.collector.fits,
            **draws
        )
        for kind, n in nums.items()
    ))

  def example(self, demo: grammar.Demo) -> Example:
    """A demonstration as token ids, ended by the chat's stop token."""
    prompt = self.collector.prompt(demo.problem)
    completion = self.tokenizer.encode(demo.text, add_special_tokens=False)
    return Example(
        prompt.tokens, np.array([*completion, self.stop_id], np.int32)
    )

  def close(self) -> None:
    self.collector.close()
    self.sandbox.close()
    self.env.close()

  def __enter__(self) -> Agent:
    return self

  def __exit__(self, *_: Any) -> None:
    self.close()


def _limits(config: ml_collections.ConfigDict) -> SandboxSpec:
  names = (
      'timeout_s', 'cpu_limit_s', 'memory_mb', 'disk_mb', 'output_kb',
      'max_processes', 'cpus',
  )
  return SandboxSpec(**{name: config.sandbox[name] for name in names})


def keep_compiled() -> None:
  """XLA's executables are kept, so that the next process starts with them.

  A user's own jax_compilation_cache_dir (also from the environment) wins.
  """
  if jax.config.jax_compilation_cache_dir is None:
    path = sources.cache_dir() / 'xla'
    jax.config.update('jax_compilation_cache_dir', str(path))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


def _make_env(config: ml_collections.ConfigDict) -> MleEnv:
  if config.env.instrumenter not in INSTRUMENTERS:
    raise ValueError(
        f'env.instrumenter={config.env.instrumenter!r} is none of '
        f'{", ".join(INSTRUMENTERS)}'
    )
  root = pathlib.Path(config.env.root or tasks_lib.default_root())
  return MleEnv(
      root=root,
      train_tasks=config.env.train_tasks or tasks_lib.task_names('train'),
      held_out_tasks=(
          config.env.held_out_tasks or tasks_lib.task_names('held_out')
      ),
      reward=config.env.reward,
      suggest_imports=config.env.suggest_imports,
      instrument_programs=config.env.instrumenter != 'none',
      limits=_limits(config),
      mlebench_data=config.env.mlebench_data,
      improve_reward=config.env.improve_reward,
  )


def _make_instrumenter(
    config: ml_collections.ConfigDict, sampler: JaxSampler, tokenizer_: Any
) -> LmInstrumenter | None:
  if config.env.instrumenter != 'lm':
    return None
  return LmInstrumenter(
      sampler,
      tokenizer_,
      max_prompt_tokens=config.sampler.max_prompt_tokens,
      max_new_tokens=config.sampler.max_new_tokens,
  )


def _load(
    config: ml_collections.ConfigDict, env: MleEnv
) -> tuple[ModelConfig, Any, Any]:
  """(model config, params, tokenizer) of `config.model.source`."""
  options = dict(
      dtype=config.model.dtype,
      head_dtype=config.model.head_dtype,
      remat=config.model.remat,
      value_head=config.learner.algorithm == 'ppo',
  )
  if config.model.source != 'scratch':
    return weights.load(config.model.source, **options)
  shape = config.model.scratch
  texts = _corpus(config, env)
  vocabulary = tokenizer.train_bpe(texts, shape.vocab_size)
  model_config = ModelConfig(
      vocab_size=len(vocabulary),
      num_layers=shape.num_layers,
      dim=shape.dim,
      ff_dim=shape.ff_dim,
      num_heads=shape.num_heads,
      num_kv_heads=shape.num_kv_heads,
      head_dim=shape.dim // shape.num_heads,
      tie_embeddings=True,
      **options,
  )
  model = Transformer(model_config)
  rng = jax.random.fold_in(jax.random.key(config.seed), 1)
  return model_config, model.init(rng), vocabulary


def _corpus(config: ml_collections.ConfigDict, env: MleEnv) -> list[str]:
  """Text like what the policy will read and write, training tasks only."""
  rng = np.random.default_rng(config.seed)
  revised = config.imitation.improve_share or config.imitation.debug_share
  texts = []

  def read(problem: Problem) -> list[str]:
    messages = env.messages(
        problem,
        count_tokens=lambda m: sum(len(x['content']) for x in m) // 4,
        budget=config.sampler.max_prompt_tokens,
    )
    return [message['content'] for message in messages]

  for name in env.train_tasks:
    texts += read(Problem(name))
    if name not in env.own_train_tasks:
      continue
    drawn = [
        grammar.sample_program(env.tasks[name], env.preview(name), rng)
        for _ in range(50)
    ]
    texts += drawn
    if revised:
      texts += [
          mistakes.make(program, env.tasks[name], rng) for program in drawn
      ]
      texts += revisions.PHRASES
  return texts
