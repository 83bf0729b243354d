"""Problem → chat: what the policy is told about a task.

Short on purpose: every prompt token is paid for in each forward and backward
pass. `fit` drops what helps least first: example rows, then columns, then the
description, then what an earlier program printed; never a part of a program.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Protocol

import pandas as pd

from ace_jax.envs import previous
from ace_jax.types import Problem, Task

Message = dict[str, str]  # role, content

SYSTEM = 'You solve machine learning tasks with short Python programs.'
_PROBABILITIES = ('auc', 'log_loss', 'multi_log_loss')
_TEXT_WORDS = 4  # mean words per value from which a string column is text
_NAMES = {
    'accuracy': 'accuracy', 'auc': 'AUC', 'log_loss': 'log loss',
    'rmse': 'RMSE', 'mae': 'MAE', 'macro_f1': 'macro F1',
    'quadratic_kappa': 'quadratic weighted kappa',
    'multi_log_loss': 'log loss',
}


class Limits(Protocol):
  """What a prompt says about the sandbox; `SandboxSpec` has it."""

  cpu_limit_s: float
  memory_mb: int


# --- What a task's public data look like -----------------------------------


@dataclasses.dataclass(frozen=True)
class Column:
  """A feature."""

  name: str
  kind: str  # number | category | text
  missing: float  # fraction of train.csv, in [0, 1]
  cardinality: int  # distinct values in train.csv


@dataclasses.dataclass(frozen=True)
class Preview:
  """What a prompt, or a grammar, may know of a task: public data only."""

  columns: tuple[Column, ...]  # the features, in the order of test.csv
  rows: tuple[tuple[str, ...], ...]  # of train.csv: the features, the target
  num_rows: int  # of train.csv
  classes: tuple[str, ...]  # sorted labels as CSV text; () for regression
  submission_columns: tuple[str, ...]
  # Said in place of what is derived, where a task's files are not as ours.
  question: str = ''
  contract: str = ''
  files: str = ''  # what there is to read


def preview(task: Task, *, num_rows: int = 2) -> Preview:
  """Reads a task's public data. Slow enough to be worth caching.

  Raises:
    OSError, ValueError: the public data are missing or not as described.
  """
  train = pd.read_csv(task.public_dir / 'train.csv')
  features = pd.read_csv(task.public_dir / 'test.csv', nrows=0).columns
  features = [name for name in features if name != task.id_column]
  lacking = [n for n in [*features, task.target] if n not in train.columns]
  if lacking:
    raise ValueError(f'{task.name}: train.csv has no column {lacking[0]!r}')
  sample = pd.read_csv(task.public_dir / 'sample_submission.csv', nrows=0)
  classes = ()
  if task.kind != 'regression':
    classes = tuple(map(str, sorted(train[task.target].dropna().unique())))
  return Preview(
      columns=tuple(column(train[name]) for name in features),
      rows=tuple(
          tuple(cell(row[name]) for name in [*features, task.target])
          for _, row in train.head(num_rows).iterrows()
      ),
      num_rows=len(train),
      classes=classes,
      submission_columns=tuple(sample.columns),
  )


def column(values: pd.Series) -> Column:
  """What a prompt says of a column, from its values."""
  present = values.dropna()
  if pd.api.types.is_numeric_dtype(values):
    kind = 'number'
  else:
    words = present.astype(str).str.split().str.len().mean()
    kind = 'text' if words >= _TEXT_WORDS else 'category'
  missing = float(values.isna().mean())
  return Column(str(values.name), kind, missing, int(present.nunique()))


def cell(value: object, *, width: int = 40) -> str:
  """A value as a prompt shows it, on one line."""
  if isinstance(value, float):
    return '' if pd.isna(value) else f'{value:.3g}'
  text = ' '.join(str(value).split())
  return text if len(text) <= width else text[:width] + '…'


# --- The chat --------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Detail:
  """How much is shown."""

  rows: int  # of train.csv
  columns: int  # names listed; half as many in the rows
  description: int  # characters
  output_lines: int = 8  # of what the parent printed
  error: int = 600  # characters of the parent's traceback


LADDER = (
    Detail(rows=2, columns=12, description=200),
    Detail(rows=1, columns=12, description=200),
    Detail(rows=0, columns=12, description=200),
    Detail(rows=0, columns=6, description=200),
    Detail(rows=0, columns=2, description=100),
    Detail(rows=0, columns=0, description=0),
)
# Goes on where there is a parent.
PARENT_LADDER = (
    Detail(rows=0, columns=0, description=0, output_lines=4, error=300),
    Detail(rows=0, columns=0, description=0, output_lines=2, error=150),
    Detail(rows=0, columns=0, description=0, output_lines=0, error=0),
)


def messages(
    problem: Problem,
    task: Task,
    preview: Preview,
    limits: Limits,
    *,
    imports: Sequence[str] = (),
    detail: Detail = LADDER[0],
) -> list[Message]:
  """The chat for a problem. Pure.

  Args:
    problem: what is asked.
    task: of the problem.
    preview: of the task's public data.
    limits: of the sandbox.
    imports: statements to suggest, for a policy that does not know the
      packages by heart.
    detail: how much to show.

  Raises:
    ValueError: an unknown kind; improve or debug without a parent, or with one
      graded on rows that prompts may not know.
  """
  lines = [
      _question(task, preview),
      _summary(task.description, detail.description),
      _columns(preview.columns, detail.columns),
      _rows(task, preview, detail),
      preview.files if detail.columns else '',
      _contract(task, preview),
      f'Limits: {limits.cpu_limit_s:g} s CPU, {limits.memory_mb} MB.',
      '\n'.join(imports),
  ]
  if problem.kind in ('improve', 'debug'):
    lines.append(previous.describe(
        problem, output_lines=detail.output_lines, error=detail.error
    ))
  elif problem.kind != 'draft':
    raise ValueError(f'unknown kind of problem {problem.kind!r}')
  return [
      {'role': 'system', 'content': SYSTEM},
      {'role': 'user', 'content': '\n'.join(filter(None, lines))},
  ]


def fit(
    problem: Problem,
    task: Task,
    preview: Preview,
    limits: Limits,
    *,
    count_tokens: Callable[[list[Message]], int],
    budget: int,
    imports: Sequence[str] = (),
) -> list[Message]:
  """The most detailed chat within `budget` tokens.

  Raises:
    ValueError: even the shortest is longer.
  """
  for detail in ladder(problem):
    chat = messages(
        problem, task, preview, limits, imports=imports, detail=detail,
    )
    if (count := count_tokens(chat)) <= budget:
      return chat
  raise ValueError(
      f'the shortest prompt for {problem.key} takes {count} tokens; the limit '
      f'is {budget}'
  )


def fits(
    problem: Problem,
    task: Task,
    preview: Preview,
    limits: Limits,
    *,
    count_tokens: Callable[[list[Message]], int],
    budget: int,
    imports: Sequence[str] = (),
) -> bool:
  """Whether `fit` has an answer; counts the shortest chat alone."""
  shortest = messages(
      problem, task, preview, limits, imports=imports,
      detail=ladder(problem)[-1],
  )
  return count_tokens(shortest) <= budget


def ladder(problem: Problem) -> tuple[Detail, ...]:
  """From the most detail to the least."""
  return LADDER + (PARENT_LADDER if problem.parent else ())


def _question(task: Task, preview: Preview) -> str:
  if preview.question:
    return preview.question
  kind, what = 'Regression', 'a number'
  if preview.classes:
    labels = abbreviate(preview.classes)
    kind = 'Classification'
    what = ', '.join(labels[:8]) + (', …' if len(labels) > 8 else '')
  return (
      f'{kind}. Target: {task.target} ({what}), {preview.num_rows} training '
      'rows.'
  )


def _summary(description: str, limit: int) -> str:
  """The first paragraph that is no heading, cut after a sentence."""
  paragraphs = (' '.join(p.split()) for p in description.split('\n\n'))
  text = next((p for p in paragraphs if p and not p.startswith('#')), '')
  if len(text) <= limit:
    return text
  sentences = re.findall(r'.+?[.!?](?=\s|$)', text[:limit])
  return ''.join(sentences).strip()


def _columns(columns: Sequence[Column], limit: int) -> str:
  """Names by kind, numbered series abbreviated: `p0…p63`."""
  if not limit:
    return ''
  parts = []
  for kind, title in (
      ('number', 'Numeric'), ('category', 'String'), ('text', 'Text')
  ):
    names = abbreviate([c.name for c in columns if c.kind == kind])
    if names:
      more = ', …' if len(names) > limit else ''
      parts.append(f'{title} columns: {", ".join(names[:limit])}{more}.')
  missing = abbreviate([c.name for c in columns if c.missing])
  if missing:
    more = ', …' if len(missing) > limit // 2 else ''
    shown = ', '.join(missing[: limit // 2])
    parts.append(f'Missing values in {shown}{more}.')
  return '\n'.join(parts)


def abbreviate(names: Sequence[str]) -> list[str]:
  """Names, with runs of at least four that count up made one: `p0…p63`."""
  split = [re.fullmatch(r'(.*?)(\d*)', name, re.DOTALL) for name in names]

  def run(item: tuple[int, re.Match[str]]) -> tuple[str, int]:
    i, (stem, number) = item[0], item[1].groups()
    return (stem, int(number) - i) if number else (f'{stem}/', i)

  short = []
  for _, group in itertools.groupby(enumerate(split), run):
    members = [match.group() for _, match in group]
    if len(members) < 4:
      short += members
    else:
      short.append(f'{members[0]}…{members[-1]}')
  return short


def _rows(task: Task, preview: Preview, detail: Detail) -> str:
  """Rows of train.csv, over the first of the listed columns and the target."""
  width = min(detail.columns // 2, len(preview.columns))
  if not detail.rows or not width:
    return ''
  names = [c.name for c in preview.columns[:width]]
  more = ['…'] if width < len(preview.columns) else []
  lines = [[*names, *more, task.target]]
  lines += [
      [*row[:width], *more, row[-1]] for row in preview.rows[: detail.rows]
  ]
  return '\n'.join(','.join(line) for line in lines)


def _contract(task: Task, preview: Preview) -> str:
  """Files, the submission, the metric."""
  if preview.contract:
    return preview.contract
  direction = 'lower' if task.lower_is_better else 'higher'
  columns = ','.join(preview.submission_columns[:6])
  if len(preview.submission_columns) > 6:
    columns += ',…'
  content = ''
  if task.metric in _PROBABILITIES:
    content = ': class probabilities'
    if len(preview.submission_columns) == 2:
      content = f': the probability of {preview.classes[-1]}'
  metric = _NAMES.get(task.metric, task.metric)
  return (
      'Read data/train.csv and data/test.csv, write submission.csv with '
      f'columns {columns}{content}.\nMetric: {metric}, {direction} is better.'
  )
