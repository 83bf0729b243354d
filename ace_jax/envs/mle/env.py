"""The machine-learning-engineering environment: one object the loop talks to.

It turns a Problem into a chat, a completion into a Job, and an Execution into
an Attempt's grade, milestones and reward. Grading runs in a process of its
own, on bytes harvested after everything in the sandbox was dead.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import secrets
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from ace_jax.envs import compare, instrument, programs, prompts, rewards
from ace_jax.envs.mle import estimators
from ace_jax.envs.mle import tasks as tasks_lib
from ace_jax.envs.mle.bench import directory
from ace_jax.envs.mle.bench import preview as bench_preview
from ace_jax.envs.mle.grader import GraderProcess
from ace_jax.sandbox.base import SandboxSpec
from ace_jax.types import (
    Execution,
    Grade,
    Job,
    Parent,
    Problem,
    Status,
    Task,
)

Counter = Callable[[list[prompts.Message]], int]  # of a chat's tokens
NO_PROGRAM = Grade(valid=False, error='the completion holds no program')


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a job."""

  execution: Execution
  grade: Grade
  milestones: int  # reached, 0 … 6


class MleEnv:
  """Tasks, prompts, jobs and grades.

  Raises:
    ValueError: a task is unknown, not prepared, or has no answers; a held-out
      task is also trained on; or a way to pay rewards is unknown.
  """

  def __init__(
      self,
      *,
      root: pathlib.Path,
      train_tasks: Sequence[str],
      held_out_tasks: Sequence[str],
      reward: str,
      suggest_imports: bool,
      instrument_programs: bool,
      limits: SandboxSpec,
      mlebench_data: str = '',
      improve_reward: str = 'gain',
  ):
    rewards.check(reward, improve_reward)
    self.tasks: dict[str, Task] = {}
    load = functools.partial(
        self._load, root=root, mlebench_data=mlebench_data)
    self.train_tasks = load(train_tasks, 'train')
    self.held_out_tasks = load(held_out_tasks, 'held_out')
    both = set(self.train_tasks) & set(self.held_out_tasks)
    if both:
      raise ValueError(f'trained on and held out: {", ".join(sorted(both))}')
    self._reward = reward
    self._improve_reward = improve_reward
    self._suggest_imports = suggest_imports
    self._instrument = instrument_programs
    self._limits = limits
    self._previews: dict[str, prompts.Preview] = {}
    self._grader = GraderProcess()
    self._nonces: dict[str, str] = {}

  def _load(
      self, given: Sequence[str], split: str, **where
  ) -> tuple[str, ...]:
    """Names of tasks that are given by name, by directory or as a set."""
    names = []
    for item in tasks_lib.expand(given):
      task = tasks_lib.load_task(item, **where)
      if directory.is_prepared(task.path):  # it is what the config says
        task = dataclasses.replace(task, split=split)
      names.append(task.name)
      other = self.tasks.setdefault(task.name, task).path
      if other != task.path:
        raise ValueError(f'two tasks are named {task.name!r}: {other} and '
                         f'{task.path}')
    return tuple(names)

  @property
  def own_train_tasks(self) -> tuple[str, ...]:
    """Training tasks in our own layout: the grammar's, for a warm start."""
    return tuple(name for name in self.train_tasks
                 if not directory.is_prepared(self.tasks[name].path))

  def preview(self, name: str) -> prompts.Preview:
    """What a prompt shows of a task's public data, read once."""
    if name not in self._previews:
      task = self.tasks[name]
      read = prompts.preview
      if directory.is_prepared(task.path):
        read = bench_preview.preview
      self._previews[name] = read(task)
    return self._previews[name]

  def messages(
      self, problem: Problem, *, count_tokens: Counter, budget: int
  ) -> list[prompts.Message]:
    """The chat that asks for a solution, within `budget` tokens.

    Raises:
      ValueError: even the shortest is longer; `fits` tells before.
    """
    return prompts.fit(
        **self._question(problem), count_tokens=count_tokens, budget=budget
    )

  def fits(
      self, problem: Problem, *, count_tokens: Counter, budget: int
  ) -> bool:
    """Whether `messages` has an answer; one count, of the shortest chat.

    A parent's program is never cut, so it may not. The task's draft,
    `Problem(problem.task)`, can take its place.
    """
    return prompts.fits(
        **self._question(problem), count_tokens=count_tokens, budget=budget
    )

  def _question(self, problem: Problem) -> dict[str, Any]:
    preview = self.preview(problem.task)
    imports = ()
    if self._suggest_imports:
      imports = estimators.imports(
          text=any(c.kind == 'text' for c in preview.columns),
          classes=len(preview.classes),
      )
    return dict(
        problem=problem, task=self.tasks[problem.task], preview=preview,
        limits=self._limits, imports=imports,
    )

  def job(
      self, key: str, problem: Problem, program: str, *, seed: int,
      purpose: str = 'train', places: Sequence[instrument.Place] | None = None,
  ) -> Job:
    """The program as it will run: instrumented, seeded by `seed` and key.

    Milestones are printed at `places`, or where the rules say.
    """
    source = program
    if self._instrument:
      nonce = secrets.token_hex(8)
      self._nonces[key] = nonce
      source = instrument.instrument(program, nonce, places)
    return Job(
        key=key,
        program=source,
        public_dir=self.tasks[problem.task].public_dir,
        seed=zlib.crc32(f'{seed}/{key}'.encode()),
        purpose=purpose,
    )

  def finish(
      self, job: Job, execution: Execution, *, task: str, rows: str
  ) -> Outcome:
    """Grades a finished run. Thread-safe; called by the pool's workers."""
    nonce = self._nonces.pop(job.key, None)
    milestones = 0
    if nonce:
      milestones = instrument.milestones(execution.stdout, nonce)
      execution = dataclasses.replace(
          execution,
          stdout=_without(nonce, execution.stdout),
          stderr=_without(nonce, execution.stderr),
      )
    if execution.status is not Status.OK:
      ended = f'the program ended as {execution.status.value}'
      grade = Grade(valid=False, error=ended, rows=rows)
    else:
      grade = self._grader.grade(
          self.tasks[task], execution.files.get('submission.csv'), rows
      )
    return Outcome(execution, grade, milestones)

  def audit(self, task: str, submission: bytes | None, rows: str) -> Grade:
    """The grade on other rows, for a table alone.

    Args:
      task: its name.
      submission: the bytes of submission.csv; None where there is none.
      rows: reward | select | report | all.
    """
    return self._grader.grade(self.tasks[task], submission, rows)

  def reward(
      self,
      problem: Problem,
      outcome: Outcome | None,
      program: str | None = None,
  ) -> float | None:
    """The reward of an attempt; None when our own machinery failed it.

    Args:
      problem: that was asked.
      outcome: of its program; None where there was none.
      program: as the policy wrote it, by which a copy of the parent is known.

    Raises:
      ValueError: an improve attempt's grade and its parent's are on different
        rows, and their difference is no gain.
    """
    grade = outcome.grade if outcome else NO_PROGRAM
    options = {}
    if self._improve_reward == 'gain' and problem.kind == 'improve':
      parent = problem.parent
      if grade.valid and grade.rows != parent.grade.rows:
        raise ValueError(
            f'{problem.key}: graded on {grade.rows} rows, its parent on '
            f'{parent.grade.rows}'
        )
      options = {
          'parent_quality': parent.quality,
          'is_copy': grade.valid and _is_copy(parent, outcome, program),
      }
    return rewards.reward(
        self._reward,
        status=outcome.execution.status if outcome else Status.ERROR,
        grade=grade,
        num_milestones=outcome.milestones if outcome else 0,
        lower_is_better=self.tasks[problem.task].lower_is_better,
        **options,
    )

  def close(self) -> None:
    self._grader.close()



def _without(nonce: str, text: str) -> str:
  """Output as it would have been without milestones, and without the nonce
  where a program went looking for it."""
  return instrument.strip_milestones(text, nonce).replace(nonce, '')


def _is_copy(parent: Parent, outcome: Outcome, program: str | None) -> bool:
  """Whether an attempt does what its parent did: the same normalised syntax
  tree, or the same predictions on at least 99.9 % of the rows."""
  names = [programs.program_hash(p) for p in (program, parent.program) if p]
  if len(names) == 2 and names[0] == names[1]:
    return True
  submission = outcome.execution.files.get('submission.csv')
  return compare.same(compare.signature(submission), parent.signature)
