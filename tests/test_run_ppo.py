"""A whole run with all that the smoke run leaves out: a critic, a buffer that
grows, improve and debug problems, a language model's milestones; resumed.
"""

import contextlib
import shutil
import sqlite3

import numpy as np
import pytest

from ace_jax.learner import checkpoint
from ace_jax.report import metrics
from tests.test_run import arrays, run

PPO = '--config=configs/ppo_smoke.py'
FLAGS = (
    '--config.buffer.kind=evolving',
    '--config.buffer.epsilon=0.9',  # most draws are uniform: of every kind
    '--config.env.instrumenter=lm',
    '--config.sampler.max_prompt_tokens=384',
    '--config.imitation.max_epochs=14',
    '--config.eval.num_samples=1',
    '--config.eval.num_train_samples=1',
)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('ppo') / 'run'
  done = run(workdir, *FLAGS, config=PPO)
  assert done.returncode == 0, done.stderr[-3000:]
  return workdir


def trained_on(workdir):
  path = workdir / 'attempts.sqlite'
  with contextlib.closing(sqlite3.connect(path)) as db:
    return db.execute(
        'SELECT key, kind, parent, program, reward FROM attempts'
        " WHERE phase = 'train' ORDER BY key").fetchall()


def test_the_critic_learns_and_the_policy_waits_for_it(finished):
  rows = [r for r in metrics.read(finished) if r['phase'] == 'train']
  assert [r['policy/lr'] > 0 for r in rows] == [False, True, True]
  assert all(r['critic/grad_norm'] > 0 for r in rows)
  assert all(np.isfinite(r['loss/value']) for r in rows)


def test_attempts_became_problems(finished):
  rows = [r for r in metrics.read(finished) if r['phase'] == 'train']
  assert rows[-1]['buffer/size'] > 1
  for row in rows:
    asked = row['exec/no_program_rate'] < 1
    assert row['instrument/accept_rate'] + row[
        'instrument/fallback_rate'] == pytest.approx(float(asked))
  kinds = {kind for _, kind, _, _, _ in trained_on(finished)}
  assert kinds > {'draft'}


def test_resumed_it_ends_with_the_same_bits(finished, tmp_path):
  workdir = shutil.copytree(finished, tmp_path / 'run')
  root = workdir / 'checkpoints' / 'rl'
  *_, before, last = checkpoint.steps(root)
  assert before == last - 1
  shutil.rmtree(root / str(last))
  done = run(workdir, *FLAGS, config=PPO)
  assert done.returncode == 0, done.stderr[-3000:]
  whole, ours = (arrays(d, last) for d in (finished, workdir))
  assert whole.keys() == ours.keys()
  for name, leaf in whole.items():
    assert np.array_equal(leaf, ours[name]), name
  assert trained_on(workdir) == trained_on(finished)
