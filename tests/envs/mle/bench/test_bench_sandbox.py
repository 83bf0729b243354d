"""A program written for MLE-bench's container, run and graded here."""

import os

import pandas as pd
import pytest

from ace_jax.envs.mle.env import MleEnv
from ace_jax.sandbox import LocalSandbox, SandboxError, SandboxSpec
from ace_jax.types import Problem, Status

NAME = 'random-acts-of-pizza'
SPEC = SandboxSpec(cpu_limit_s=10.0, timeout_s=60.0)
THERE = '''
import json, os
import pandas as pd
assert os.path.realpath('submission.csv') == '/home/submission/submission.csv'
test = json.load(open('/home/data/test.json'))
train = json.load(open('data/train.json'))
pd.DataFrame({
    'request_id': [r['request_id'] for r in test],
    'requester_received_pizza': [
        r['requester_upvotes_at_request'] / 100 for r in test],
}).to_csv('/home/submission/submission.csv', index=False)
'''
HERE = THERE.replace('/home/data', 'data').replace(
    '/home/submission/submission.csv', 'submission.csv').replace(
        'assert', 'True or')


def run(sandbox, path, program):
  env = MleEnv(root=path.parent, train_tasks=(), held_out_tasks=(str(path),),
               reward='human_rank', suggest_imports=False,
               instrument_programs=True, limits=SPEC)
  try:
    job = env.job('k', Problem(NAME), program, seed=0)
    outcome = env.finish(job, sandbox.run(job), task=NAME, rows='all')
  finally:
    env.close()
  answers = pd.read_csv(path / 'prepared/private/test.csv')
  return outcome, answers


def test_home_data_and_home_submission(prepared):
  path = prepared(NAME)
  try:
    sandbox = LocalSandbox(SPEC, num_slots=1, force_level='L3')
  except SandboxError as error:
    pytest.skip(str(error))
  with sandbox:
    assert '/home' not in sandbox.describe()
    outcome, answers = run(sandbox, path, THERE)
  assert outcome.execution.status == Status.OK, outcome.execution.stderr
  assert outcome.grade.valid and 0 < outcome.grade.score < 1
  sent = outcome.execution.files['submission.csv'].decode().splitlines()
  assert len(sent) == len(answers) + 1


def test_where_there_is_no_mount_the_user_is_told(prepared):
  path = prepared(NAME)
  assert not os.path.exists('/home/data')
  with LocalSandbox(SPEC, num_slots=1, force_level='L2') as sandbox:
    assert 'there is no /home/data and no /home/submission' in (
        sandbox.describe())
    outcome, _ = run(sandbox, path, HERE)
    assert outcome.grade.valid, outcome.execution.stderr
    failed, _ = run(sandbox, path, THERE)
  assert failed.execution.status == Status.ERROR
