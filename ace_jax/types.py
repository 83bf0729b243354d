"""The records that flow through a run, in the order in which they arise.

  Task → Problem → Prompt → Completion → Job → Execution → Grade → Attempt
    → Group → Batch → LearnerState

All are immutable. Host records are dataclasses; what enters a jitted function
(`Batch`, `LearnerState`) is a NamedTuple and so a pytree. This file imports
nothing heavy: the sandbox and the graders use it without loading JAX.
"""

from __future__ import annotations

import dataclasses
import enum
import pathlib
from typing import Any, NamedTuple

import numpy as np

Array = Any  # a numpy or JAX array


@dataclasses.dataclass(frozen=True)
class Task:
  """A competition on disk, in the MLE-bench layout."""

  name: str
  path: pathlib.Path  # holds prepared/public, prepared/private, task.json
  split: str  # train | held_out
  kind: str  # binary | multiclass | regression
  metric: str  # a key of envs.mle.metrics.METRICS, or MLE-bench's
  lower_is_better: bool
  description: str  # the text of description.md
  target: str  # name of the column to predict
  id_column: str  # name of the row id in test.csv and in a submission
  leaderboard: dict[str, tuple[float, ...]]  # rows name → scores, best first

  @property
  def public_dir(self) -> pathlib.Path:
    return self.path / 'prepared' / 'public'

  @property
  def private_dir(self) -> pathlib.Path:
    return self.path / 'prepared' / 'private'


@dataclasses.dataclass(frozen=True)
class Parent:
  """What a Problem keeps, by value, of the attempt that it starts from."""

  key: str  # Attempt.key
  root: str  # Attempt.key of the draft that its lineage began with
  depth: int  # attempts between it and that draft; 0: it is the draft
  program: str  # as the policy wrote it, without milestones
  stdout: str  # the tail
  stderr: str  # the tail, with the policy's own line numbers
  milestones: int  # how many were reached, 0 … 6
  grade: Grade  # what prompts and rewards may know: never the report rows
  signature: bytes = b''  # of its predictions, see envs/compare.py

  @property
  def quality(self) -> float:
    """HumanRank, 0 of a failure."""
    return self.grade.human_rank if self.grade.valid else 0.0


@dataclasses.dataclass(frozen=True)
class Problem:
  """What the policy is asked now."""

  task: str  # Task.name
  kind: str = 'draft'  # draft | improve | debug
  parent: Parent | None = None  # whose program an improve or debug starts from

  @property
  def key(self) -> str:
    """Two Problems with one key are the same question."""
    parent = self.parent and self.parent.key
    return ':'.join(filter(None, (self.task, self.kind, parent)))


@dataclasses.dataclass(frozen=True)
class Prompt:
  problem: Problem
  tokens: np.ndarray  # [T] int32, the chat template applied, unpadded


@dataclasses.dataclass(frozen=True)
class Segment:
  """A run of tokens: the policy's own (`is_action`) or the environment's."""

  tokens: np.ndarray  # [T] int32
  behavior_logp: np.ndarray  # [T] float32, under the distribution sampled from
  is_action: bool = True


@dataclasses.dataclass(frozen=True)
class Completion:
  segments: tuple[Segment, ...]
  policy_version: int  # number of weight syncs before it was sampled
  finished: bool  # a stop token ended it, not the length limit

  def tokens(self) -> np.ndarray:
    """[T] int32."""
    return np.concatenate([s.tokens for s in self.segments])

  def behavior_logp(self) -> np.ndarray:
    """[T] float32."""
    return np.concatenate([s.behavior_logp for s in self.segments])

  def mask(self) -> np.ndarray:
    """[T] float32, 1 on the policy's own tokens."""
    return np.concatenate([
        np.full(len(s.tokens), s.is_action, np.float32) for s in self.segments
    ])


class Status(str, enum.Enum):
  """How an execution ended. Failure of a program is data, not an exception."""

  OK = 'ok'
  ERROR = 'error'  # non-zero exit
  TIMEOUT = 'timeout'  # CPU limit or wall deadline
  OOM = 'oom'
  OUTPUT_LIMIT = 'output_limit'
  DISK_LIMIT = 'disk_limit'
  INFRA_ERROR = 'infra_error'  # our machinery failed, never the policy


