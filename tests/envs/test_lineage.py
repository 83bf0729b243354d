"""Which attempts become Problems, and what of them is kept."""

import dataclasses
import json

import pytest

from ace_jax.envs import compare, lineage
from ace_jax.envs.mle.canary import COPIED
from ace_jax.types import Attempt, Execution, Grade, Problem, Status

VALID = Grade(True, 0.8, human_rank=0.6)
INVALID = Grade(False, error='the program ended as error')
LIBRARY = '''\
  File "/usr/lib/python3.11/site-packages/sklearn/base.py", line 1393, in fit
    return fit_method(estimator, *args, **kwargs)
'''
STDERR = ('Traceback (most recent call last):\n'
          '  File "program.py", line 7, in <module>\n    model.fit(X, y)\n'
          f'{LIBRARY * 40}ValueError: Input X contains NaN.\n')
SUBMISSION = b'id,y\n1,0\n2,1\n'


def _attempt(status=Status.OK, grade=VALID, *, problem=None, key='3/1/4',
             stdout='valid acc 0.8\n', stderr='', program='x = 1'):
  run = Execution(status, 1.0, 1.0, 1.0, 0, stdout, stderr,
                  {'submission.csv': SUBMISSION}, 'local', 'L3')
  return Attempt(key, problem or Problem('wine'), None, None, program, run, 4,
                 grade, 0.0)


@pytest.mark.parametrize('status, grade, stderr, kind', [
    (Status.OK, VALID, '', 'improve'),
    (Status.OK, VALID, 'ConvergenceWarning: slow', 'improve'),
    (Status.OK, Grade(False, error='there is no submission.csv'), '', 'debug'),
    (Status.OK, Grade(False, error=COPIED), '', None),
    (Status.ERROR, INVALID, STDERR, 'debug'),
    (Status.ERROR, INVALID, "  File \"program.py\", line 1\n    x = (\n"
     "SyntaxError: '(' was never closed\n", 'debug'),
    (Status.ERROR, INVALID, '', None),
    (Status.ERROR, INVALID, 'no data', None),  # sys.exit('no data')
    (Status.TIMEOUT, INVALID, STDERR, None),
    (Status.OOM, INVALID, STDERR, None),
    (Status.OUTPUT_LIMIT, INVALID, STDERR, None),
    (Status.DISK_LIMIT, INVALID, STDERR, None),
    (Status.INFRA_ERROR, INVALID, STDERR, None),
])
def test_what_becomes_of_an_attempt(status, grade, stderr, kind):
  child = lineage.child(_attempt(status, grade, stderr=stderr))
  assert (child and child.kind) == kind
  if child:
    assert child.task == 'wine' and child.key == f'wine:{kind}:3/1/4'


def test_what_never_ran_has_no_child():
  assert lineage.child(_attempt(program=None)) is None
  nothing = dataclasses.replace(_attempt(), execution=None)
  assert lineage.child(nothing) is None


def test_a_lineage_keeps_its_root_and_counts():
  problem, roots = Problem('wine'), []
  for i, (status, grade, stderr) in enumerate([
      (Status.ERROR, INVALID, STDERR), (Status.OK, VALID, ''),
      (Status.OK, VALID, ''),
  ]):
    problem = lineage.child(_attempt(
        status, grade, stderr=stderr, problem=problem, key=str(i)))
    assert problem.parent.depth == i and problem.parent.key == str(i)
    roots.append(problem.parent.root)
  assert roots == ['0', '0', '0']


def test_what_matters_is_kept_when_output_is_cut():
  noise = ''.join(f'row {i}\n' for i in range(5000))
  assert len(STDERR) > 2 * lineage.MAX_ERROR
  parent = lineage.parent_of(_attempt(
      Status.ERROR, INVALID, stdout='valid acc 0.8\n' + noise, stderr=STDERR))
  assert 'valid acc 0.8' in parent.stdout
  assert len(parent.stdout.splitlines()) == lineage.MAX_LINES
  assert parent.stderr == (
      'Traceback (most recent call last):\n'
      '  File "program.py", line 7, in <module>\n    model.fit(X, y)\n'
      'ValueError: Input X contains NaN.')
  assert parent.signature == b''  # of a failure, whatever it wrote
  parent = lineage.parent_of(_attempt(stderr=STDERR))  # caught, and printed
  assert parent.stderr == '' and parent.milestones == 4
  assert compare.same(parent.signature, compare.signature(SUBMISSION))


@pytest.mark.parametrize('rows', ['report', 'all'])
def test_grades_of_a_table_make_no_problem(rows):
  for grade in (VALID, Grade(False, error='no')):
    with pytest.raises(ValueError, match=f"on the '{rows}' rows"):
      lineage.child(_attempt(grade=dataclasses.replace(grade, rows=rows)))
  for rows in ('reward', 'select'):
    grade = dataclasses.replace(VALID, rows=rows)
    assert lineage.child(_attempt(grade=grade)).parent.grade.rows == rows


def test_json_gives_back_what_it_was_given():
  for problem in (Problem('wine'), lineage.child(_attempt())):
    stored = json.loads(json.dumps(lineage.to_json(problem)))
    assert lineage.from_json(stored) == problem
