"""A ledger's row → the Attempt that it records.

A search that goes on after an interruption must see what it saw before. Files
of a sandbox are not kept, so a search has none from the beginning: see `bare`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from ace_jax.buffer import ledger
from ace_jax.types import (
    Attempt,
    Completion,
    Execution,
    Grade,
    Problem,
    Prompt,
    Segment,
    Status,
)


def bare(attempt: Attempt) -> Attempt:
  """As `restore` would give it: without the files that its program wrote."""
  if attempt.execution is None:
    return attempt
  return dataclasses.replace(
      attempt, execution=dataclasses.replace(attempt.execution, files={})
  )


def restore(row: Mapping[str, Any], problem: Problem) -> Attempt:
  """The recorded attempt at `problem`.

  Args:
    row: of the ledger, all columns.
    problem: which the row names by task, kind and parent's key alone.

  Raises:
    ValueError: the row records an attempt at another problem.
  """
  parent = problem.parent and problem.parent.key
  there = row['task'], row['kind'], row['parent']
  if there != (problem.task, problem.kind, parent):
    raise ValueError(
        f'the ledger has {row["key"]!r} as an attempt at {there}, not at '
        f'{(problem.task, problem.kind, parent)}'
    )
  blobs = ledger.arrays(row)
  return Attempt(
      key=row['key'],
      problem=problem,
      prompt=Prompt(problem, blobs['prompt_tokens']),
      completion=Completion(
          (Segment(blobs['completion_tokens'], blobs['behavior_logp']),),
          policy_version=row['policy_version'],
          finished=bool(row['finished']),
      ),
      program=row['program'],
      execution=_execution(row),
      milestones=row['milestones'],
      grade=Grade(
          valid=bool(row['valid']),
          score=row['score'],
          medal=row['medal'],
          above_median=bool(row['above_median']),
          human_rank=row['human_rank'],
          error=row['grade_error'],
          rows=row['graded_rows'],
      ),
      reward=row['reward'],
      audits=tuple(Grade(**grade) for grade in json.loads(row['audits'])),
  )


def _execution(row: Mapping[str, Any]) -> Execution | None:
  if row['status'] is None:
    return None
  return Execution(
      status=Status(row['status']),
      duration_s=row['duration_s'],
      cpu_s=row['cpu_s'],
      peak_memory_mb=row['peak_memory_mb'],
      exit_code=row['exit_code'],
      stdout=row['stdout'],
      stderr=row['stderr'],
      files={},
      backend=row['backend'],
      level=row['level'],
      limit=row['limit_hit'],
      error=row['infra_error'],
      noisy=bool(row['noisy']),
      pinned=bool(row['pinned']),
  )
