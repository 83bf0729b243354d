"""The final table against numbers worked out by hand."""

import csv
import io
import json
import math
import pathlib

import pytest
import rich.console

from ace_jax import types
from ace_jax.report import table as table_lib


def task(name, split='held_out', lower=False):
  return types.Task(
      name, pathlib.Path(), split, 'binary', 'rmse' if lower else 'auc',
      lower, '', 'y', 'id', {})


def row(task_name, phase, human_rank=None, score=None, program='a', **more):
  return {
      'phase': phase, 'task': task_name, 'program_hash': program,
      'status': 'ok', 'valid': human_rank is not None, 'score': score,
      'medal': None, 'above_median': 0, 'human_rank': human_rank or 0.0,
      'reward': 0.0} | more


ROWS = [
    row('t', 'before', 0.5, 0.6),
    row('t', 'before', status='error', program='b'),
    row('t', 'before', status=None, program=None),
    row('t', 'before', status='infra_error', program='z', reward=None),
    row('t', 'after', 0.5, 0.6, medal='gold', above_median=1),
    row('t', 'after', 0.7, 0.9, program='b'),
    row('t', 'train', 1.0, 1.0),  # no evaluation
    row('u', 'before', 0.25, 3.0),
    row('u', 'before', 0.75, 2.0),
    row('v', 'before', 0.1, 0.0),
]
TASKS = [task('t'), task('u', lower=True), task('v', 'train'), task('unused')]


@pytest.fixture(name='table')
def make_table():
  return table_lib.comparison(iter(ROWS), TASKS)


def find(table, name, split='held_out'):
  return next(r for r in table if (r['task'], r['split']) == (name, split))


def test_order_and_directions(table):
  assert [(r['split'], r['task'], r['metric']) for r in table] == [
      ('held_out', 'all tasks', None), ('held_out', 't', 'auc'),
      ('held_out', 'u', 'rmse'), ('train', 'all tasks', None),
      ('train', 'v', 'auc')]


def test_one_task_by_hand(table):
  t = find(table, 't')
  third = 1 / 3
  se = math.sqrt((third**2 * 2 + (2 / 3)**2) / 2 / 3)  # of (1, 0, 0)
  assert t['before'] == pytest.approx(dict(
      n=3, infra_errors=1, num_valid=1, valid_rate=third, valid_rate_se=se,
      human_rank=0.5 / 3, human_rank_se=0.5 * se, human_rank_valid=0.5,
      human_rank_valid_se=None, score=0.6, score_se=None, score_best=0.6,
      medal_rate=0.0, above_median_rate=0.0, distinct_programs=2))
  after = t['after']
  assert after['medal_rate'] == after['above_median_rate'] == 0.5
  assert after['score_best'] == 0.9
  assert after['human_rank_se'] == pytest.approx(0.1)
  assert t['change'] == pytest.approx(dict(
      valid_rate=2 / 3, valid_rate_se=se, human_rank=0.6 - 0.5 / 3,
      human_rank_se=math.hypot(0.5 * se, 0.1), human_rank_valid=0.1,
      human_rank_valid_se=None, score=0.15, score_se=None,
      distinct_programs=0))


def test_lower_is_better_and_a_score_of_zero(table):
  assert find(table, 'u')['before']['score_best'] == 2.0
  zero = find(table, 'v', 'train')['before']
  assert (zero['score'], zero['score_best'], zero['num_valid']) == (0, 0, 1)


def test_pooling_takes_samples_alike_and_no_scores(table):
  pooled = find(table, 'all tasks')['before']
  assert pooled['n'] == 5
  assert pooled['valid_rate'] == pytest.approx(3 / 5)
  assert pooled['human_rank'] == pytest.approx(1.5 / 5)
  assert pooled['human_rank_valid'] == pytest.approx(0.5)
  assert pooled['score'] is pooled['score_best'] is None


def test_a_phase_that_has_not_been(table):
  u = find(table, 'u')
  assert u['after'] is None and u['change'] is None
  assert table_lib.comparison([], TASKS) == []
  only_infra = table_lib.comparison(
      [row('t', 'after', status='infra_error')], TASKS)
  assert only_infra[0]['after']['n'] == 0
  assert only_infra[0]['after']['valid_rate'] is None


def test_an_unknown_task_is_named():
  with pytest.raises(ValueError, match="'w'"):
    table_lib.comparison([row('w', 'after')], TASKS)


def test_files(table, tmp_path):
  table_lib.write(tmp_path, table)
  got = json.loads((tmp_path / 'results.json').read_text())
  assert got == {'comparison': table}
  with (tmp_path / 'results.csv').open() as f:
    lines = list(csv.DictReader(f))
  assert len(lines) == len(table)
  assert float(lines[1]['before_valid_rate']) == pytest.approx(1 / 3)
  assert lines[2]['after_valid_rate'] == ''
  assert sorted(p.name for p in tmp_path.iterdir()) == [
      'results.csv', 'results.json']


@pytest.mark.parametrize('terminal', [False, True])
def test_print(table, terminal):
  out = io.StringIO()
  table_lib.show(table, console=rich.console.Console(
      file=out, force_terminal=terminal, width=60, color_system=None))
  lines = [line.strip() for line in out.getvalue().splitlines()]
  first = next(i for i, line in enumerate(lines) if line.startswith('t '))
  assert lines[first].split()[:5] == [
      't', 'before', '3', '0.333±0.333', '0.167±0.167']
  assert lines[first + 1].split()[:5] == [
      'auc', '↑', 'after', '2', '1.000±0.000']
  assert 'Training tasks' in out.getvalue()
