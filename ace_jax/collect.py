"""Keeps the pool full: problem → prompt → completion → execution → group.

Synchronous for now: `launch` generates and submits, `take` waits for all of
it and returns the groups in the order in which they were launched, so that a
run's result depends on no clock.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ace_jax.envs import instrument, programs
from ace_jax.envs.lm_instrument import LmInstrumenter
from ace_jax.envs.mle.env import NO_PROGRAM, MleEnv, Outcome
from ace_jax.policy.tokenizer import encode_chat
from ace_jax.sampler.base import Sampler
from ace_jax.sandbox.base import Sandbox
from ace_jax.sandbox.pool import Pool
from ace_jax.types import (
    Attempt,
    Completion,
    Execution,
    Group,
    Job,
    Problem,
    Prompt,
    Status,
)


@dataclasses.dataclass
class _Flight:
  """A launched attempt."""

  key: str
  problem: Problem
  prompt: Prompt
  completion: Completion
  program: str | None
  rows: str
  places: Sequence[instrument.Place] | None = None  # of milestones; None: rules
  outcome: Outcome | None = None


class Collector:
  """Turns problems into groups of graded attempts."""

  def __init__(
      self,
      env: MleEnv,
      sampler: Sampler,
      sandbox: Sandbox,
      tokenizer: Any,
      *,
      max_prompt_tokens: int,
      num_slots: int,
      max_infra_retries: int,
      seed: int,
      instrumenter: LmInstrumenter | None = None,
  ):
    self._env = env
    self._instrumenter = instrumenter
    self._sampler = sampler
    self._tokenizer = tokenizer
    self._budget = max_prompt_tokens
    self._seed = seed
    self._flights: dict[str, _Flight] = {}
    self._groups: list[list[str]] = []
    self._pool = Pool(
        sandbox,
        num_slots=num_slots,
        max_infra_retries=max_infra_retries,
        finish=self._finish,
    )
    self._sample_s, self._execute_s, self._num_tokens = 0.0, 0.0, 0

  def prompt(self, problem: Problem) -> Prompt:
    """The problem as token ids, within the token budget.

    Raises:
      ValueError: it does not fit; `fits` tells before.
    """
    messages = self._env.messages(
        problem, count_tokens=self._count, budget=self._budget
    )
    return Prompt(problem, encode_chat(self._tokenizer, messages))

  def fits(self, problem: Problem) -> bool:
    """Whether `prompt` has an answer: a parent's program is never cut."""
    return self._env.fits(
        problem, count_tokens=self._count, budget=self._budget
    )

  def _count(self, messages: list[dict[str, str]]) -> int:
    return len(encode_chat(self._tokenizer, messages))

  def launch(
      self,
      problems: Sequence[Problem],
      rng: jax.Array,
      *,
      prefix: str,
      num_samples: int,
      rows: str = 'reward',
      purpose: str = 'train',
      **sampling: Any,
  ) -> None:
    """Generates `num_samples` completions per problem and submits them.

    Args:
      problems: their groups come back from `take` in this order.
      rng: a key, consumed.
      prefix: of the attempts' keys, unique in the run: `<prefix>/<q>/<g>`.
      num_samples: G.
      rows: which answers the grade is taken on.
      purpose: of the jobs.
      **sampling: passed to the sampler.
    """
    start = time.monotonic()
    prompts = [self.prompt(problem) for problem in problems]
    samples = self._sampler.generate(
        [prompt.tokens for prompt in prompts],
        rng,
        num_samples=num_samples,
        **sampling,
    )
    self._sample_s += time.monotonic() - start
    self._num_tokens += sum(len(c.tokens()) for row in samples for c in row)
    launched: dict[str, _Flight] = {}
    for q, (prompt, row) in enumerate(zip(prompts, samples, strict=True)):
      keys = [f'{prefix}/{q}/{g}' for g in range(len(row))]
      for key, completion in zip(keys, row, strict=True):
        text = self._tokenizer.decode(
            completion.tokens(), skip_special_tokens=True
        )
        flight = _Flight(
            key, prompt.problem, prompt, completion, programs.extract(text),
            rows,
        )
        self._flights[key] = launched[key] = flight
      self._groups.append(keys)
    if self._instrumenter and purpose == 'train':
      places = self._instrumenter.places(
          [flight.program for flight in launched.values()]
      )
      for flight, found in zip(launched.values(), places, strict=True):
        flight.places = found
    for flight in launched.values():
      if flight.program is not None:
        self._submit(flight, purpose)

  def _submit(self, flight: _Flight, purpose: str) -> None:
    self._pool.submit(
        self._env.job(
            flight.key,
            flight.problem,
            flight.program,
            seed=self._seed,
            purpose=purpose,
            places=flight.places,
        )
    )

  def _finish(self, job: Job, execution: Execution) -> Outcome:
    flight = self._flights[job.key]
    return self._env.finish(
        job, execution, task=flight.problem.task, rows=flight.rows
    )

  def take(self) -> list[Group]:
    """Waits for everything launched; groups in the order of launching."""
    start = time.monotonic()
    waiting = sum(f.program is not None for f in self._flights.values())
    for _ in range(waiting):
      job, outcome = self._pool.take()
      self._flights[job.key].outcome = outcome
    groups = [
        Group(
            self._flights[keys[0]].problem,
            tuple(self._attempt(self._flights[key]) for key in keys),
        )
        for keys in self._groups
    ]
    self._flights, self._groups = {}, []
    self._execute_s += time.monotonic() - start
    return groups

  def _attempt(self, flight: _Flight) -> Attempt:
    outcome = flight.outcome
    return Attempt(
        key=flight.key,
        problem=flight.problem,
        prompt=flight.prompt,
        completion=flight.completion,
        program=flight.program,
        execution=outcome.execution if outcome else None,
        milestones=outcome.milestones if outcome else 0,
        grade=outcome.grade if outcome else NO_PROGRAM,
        reward=self._env.reward(flight.problem, outcome, flight.program),
    )

  def run(
      self,
      items: Sequence[tuple[str, Problem, str]],
      *,
      purpose: str,
      on_done: Any = None,
  ) -> list[Outcome]:
    """Runs given programs, without a completion: demonstrations, baselines.

    Args:
      items: (key, problem, program).
      purpose: of the jobs.
      on_done: called after each, for progress.

    Returns:
      Outcomes in the order of the items.
    """
    for key, problem, program in items:
      flight = _Flight(key, problem, None, None, program, 'reward')
      self._flights[key] = flight
      self._submit(flight, purpose)
    outcomes = {}
    for _ in items:
      job, outcome = self._pool.take()
      outcomes[job.key] = outcome
      if on_done:
        on_done()
    self._flights = {}
    return [outcomes[key] for key, _, _ in items]

  def pop_timings(self) -> dict[str, float]:
    """Metrics since the last call: seconds, tokens per second, rates."""
    out = {
        'time/sample_s': self._sample_s,
        'time/execute_s': self._execute_s,
        'sampler/tokens_per_s': self._num_tokens / max(self._sample_s, 1e-9),
    }
    self._sample_s, self._execute_s, self._num_tokens = 0.0, 0.0, 0
    if self._instrumenter:
      out |= self._instrumenter.pop_metrics()
    return out

  def close(self) -> None:
    self._pool.close()


