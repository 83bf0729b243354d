"""From a table of text cells to the files of a task.

Ids are positions in an order shuffled by hash, and which rows are test rows,
and which third of the answers a row belongs to, are hashes of the id: none
of them carries information about the label or about the source's order.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter

import numpy as np

from ace_jax.envs.mle import canary, catalog

TEST_SHARE = 0.45
PARTS = ('reward', 'select', 'report')
MISSING = frozenset({'', 'NA', 'NaN', 'nan', 'null', '?', '<null>'})
NEEDS = {  # what a submission holds, see metrics.METRICS
    'auc': 'probability', 'log_loss': 'probability',
    'multi_log_loss': 'probabilities', 'rmse': 'value', 'mae': 'value',
}
TITLES = {
    'accuracy': 'accuracy', 'macro_f1': 'macro-averaged F1',
    'quadratic_kappa': 'quadratic weighted kappa', 'auc': 'ROC AUC',
    'log_loss': 'log loss', 'multi_log_loss': 'multi-class log loss',
    'rmse': 'root mean squared error (RMSE)',
    'mae': 'mean absolute error (MAE)',
}


def fraction(*parts: object) -> float:
  """A hash of the parts, uniform in [0, 1)."""
  text = '/'.join(map(str, parts)).encode()
  return int.from_bytes(hashlib.sha256(text).digest()[:8], 'big') / 2**64


def sorted_classes(labels) -> list[str]:
  """Distinct labels, as numbers where all are numbers."""
  distinct = set(labels)
  try:
    return sorted(distinct, key=float)
  except ValueError:
    return sorted(distinct)


def build(
    *,
    name: str,
    split: str,
    kind: str,
    metric: str,
    target: str,
    about: str,
    header: list[str],
    rows: list[list[str]],
    max_rows: int,
) -> dict[str, bytes]:
  """The files of a task: path below the task's directory → content.

  Args:
    name, split, kind, metric, target, about: see `catalog.Spec`.
    header: [C] names of the columns, the target among them.
    rows: [N][C] cells; rows without a target and repeated rows are dropped.
    max_rows: at most so many are kept, chosen by hash.
  """
  at = header.index(target)
  rows = [['' if c in MISSING else c for c in row] for row in rows]
  rows = list(dict.fromkeys(tuple(r) for r in rows if r[at] != ''))
  order = sorted(range(len(rows)), key=lambda i: fraction(name, 'order', i))
  rows = [rows[i] for i in order[:max_rows]]
  features = [i for i in range(len(header)) if i != at]
  classes = [] if kind == 'regression' else sorted_classes(
      r[at] for r in rows)
  test = [fraction(name, 'test', i) < TEST_SHARE for i in range(len(rows))]
  names = ['id', *(header[i] for i in features)]
  train_table = [names + [target]] + [
      [str(i), *(r[j] for j in features), r[at]]
      for i, r in enumerate(rows) if not test[i]]
  test_table = [names] + [
      [str(i), *(r[j] for j in features)]
      for i, r in enumerate(rows) if test[i]]
  ids = [r[0] for r in test_table[1:]]
  labels = canary.plant(
      [r[at] for i, r in enumerate(rows) if test[i]],
      canaries(name, ids), classes)
  answers = [['id', target, 'rows']] + [
      [i, label, PARTS[int(fraction(name, 'rows', i) * 3)]]
      for i, label in zip(ids, labels, strict=True)]
  sample = _sample(metric, target, classes, train_table, test_table)
  info = {
      'name': name, 'split': split, 'kind': kind, 'metric': metric,
      'lower_is_better': metric in catalog.LOWER_IS_BETTER,
      'target': target, 'id_column': 'id', 'classes': classes,
      'canaries': True}
  description = describe(
      name, about, metric, train_table, test_table, sample[0])
  return {
      'task.json': (json.dumps(info, indent=2) + '\n').encode(),
      'prepared/public/train.csv': _csv(train_table),
      'prepared/public/test.csv': _csv(test_table),
      'prepared/public/sample_submission.csv': _csv(sample),
      'prepared/public/description.md': description.encode(),
      'prepared/private/test.csv': _csv(answers),
  }


def canaries(name: str, ids: list[str]) -> np.ndarray:
  """[N] bool: which of a task's answers are wrong on purpose (canary.py)."""
  return canary.chosen([fraction(name, 'canary', i) for i in ids])


def _sample(metric, target, classes, train_table, test_table):
  """A valid submission that knows nothing of the test rows' features."""
  needs = NEEDS.get(metric, 'label')
  labels = [r[-1] for r in train_table[1:]]
  if needs == 'probabilities':
    cells = [f'{1 / len(classes):.6f}'] * len(classes)
    return [['id', *classes]] + [[r[0], *cells] for r in test_table[1:]]
  if needs == 'probability':
    cell = '0.5'
  elif needs == 'value':
    cell = sorted(labels, key=float)[len(labels) // 2]
  else:
    cell = min(Counter(labels).items(), key=lambda x: (-x[1], x[0]))[0]
  return [['id', target]] + [[r[0], cell] for r in test_table[1:]]


def describe(name, about, metric, train_table, test_table, columns) -> str:
  """The text of description.md."""
  names = train_table[0]
  texts, gaps = [], []
  for j, column in enumerate(names[1:-1], start=1):
    cells = [r[j] for t in (train_table, test_table) for r in t[1:]]
    if not all(is_number(c) for c in cells if c):
      texts.append(column)
    if '' in cells:
      gaps.append(column)
  better = 'lower' if metric in catalog.LOWER_IS_BETTER else 'higher'
  target = names[-1]
  cell = {
      'label': f'`{target}` is the predicted class',
      'value': f'`{target}` is the predicted number',
      'probability': f'`{target}` is the probability of class 1',
      'probabilities': 'the other columns are the probabilities of the '
                       'classes and sum to 1',
  }[NEEDS.get(metric, 'label')]
  lines = [
      f'# {name}', '', about, '',
      f'- train.csv: {len(train_table) - 1} rows, `id`, '
      f'{len(names) - 2} features and the target `{target}`.',
      f'- test.csv: {len(test_table) - 1} rows, the same without '
      f'`{target}`.',
  ]
  if texts:
    lines.append(f'- Text columns: {", ".join(texts)}.')
  if gaps:
    lines.append(f'- Missing values in: {", ".join(gaps)}.')
  lines += [
      f'- Metric: {TITLES[metric]}, {better} is better.',
      f'- Write submission.csv with the columns `{",".join(columns)}`, one '
      f'row per row of test.csv; {cell}.', '']
  return '\n'.join(lines)


def is_number(cell: str) -> bool:
  try:
    float(cell)
  except ValueError:
    return False
  return True


def _csv(table) -> bytes:
  out = io.StringIO()
  csv.writer(out, lineterminator='\n').writerows(table)
  return out.getvalue().encode('utf-8')
