"""Attempts made up for tests."""

import json
import pathlib

import numpy as np

from ace_jax.envs import lineage
from ace_jax.types import (
    Attempt,
    Completion,
    Execution,
    Grade,
    Problem,
    Prompt,
    Segment,
    Status,
    Task,
)

ROWS = ('all', 'reward', 'select', 'report')


def task(name='t', lower=False, scores=(0.9, 0.8, 0.7, 0.6, 0.5)):
  scores = tuple(sorted(scores, reverse=not lower))
  return Task(
      name, pathlib.Path(), 'held_out', 'binary', 'rmse' if lower else 'auc',
      lower, '', 'y', 'id', dict.fromkeys(ROWS, scores))


def grade(score=None, rank=0.0, rows='select', **more):
  return Grade(score is not None, score, human_rank=rank, rows=rows, **more)


def attempt(
    key, select=None, report=None, *, problem=None, status=Status.OK,
    program='a = 1', duration_s=1.0, rank=None, **more,
):
  """`select` and `report`: scores, None for a failure.

  `rank`: HumanRank on the report rows, else that score itself.
  """
  problem = problem or Problem('t')
  audits = () if select is None else tuple(
      grade(report, report if rank is None else rank, rows, **more)
      for rows in ('report', 'all'))
  run = Execution(
      status, duration_s, 0.5, 10.0, 0, 'said', 'Error' if select is None
      else '', {} if select is None else {
          'submission.csv': json.dumps([select, report]).encode()},
      'local', 'L3')
  tokens = np.arange(3, dtype=np.int32)
  return Attempt(
      key, problem, Prompt(problem, tokens),
      Completion((Segment(tokens, np.zeros(3, np.float32)),), 0, True),
      program, run if program else None, 0, grade(select, select or 0.0), 0.0,
      audits)


def child(parent, key, *args, **kwargs):
  return attempt(key, *args, problem=lineage.child(parent), **kwargs)
