"""Small tasks, made from tables that a test brings."""

import pathlib

import pandas as pd
import pytest

from ace_jax.types import Task


def _write(
    path: pathlib.Path, table: pd.DataFrame, target: str, **fields
) -> Task:
  """A task directory's public side."""
  task = Task(**{
      'name': path.name, 'path': path, 'split': 'train', 'kind': 'multiclass',
      'metric': 'accuracy', 'lower_is_better': False, 'target': target,
      'description': '# Title\n\nWines from one region. Predict the grower.'
                     '\n\n- train.csv: 90 rows\n',
      'id_column': 'id', 'leaderboard': {}, **fields,
  })
  task.public_dir.mkdir(parents=True)
  table = table.reset_index(drop=True).reset_index(names='id')
  half = len(table) // 2
  table[:half].to_csv(task.public_dir / 'train.csv', index=False)
  test = table[half:]
  test.drop(columns=target).to_csv(task.public_dir / 'test.csv', index=False)
  sample = test[['id', target]]
  if task.metric == 'multi_log_loss':
    sample = pd.DataFrame(0.0, test['id'], sorted(set(table[target])))
    sample = sample.reset_index()
  sample.to_csv(task.public_dir / 'sample_submission.csv', index=False)
  return task


@pytest.fixture(scope='session')
def write_task():
  """`write_task(path, table, target, **fields of Task)` → Task."""
  return _write
