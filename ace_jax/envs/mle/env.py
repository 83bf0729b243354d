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
from collections.abc import Sequence

from ace_jax.envs import instrument, prompts, rewards
from ace_jax.envs.mle import estimators
from ace_jax.envs.mle import tasks as tasks_lib
from ace_jax.envs.mle.bench import competitions, directory
from ace_jax.envs.mle.bench import preview as bench_preview
from ace_jax.envs.mle.grader import GraderProcess
from ace_jax.sandbox.base import SandboxSpec
from ace_jax.types import Execution, Grade, Job, Problem, Status, Task

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
    ValueError: a task is unknown, not prepared, or has no answers; or a
      held-out task is also trained on.
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
  ):
    self.tasks: dict[str, Task] = {}
    load = functools.partial(
        self._load, root=root, mlebench_data=mlebench_data)
    self.train_tasks = load(train_tasks, 'train')
    self.held_out_tasks = load(held_out_tasks, 'held_out')
    both = set(self.train_tasks) & set(self.held_out_tasks)
    if both:
      raise ValueError(f'trained on and held out: {", ".join(sorted(both))}')
    self._reward = reward
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
    for item in competitions.expand(given):
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
      self, problem: Problem, *, count_tokens, budget: int
  ) -> list[dict[str, str]]:
    """The chat that asks for a solution, within `budget` tokens."""
    preview = self.preview(problem.task)
    imports = ()
    if self._suggest_imports:
      imports = estimators.imports(
          text=any(c.kind == 'text' for c in preview.columns),
          classes=len(preview.classes),
      )
    return prompts.fit(
        problem,
        self.tasks[problem.task],
        preview,
        self._limits,
        count_tokens=count_tokens,
        budget=budget,
        imports=imports,
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
          stdout=instrument.strip_milestones(execution.stdout, nonce),
          stderr=instrument.strip_milestones(execution.stderr, nonce),
      )
    if execution.status is not Status.OK:
      grade = Grade(False, error=f'the program ended as {execution.status}')
    else:
      grade = self._grader.grade(
          self.tasks[task], execution.files.get('submission.csv'), rows
      )
    return Outcome(execution, grade, milestones)

  def audit(self, task: str, submission: bytes | None, rows: str) -> Grade:
    """The grade on other rows, for a table alone."""
    return self._grader.grade(self.tasks[task], submission, rows)

  def reward(self, problem: Problem, outcome: Outcome | None) -> float | None:
    """The reward of an attempt; None when our own machinery failed it."""
    status = outcome.execution.status if outcome else Status.ERROR
    return rewards.reward(
        self._reward,
        status=status,
        grade=outcome.grade if outcome else NO_PROGRAM,
        num_milestones=outcome.milestones if outcome else 0,
        lower_is_better=self.tasks[problem.task].lower_is_better,
    )

  def close(self) -> None:
    self._grader.close()