def metrics(groups: Sequence[Group]) -> dict[str, float]:
  """What a step's groups say, as metric paths."""
  attempts = [a for group in groups for a in group.attempts]
  ran = [a.execution for a in attempts if a.execution]
  rewards = [a.reward for a in attempts if a.reward is not None]
  valid = [a for a in attempts if a.grade.valid]
  spread = [
      np.std([a.reward for a in g.attempts if a.reward is not None] or [0])
      for g in groups
  ]
  trees = {programs.program_hash(a.program) for a in attempts if a.program}

  def rate(count: int) -> float:
    return count / len(attempts)

  def ended(status: Status) -> float:
    return rate(sum(e.status is status for e in ran))

  def mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0

  lengths = [len(a.completion.tokens()) for a in attempts]
  return {
      'reward/mean': mean(rewards),
      'reward/std': float(np.std(rewards)) if rewards else 0.0,
      'exec/valid_rate': rate(len(valid)),
      'exec/error_rate': ended(Status.ERROR),
      'exec/timeout_rate': ended(Status.TIMEOUT),
      'exec/infra_errors': float(
          sum(e.status is Status.INFRA_ERROR for e in ran)
      ),
      'exec/no_program_rate': rate(sum(a.program is None for a in attempts)),
      'exec/duration_mean_s': mean([e.duration_s for e in ran]),
      'score/human_rank_mean': mean([a.grade.human_rank for a in attempts]),
      'score/best': max(a.grade.human_rank for a in attempts),
      'sampler/completion_tokens_mean': mean(lengths),
      'sampler/finished_rate': rate(
          sum(a.completion.finished for a in attempts)
      ),
      'group/nonzero_advantage_rate': mean([s > 1e-6 for s in spread]),
      'program/distinct': float(len(trees)),
  }