@dataclasses.dataclass(frozen=True)
class Job:
  """What the pool runs."""

  key: str  # unique in a run: '<step>/<problem>/<sample>'
  program: str  # Python source, instrumented or not
  public_dir: pathlib.Path | None  # appears read-only as data/ (and /home/data)
  seed: int = 0  # seeds random and numpy.random before the program starts
  purpose: str = 'train'  # train | replicate | audit | baseline


@dataclasses.dataclass(frozen=True)
class Execution:
  """What the sandbox saw."""

  status: Status
  duration_s: float  # executor's monotonic clock, hand-over → sandbox empty
  cpu_s: float  # of all processes of the program
  peak_memory_mb: float
  exit_code: int | None  # negative: killed by that signal
  stdout: str  # head and tail when over the limit
  stderr: str
  files: dict[str, bytes]  # harvested regular files, name → content
  backend: str  # local | docker | ray
  level: str  # L3 | L2 | L1, for docker 'container'
  limit: str | None = None  # what was hit: cpu | wall | memory | output | disk
  error: str | None = None  # for infra_error: what failed
  noisy: bool = False  # a first try hit the wall deadline and was repeated
  pinned: bool = False  # on cores that no other slot had


@dataclasses.dataclass(frozen=True)
class Grade:
  """What the grader, a process with the private answers, says."""

  valid: bool
  score: float | None = None  # the task's metric, rounded to 5 decimals
  medal: str | None = None  # gold | silver | bronze
  above_median: bool = False
  human_rank: float = 0.0  # in [0, 1], see envs/mle/leaderboard.py
  error: str | None = None  # why a submission is not valid
  rows: str = 'reward'  # which answers: reward | select | report | all


@dataclasses.dataclass(frozen=True)
class Attempt:
  """One finished trace."""

  key: str
  problem: Problem
  prompt: Prompt
  completion: Completion
  program: str | None  # None: the completion held no program
  execution: Execution | None  # None: there was nothing to run
  milestones: int  # how many were reached, 0 … 6
  grade: Grade  # on the rows that prompts, rewards and selection may see
  reward: float | None  # None: infra_error, leaves the batch
  audits: tuple[Grade, ...] = ()  # on other rows, opened for a table alone

  @property
  def duration_s(self) -> float:
    return self.execution.duration_s if self.execution else 0.0


@dataclasses.dataclass(frozen=True)
class Group:
  """The attempts of one problem, in the order of their samples."""

  problem: Problem
  attempts: tuple[Attempt, ...]


class Batch(NamedTuple):
  """Fixed-shape arrays of Q problems with G completions each.

  A row holds its prompt once and its completions beside each other, so that
  the prompt is computed once for the whole group. Prompts are left-padded to
  P tokens, completions right-padded to C.
  """

  prompt: Array  # [Q, P] int32
  prompt_mask: Array  # [Q, P] float32, 1 on real tokens
  completion: Array  # [Q, G, C] int32
  mask: Array  # [Q, G, C] float32, 1 where the loss is taken
  behavior_logp: Array  # [Q, G, C] float32, the sampler's
  old_logp: Array  # [Q, G, C] float32, the proximal policy's
  ref_logp: Array  # [Q, G, C] float32, the reference's; zeros without one
  adv: Array  # [Q, G] float32
  weight: Array  # [Q, G] float32, duration weight; 0 leaves an attempt out
  reward: Array | None = None  # [Q, G] float32, at the end of the completion
  # What PPO's critic adds to a batch, and None without one; its `adv` is one
  # for each token, [Q, G, C].
  old_value: Array | None = None  # [Q, G, C] float32, before the updates
  returns: Array | None = None  # [Q, G, C] float32, what values should be


class LearnerState(NamedTuple):
  step: Array  # [] int32, completed updates
  params: Any  # pytree of arrays
  opt_state: Any
