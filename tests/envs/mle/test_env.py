"""The environment: from a run to its reward, and what a prompt may repeat."""

import dataclasses

import pandas as pd
import pytest

from ace_jax.envs import compare, lineage
from ace_jax.envs.mle.env import MleEnv, Outcome
from ace_jax.sandbox.base import SandboxSpec
from ace_jax.types import Attempt, Execution, Grade, Parent, Problem, Status

PROGRAM = '''\
import pandas as pd

train = pd.read_csv('data/train.csv')
train.loc['x']
'''


def _make(root, **more):
  return MleEnv(**{
      'root': root, 'train_tasks': ('quakes',), 'held_out_tasks': (),
      'reward': 'human_rank', 'suggest_imports': False,
      'instrument_programs': True, 'limits': SandboxSpec(), **more,
  })


@pytest.fixture(scope='module')
def env(mle_root):
  env = _make(mle_root)
  yield env
  env.close()


@pytest.fixture(scope='module')
def submission(env):
  """`submission(shift)` → bytes that score worse the larger it is."""
  public = env.tasks['quakes'].public_dir
  ids = pd.read_csv(public / 'test.csv')['id']
  mean = pd.read_csv(public / 'train.csv')['depth'].mean()

  def write(shift=0.0):
    table = pd.DataFrame({'id': ids, 'depth': mean + shift})
    return table.to_csv(index=False).encode()

  return write


def _execution(status=Status.OK, stdout='', stderr='', files=None):
  return Execution(status, 1.0, 1.0, 1.0, 0, stdout, stderr, files or {},
                   'local', 'L3')


def _count(chat):
  return sum(len(m['content']) for m in chat) // 4


def _attempt(env, key, program, run, rows='reward', problem=None):
  """An attempt as the collector makes it, of a run that is made up."""
  problem = problem or Problem('quakes')
  job = env.job(key, problem, program, seed=0)
  outcome = env.finish(job, run(job), task='quakes', rows=rows)
  return Attempt(
      key, problem, None, None, program, outcome.execution, outcome.milestones,
      outcome.grade, env.reward(problem, outcome, program))


def test_no_prompt_shows_the_nonce(env):
  """Whatever a program does with its own source."""
  nonces = []

  def run(job):
    lines = job.program.splitlines()
    nonces.append(lines[0].split("setdefault('")[1].split('_')[0])
    nonce = nonces[-1]
    return _execution(
        Status.ERROR,
        stdout=f'[[{nonce}:0]]\n[[{nonce}:1]]\nacc 0.5 {lines[2]}\n'
               f"train {{'{nonce}_0': 1}} 2\nvalid loss [[{nonce}: 3\n",
        stderr='Traceback (most recent call last):\n'
               f'  File "program.py", line 3, in <module>\n    {lines[2]}\n'
               f'KeyError: "{nonce}_1"\n')

  attempt = _attempt(env, '0/0/0', PROGRAM, run)
  assert attempt.milestones == 2 and len(nonces[0]) == 16
  assert attempt.grade.rows == 'reward' and not attempt.grade.valid
  assert attempt.grade.error == 'the program ended as error'
  problem = lineage.child(attempt)
  improve = Problem('quakes', 'improve', dataclasses.replace(
      problem.parent, grade=Grade(True, 1.0)))
  texts = [attempt.execution.stdout, attempt.execution.stderr] + [
      env.messages(p, count_tokens=_count, budget=9000)[1]['content']
      for p in (problem, improve)]
  for text in texts:
    assert nonces[0] not in text and 'globals()' not in text
    assert "train = pd.read_csv('data/train.csv')\n" in text
  assert '2 of 6 steps done' in texts[2] and 'acc 0.5' in texts[3]


