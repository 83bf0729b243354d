"""Attempts and groups made by hand."""

import numpy as np

from ace_jax import types


def attempt(key, problem, rank, program='x = 1', *, lost=False):
  """`rank` None: it failed."""
  status = types.Status.INFRA_ERROR if lost else types.Status.OK
  if rank is None and not lost:
    status = types.Status.ERROR
  valid = rank is not None and not lost
  return types.Attempt(
      key=key, problem=problem,
      prompt=types.Prompt(problem, np.arange(3)),
      completion=types.Completion(
          (types.Segment(np.arange(4), np.zeros(4, np.float32)),), 0, True),
      program=program,
      execution=types.Execution(
          status, 1.0, 1.0, 1.0, 0, '',
          'Traceback (most recent call last):\nKeyError: 1', {}, 'local',
          'L3'),
      milestones=0,
      grade=types.Grade(valid, rank, human_rank=rank or 0.0),
      reward=None if lost else (rank if valid else -1.0))


def group(problem, ranks, name, **kwargs):
  return types.Group(problem, tuple(
      attempt(f'{name}/{i}', problem, rank, f'x = {name!r}, {i}', **kwargs)
      for i, rank in enumerate(ranks)))
