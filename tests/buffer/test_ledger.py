"""The ledger keeps every attempt, once, whole or not at all."""

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from ace_jax import types
from ace_jax.buffer import ledger as ledger_lib


def make_attempt(key='0/wine:draft/0', **changes):
  parent = types.Parent('parent-key', 'root-key', 1, 'x', '', '', 0,
                        types.Grade(True, 0.5))
  problem = types.Problem('wine', 'improve', parent)
  segments = (
      types.Segment(np.array([5, 6], np.int32), np.array([-.5, -1.25], 'f4')),
      types.Segment(np.array([7], np.int32), np.zeros(1, 'f4'), False),
  )
  fields = dict(
      key=key,
      problem=problem,
      prompt=types.Prompt(problem, np.array([1, 2, 3], np.int32)),
      completion=types.Completion(segments, policy_version=4, finished=True),
      program='x = 1',
      execution=types.Execution(
          types.Status.TIMEOUT, 1.5, 1.25, 64.0, -9, 'out' * 10, 'err', {},
          'local', 'L3', limit='cpu', noisy=True,
          pinned=True),
      milestones=3,
      grade=types.Grade(True, 0.75, 'gold', True, 0.9),
      reward=0.9,
      audits=(types.Grade(True, 0.5, rows='report'),),
  )
  return types.Attempt(**(fields | changes))


def keys(ledger, phase=None):
  return [row['key'] for row in ledger.attempts(phase)]


def test_every_field_comes_back(tmp_path):
  with ledger_lib.Ledger(
      tmp_path / 'a.sqlite',
      decode=lambda tokens: ' '.join(map(str, tokens)),
      normalize=str.upper,
      max_output_chars=4,
  ) as ledger:
    attempt = make_attempt(reward=np.float32(0.5))
    other = make_attempt('0/wine:draft/1', program='X = 1')
    ledger.insert(2, 'train', [attempt, other])
    row, second = map(dict, ledger.attempts())
    row = {k: v for k, v in row.items() if not isinstance(v, bytes)}
    assert row.pop('program_hash') == second['program_hash']
    assert row.pop('recorded_s') > 1e9
    assert [types.Grade(**g) for g in json.loads(row.pop('audits'))] == [
        types.Grade(True, 0.5, rows='report')]
    assert row == dict(
        phase='train', step=2, key='0/wine:draft/0', task='wine',
        kind='improve', parent='parent-key', policy_version=4,
        prompt='1 2 3', completion='5 6 7', finished=1, num_tokens=3,
        program='x = 1', status='timeout', limit_hit='cpu', exit_code=-9,
        duration_s=1.5, cpu_s=1.25, peak_memory_mb=64.0, backend='local',
        level='L3', noisy=1, pinned=1, infra_error=None, stdout='tout',
        stderr='err',
        milestones=3, valid=1, score=0.75, medal='gold', above_median=1,
        human_rank=0.9, graded_rows='reward', grade_error=None, reward=0.5)
    arrays = ledger_lib.arrays(ledger.attempt('train', attempt.key))
    with pytest.raises(KeyError, match='after'):
      ledger.attempt('after', attempt.key)
  for name, want in dict(
      prompt_tokens=attempt.prompt.tokens,
      completion_tokens=attempt.completion.tokens(),
      behavior_logp=attempt.completion.behavior_logp(),
      action_mask=np.array([1, 1, 0], np.uint8),
  ).items():
    np.testing.assert_array_equal(arrays[name], want)
    assert arrays[name].dtype == want.dtype


def test_an_attempt_without_a_program_or_a_reward(tmp_path):
  with ledger_lib.Ledger(tmp_path / 'a.sqlite') as ledger:
    ledger.insert(0, 'before', [make_attempt(
        program=None, execution=None, reward=None,
        grade=types.Grade(False, error='no program'))])
    row, = ledger.attempts('before')
  for column in ('program', 'program_hash', 'status', 'stdout', 'score',
                 'reward', 'duration_s', 'noisy'):
    assert row[column] is None, column
  assert row['grade_error'] == 'no program'


