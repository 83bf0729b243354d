"""The Problems of one task: columns that are copied when they are written.

A Table never changes; each function returns another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ace_jax.buffer import cells
from ace_jax.types import Problem

NUM_CELLS = len(cells.NAMES)
# What is summed over attempts, see core/learnability.moments.
COUNT, TOTAL, FREEDOM, SQUARES, COST = range(5)
NUM_SUMS = 5


class Table(NamedTuple):
  """N Problems of one task; row 0 is its draft."""

  problems: tuple[Problem, ...]  # [N]
  keys: tuple[str, ...]  # [N] of the problems
  hashes: tuple[str, ...]  # [N] of the parents' programs, '' of the draft
  roots: tuple[str, ...]  # [N] of their lineages, '' of the draft
  cell: np.ndarray  # [N] int64, index in cells.NAMES
  quality: np.ndarray  # [N] HumanRank of the parent, 0 of the draft
  sums: np.ndarray  # [COST, N] float32, a Problem's own attempts, decaying
  visits: np.ndarray  # [N] groups drawn, never decaying
  weight: np.ndarray  # [N] what draws are proportional to
  best: int  # row of the best Attempt's improve Problem; 0: none yet
  cell_sums: np.ndarray  # [NUM_CELLS, NUM_SUMS] of all its attempts, decaying
  noise: np.ndarray  # [2] degrees of freedom, sum of squares of replicates
  averages: np.ndarray  # [3] fast and slow of draft rewards; draft groups


_TEXTS = ('problems', 'keys', 'hashes', 'roots')
_COLUMNS = ('cell', 'quality', 'sums', 'visits', 'weight')  # N comes last


def new(task: str) -> Table:
  """A task with its draft, never drawn."""
  return Table(
      problems=(Problem(task),),
      keys=(Problem(task).key,),
      hashes=('',),
      roots=('',),
      cell=np.zeros(1, np.int64),
      quality=np.zeros(1),
      sums=np.zeros((COST, 1), np.float32),
      visits=np.zeros(1),
      weight=np.ones(1),
      best=0,
      cell_sums=np.zeros((NUM_CELLS, NUM_SUMS)),
      noise=np.zeros(2),
      averages=np.zeros(3),
  )


def add(table: Table, problems: Mapping[str, Problem]) -> Table:
  """More rows, never drawn and without a weight yet.

  Args:
    table: of the problems' task.
    problems: improve or debug, by the hash of their parent's program.
  """
  if not problems:
    return table
  new = list(problems.values())
  texts = (new, [p.key for p in new], problems, [p.parent.root for p in new])
  columns = (
      [cells.cell(p) for p in new],
      [p.parent.quality for p in new],
      np.zeros((COST, len(new))),
      np.zeros(len(new)),
      np.zeros(len(new)),
  )
  quality = [*table.quality, *columns[1]]
  best = table.best
  for row, problem in enumerate(new, start=len(table.problems)):
    if problem.kind == 'improve' and (
        not best or quality[row] > quality[best]
    ):
      best = row
  return table._replace(
      best=best,
      **{
          name: (*getattr(table, name), *more)
          for name, more in zip(_TEXTS, texts, strict=True)
      },
      **{
          name: np.concatenate(
              [old := getattr(table, name), np.asarray(more, old.dtype)], -1
          )
          for name, more in zip(_COLUMNS, columns, strict=True)
      },
  )


def remove(table: Table, row: int) -> Table:
  """The table without one row, which is neither the draft nor the best."""
  return table._replace(
      best=table.best - (row < table.best),
      **{
          name: getattr(table, name)[:row] + getattr(table, name)[row + 1 :]
          for name in _TEXTS
      },
      **{name: np.delete(getattr(table, name), row, -1) for name in _COLUMNS},
  )


def observe(table: Table, problem: Problem, sums: np.ndarray) -> Table:
  """After a group of attempts at a Problem, which may have been evicted.

  Args:
    table: of the problem's task.
    problem: by its key.
    sums: [NUM_SUMS] of the group.
  """
  cell_sums = table.cell_sums.copy()
  cell_sums[cells.cell(problem)] += sums
  table = table._replace(cell_sums=cell_sums)
  if problem.key not in table.keys:
    return table
  row = table.keys.index(problem.key)
  own, visits = table.sums.copy(), table.visits.copy()
  own[:, row] += sums[:COST]
  visits[row] += 1
  return table._replace(sums=own, visits=visits)


def least(table: Table, root: str | None = None) -> int | None:
  """The row to evict: least weight, then oldest, never the draft or the best.

  Args:
    table: of a task.
    root: only rows that descend from it.
  """
  weight = table.weight.copy()
  weight[[0, table.best]] = np.inf
  if root is not None:
    weight[[r != root for r in table.roots]] = np.inf
  row = int(weight.argmin())
  return None if weight[row] == np.inf else row
