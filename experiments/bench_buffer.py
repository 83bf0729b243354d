"""What the evolving buffer costs at a million Problems.

  python -m experiments.bench_buffer [--quick]

1,000 tasks with 1,000 Problems each (--quick: 100 tasks). An insert is one
finished group of a drawn Problem, whose attempts hold one new valid program,
so that its task, which is full, evicts one; a sample is one Problem. Both are
means over 1,000 calls. The insert's figure leaves out the hash of a program's
syntax tree, which depends on the program alone: `hash_ms`, for one of eight
lines. A refresh decays and scores everything; its figure is the median.

`…_ms` is CPU time of one thread, so that a busy machine does not change it;
`…_wall_ms` what a clock says. The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import TypeVar
from unittest import mock

import numpy as np

from ace_jax.buffer import cells, draws, evolving
from ace_jax.buffer.spec import Spec
from ace_jax.envs import programs
from ace_jax.types import (
  Attempt,
  Completion,
  Execution,
  Grade,
  Group,
  Parent,
  Problem,
  Prompt,
  Status,
)

PROGRAM = """import pandas as pd
from sklearn.linear_model import Ridge
train, test = pd.read_csv('data/train.csv'), pd.read_csv('data/test.csv')
model = Ridge(alpha={})
model.fit(train.drop(columns=['id', 'y']), train['y'])
test['y'] = model.predict(test.drop(columns=['id']))
test[['id', 'y']].to_csv('submission.csv', index=False)
"""
NONE = np.zeros(0, np.int32)
CALLS = 1000
T = TypeVar('T')


def full(num_tasks: int, per_task: int, spec: Spec) -> evolving.Buffer:
  """A buffer with `per_task` Problems in each task, half of them visited."""
  names = [f'task-{i}' for i in range(num_tasks)]
  buffer = evolving.init(names, spec)
  tables = []
  for name, table in zip(names, buffer.tables, strict=True):
    rng = np.random.default_rng(len(tables))
    quality = rng.random(per_task - 1)
    problems = [
        Problem(name, 'improve', Parent(
            f'{name}/{i}', f'{name}/{i // 8}', i % 8, 'pass', '', '', 6,
            Grade(True, human_rank=float(quality[i]))))
        for i in range(per_task - 1)
    ]
    visits = rng.integers(0, 2, per_task).astype(float)
    tables.append(table._replace(
        problems=(*table.problems, *problems),
        keys=(*table.keys, *(p.key for p in problems)),
        hashes=('', *(f'{i:016x}' for i in range(per_task - 1))),
        roots=('', *(p.parent.root for p in problems)),
        cell=np.array([0, *map(cells.cell, problems)]),
        quality=np.array([0, *quality]),
        sums=(rng.random((4, per_task)) * visits).astype(np.float32),
        visits=visits,
        weight=np.ones(per_task),
        best=1 + int(quality.argmax()),
    ))
  buffer = buffer._replace(
      tables=tuple(tables), size=num_tasks * per_task)
  return evolving.refresh(buffer, spec, version=1)


def group(problem: Problem, i: int, size: int = 4) -> Group:
  """One valid attempt and failures without a program."""
  run = Execution(Status.OK, 5.0, 5.0, 100.0, 0, '', '', {}, 'local', 'L2')
  prompt, done = Prompt(problem, NONE), Completion((), 0, True)
  rng = np.random.default_rng(i)
  won = Attempt(f'new/{i}/0', problem, prompt, done,
                PROGRAM.format(rng.random()), run, 6,
                Grade(True, human_rank=float(rng.random())), 1.0)
  lost = tuple(
      Attempt(f'new/{i}/{j}', problem, prompt, done, None, None, 0,
              Grade(False), 0.0) for j in range(1, size))
  return Group(problem, (won, *lost))


def timed(fn: Callable[[], T]) -> tuple[T, np.ndarray]:
  """What `fn` returns, and its milliseconds: CPU, wall."""
  start = time.process_time(), time.perf_counter()
  out = fn()
  end = time.process_time(), time.perf_counter()
  return out, 1000 * np.subtract(end, start)


def measure(num_tasks: int, per_task: int, repeats: int) -> dict[str, float]:
  spec = Spec(capacity=per_task, cost='none')
  buffer = full(num_tasks, per_task, spec)
  size = buffer.size
  refreshes = []
  for version in range(2, 2 + repeats):
    buffer, taken = timed(
        lambda b=buffer, v=version: evolving.refresh(b, spec, version=v))
    refreshes.append(taken)
  rng = np.random.default_rng(0)
  drawn, sampling = timed(lambda: [
      draws.sample(buffer, spec, rng, 1)[0] for _ in range(CALLS)])
  groups = [group(problem, i) for i, problem in enumerate(drawn)]
  new = [g.attempts[0].program for g in groups]
  hashes, hashing = timed(lambda: list(map(programs.program_hash, new)))
  known = dict(zip(new, hashes, strict=True))

  def insert_all() -> evolving.Buffer:
    after = buffer
    for one in groups:
      after = evolving.insert(after, spec, [one])
    return after

  with mock.patch.object(programs, 'program_hash', known.__getitem__):
    after, inserting = timed(insert_all)
  if after.size != size or after.duplicates:
    raise ValueError('not every insert evicted one Problem')
  result = {'problems': size}
  for name, taken in (
      ('insert', inserting / CALLS), ('sample', sampling / CALLS),
      ('hash', hashing / CALLS), ('refresh', np.median(refreshes, 0)),
  ):
    result[f'{name}_ms'], result[f'{name}_wall_ms'] = taken.round(4).tolist()
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return result | {'peak_mb': peak // 1024}


def main() -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
  parser.add_argument('--quick', action='store_true')
  args = parser.parse_args()
  result = measure(100 if args.quick else 1000, 1000, 3 if args.quick else 9)
  print(json.dumps(result))


if __name__ == '__main__':
  main()