def test_text_that_is_no_utf8_is_kept_readable(tmp_path):
  execution = types.Execution(
      types.Status.OK, 1, 1, 1, 0, 'a\udcffb\0c', '', {}, 'local', 'L3')
  with ledger_lib.Ledger(tmp_path / 'a.sqlite') as ledger:
    ledger.insert(0, 'train', [make_attempt(execution=execution)])
    assert next(ledger.attempts())['stdout'] == 'a?b\0c'


def test_an_insert_is_whole_or_not_at_all(tmp_path):
  with ledger_lib.Ledger(tmp_path / 'a.sqlite') as ledger:
    with pytest.raises(sqlite3.IntegrityError):
      ledger.insert(0, 'train', [make_attempt('a'), make_attempt(None)])
    assert keys(ledger) == []
    ledger.insert(0, 'train', [make_attempt('a')])  # and it is usable again
    assert keys(ledger) == ['a']


def test_rewind_takes_back_training_steps_only(tmp_path):
  with ledger_lib.Ledger(tmp_path / 'a.sqlite') as ledger:
    ledger.insert(9, 'before', [make_attempt('e')])
    for step in range(4):
      ledger.insert(step, 'train', [make_attempt(f'{step}')])
    assert ledger.rewind(2) == 2
    assert keys(ledger) == ['e', '0', '1']
    ledger.insert(2, 'train', [make_attempt('2')])
    ledger.insert(2, 'train', [make_attempt('2', reward=-1)])
    assert keys(ledger, 'train') == ['0', '1', '2']
    assert [r['reward'] for r in ledger.attempts('train')] == [.9, .9, -1]


def test_columns_can_be_chosen_and_a_typo_is_named(tmp_path):
  with ledger_lib.Ledger(tmp_path / 'a.sqlite') as ledger:
    ledger.insert(0, 'train', [make_attempt('a')])
    row, = ledger.attempts(columns=('task', 'key'))
    assert tuple(row) == ('wine', 'a')
    with pytest.raises(sqlite3.OperationalError, match='scores'):
      ledger.attempts(columns=('scores',))


def test_a_reader_sees_a_live_run_and_cannot_write(tmp_path):
  path = tmp_path / 'a b#?.sqlite'
  with ledger_lib.Ledger(path) as ledger:
    ledger.insert(0, 'train', [make_attempt('a')])
    with ledger_lib.Ledger(path, read_only=True) as reader:
      rows = reader.attempts()
      next(rows)
      ledger.insert(1, 'train', [make_attempt('b')])  # while a read is open
      assert keys(reader) == ['a', 'b']
      with pytest.raises(sqlite3.OperationalError):
        reader.insert(0, 'train', [make_attempt('c')])


def test_what_cannot_be_read_is_refused(tmp_path):
  with pytest.raises(sqlite3.OperationalError):
    ledger_lib.Ledger(tmp_path / 'missing.sqlite', read_only=True)
  assert not (tmp_path / 'missing.sqlite').exists()
  (tmp_path / 'text').write_text('no database' * 100)
  with pytest.raises(sqlite3.DatabaseError):
    ledger_lib.Ledger(tmp_path / 'text')
  ledger_lib.Ledger(tmp_path / 'old').close()
  db = sqlite3.connect(tmp_path / 'old')
  db.execute('PRAGMA user_version=99')
  db.close()
  with pytest.raises(ValueError, match='schema 99'):
    ledger_lib.Ledger(tmp_path / 'old')


def test_a_sigkill_loses_no_finished_step(tmp_path):
  """The child kills itself inside its third insert."""
  child = textwrap.dedent(f"""
      import os, signal, sys
      sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
      from test_ledger import ledger_lib, make_attempt
      ledger = ledger_lib.Ledger({str(tmp_path / 'a.sqlite')!r})
      ledger.insert(0, 'train', [make_attempt('a')])
      ledger.insert(1, 'train', [make_attempt('b')])
      ledger._row = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
      ledger.insert(2, 'train', [make_attempt('c')])
  """)
  root = pathlib.Path(ledger_lib.__file__).parents[2]
  done = subprocess.run([sys.executable, '-c', child], cwd=root, check=False,
                        env=os.environ | {'PYTHONPATH': str(root)})
  assert done.returncode == -signal.SIGKILL
  with ledger_lib.Ledger(tmp_path / 'a.sqlite') as ledger:
    assert keys(ledger) == ['a', 'b']