def test_an_improve_attempt_is_paid_its_gain(env, submission):
  def run(shift, status=Status.OK):
    return lambda job: _execution(
        status, files={'submission.csv': submission(shift)})

  draft = _attempt(env, '0/0/0', 'x = 1', run(99.0))
  problem = lineage.child(draft)
  assert draft.grade.valid and draft.reward == draft.grade.human_rank
  better = _attempt(env, '1/0/0', 'x = 2', run(0.0), problem=problem)
  rank, before = better.grade.human_rank, draft.grade.human_rank
  assert rank > before
  assert better.reward == pytest.approx((rank - before) / (1 - before))
  worse = _attempt(env, '1/0/1', 'x = 3', run(999.0), problem=problem)
  assert worse.grade.valid and -1 <= worse.reward <= 0
  # The same program in another form, and another one that predicts the same.
  for program, shift in (('y = 1  # better', 0.0), ('x = 4', 99.0)):
    copy = _attempt(env, '1/0/2', program, run(shift), problem=problem)
    assert copy.reward == -0.1
  failed = _attempt(
      env, '1/0/3', 'x = 1', run(0.0, Status.TIMEOUT), problem=problem)
  assert failed.reward == -2.0 and failed.grade.rows == 'reward'
  lost = _attempt(
      env, '1/0/4', 'x = 5', run(0.0, Status.INFRA_ERROR), problem=problem)
  assert lost.reward is None
  assert env.reward(problem, None) == -2.0
  selected = _attempt(
      env, '1/0/6', 'x = 7', run(0.0, Status.OOM), rows='select')
  assert selected.grade.rows == 'select' and selected.reward == -1.0
  # Debug is paid as a draft is.
  debug = Problem('quakes', 'debug', problem.parent)
  mended = _attempt(env, '1/0/5', 'x = 6', run(0.0), problem=debug)
  assert mended.reward == rank


def test_a_gain_is_between_grades_on_the_same_rows(env, submission):
  draft = _attempt(env, '0/0/0', 'x = 1', lambda job: _execution(
      files={'submission.csv': submission()}), rows='select')
  assert draft.grade.rows == 'select'
  outcome = Outcome(draft.execution, Grade(True, 1.0, human_rank=0.5), 6)
  with pytest.raises(ValueError, match='on reward rows, its parent on select'):
    env.reward(lineage.child(draft), outcome, 'x = 2')


def test_the_level_is_paid_where_the_config_says_so(mle_root, submission):
  env = _make(mle_root, improve_reward='level')
  try:
    grade = Grade(True, 1.0, human_rank=0.7)
    parent = Parent('k', 'k', 0, 'x = 1', '', '', 6, grade,
                    compare.signature(submission()))
    run = _execution(files={'submission.csv': submission()})
    assert env.reward(
        Problem('quakes', 'improve', parent), Outcome(run, grade, 6), 'x = 1'
    ) == 0.7
  finally:
    env.close()
  for options in ({'improve_reward': 'score'}, {'reward': 'score'}):
    with pytest.raises(ValueError, match="unknown .*'score'"):
      _make(mle_root, **options)


def test_what_does_not_fit_is_known_before(env):
  parent = Parent('k', 'k', 0, 'x = 1\n' * 2000, '', '', 6, Grade(True, 1.0))
  long, draft = Problem('quakes', 'improve', parent), Problem('quakes')
  budget = dict(count_tokens=_count, budget=400)
  assert not env.fits(long, **budget) and env.fits(draft, **budget)
  env.messages(draft, **budget)
  with pytest.raises(ValueError, match='the limit is 400'):
    env.messages(long, **budget)
  budget['budget'] = 4000
  assert env.fits(long, **budget)
  assert parent.program in env.messages(long, **budget)[1]['content']


def test_an_audit_is_on_the_rows_that_it_names(env, submission):
  grades = {
      rows: env.audit('quakes', submission(), rows)
      for rows in ('reward', 'select', 'report', 'all')
  }
  assert all(g.valid and g.rows == rows for rows, g in grades.items())
  assert len({g.score for g in grades.values()}) == 4
  missing = env.audit('quakes', None, 'report')
  assert not missing.valid and missing.rows == 'report'
