"""What the grader accepts, what it refuses, and the process it runs in."""

import concurrent.futures
import csv
import io
import subprocess
import sys

import pytest

from ace_jax.envs.mle import grader, grading, tasks
from ace_jax.types import Grade


@pytest.fixture(scope='module')
def load(mle_root):
  return lambda name: tasks.load_task(name, mle_root)


def truth(task) -> list[list[str]]:
  """The perfect submission, as a table."""
  answers = grading.load_answers(task)
  return as_submission(task, zip(answers.ids, answers.target.tolist(),
                                 strict=True))


def as_submission(task, answers) -> list[list[str]]:
  with open(task.public_dir / 'sample_submission.csv', newline='') as f:
    header = next(csv.reader(f))
  if len(header) == 2:
    return [header] + [[i, str(y)] for i, y in answers]
  return [header] + [
      [i, *(str(float(c == y)) for c in header[1:])] for i, y in answers]


def to_bytes(table) -> bytes:
  out = io.StringIO()
  csv.writer(out).writerows(table)
  return out.getvalue().encode()


def error(task, content) -> str:
  grade = grading.grade(task, content)
  assert not grade.valid
  assert grade.score is None and grade.medal is None
  assert grade.human_rank == 0.0 and not grade.above_median
  assert '\n' not in grade.error and len(grade.error) < 500
  return grade.error


@pytest.mark.parametrize('name, best', [
    ('digits', 1.0), ('segment', 1.0), ('income', 1.0), ('phoneme', 1.0),
    ('spam', 0.0), ('contraceptive', 0.0), ('quakes', 0.0),
    ('computers', 0.0)])
def test_the_truth_wins_gold_on_every_part(load, name, best):
  task = load(name)
  for rows in ('all', 'reward', 'select', 'report'):
    grade = grading.grade(task, to_bytes(truth(task)), rows)
    assert grade == Grade(
        valid=True, score=best, medal='gold', above_median=True,
        human_rank=1.0, rows=rows)


def test_the_sample_submission_is_valid_and_last(mle_root):
  for name in tasks.task_names('train') + tasks.task_names('held_out'):
    task = tasks.load_task(name, mle_root)
    sample = (task.public_dir / 'sample_submission.csv').read_bytes()
    grade = grading.grade(task, sample, 'all')
    assert grade.valid, (name, grade.error)
    assert grade.medal is None and not grade.above_median
    assert grade.human_rank < 0.2, name


@pytest.mark.threat('tampering: seed search, metric gaming')
def test_parts_are_scored_apart(load):
  """Errors only in the select rows are seen by select and all alone."""
  task = load('quakes')
  part = grading.load_answers(task).rows
  table = truth(task)
  for row, rows in zip(table[1:], part, strict=True):
    if rows == 'select':
      row[1] = str(float(row[1]) + 7)
  score = {rows: grading.grade(task, to_bytes(table), rows).score
           for rows in ('all', 'reward', 'select', 'report')}
  share = (part == 'select').mean()
  assert score == {'reward': 0.0, 'report': 0.0, 'select': 7.0,
                   'all': round(7 * share, 5)}


def test_scores_have_five_decimals(load):
  task = load('quakes')
  table = truth(task)
  table[1][1] = str(float(table[1][1]) + 1)
  n = len(table) - 1
  assert grading.grade(task, to_bytes(table), 'all').score == round(1 / n, 5)


def test_unknown_rows_are_our_own_error(load):
  with pytest.raises(ValueError, match='test'):
    grading.grade(load('quakes'), b'', 'test')


# --- What may differ ------------------------------------------------------


def test_any_order_of_rows_and_columns(load):
  table = truth(load('digits'))
  table = [table[0], *reversed(table[1:])]
  table = [row[::-1] for row in table]
  assert grading.grade(load('digits'), to_bytes(table)).score == 1.0


def test_frames_turn_integers_into_floats(load):
  table = truth(load('digits'))
  floats = [table[0]] + [[f'{i}.0', f' {y}.0'] for i, y in table[1:]]
  assert grading.grade(load('digits'), to_bytes(floats)).score == 1.0


def test_byte_order_mark_crlf_and_blank_lines(load):
  content = to_bytes(truth(load('digits'))).replace(b'\n', b'\n\n')
  content = b'\xef\xbb\xbf' + content
  assert b'\r\n' in content
  assert grading.grade(load('digits'), content).score == 1.0


# --- What may not ---------------------------------------------------------


@pytest.mark.threat(
    'exhaustion: submissions that are huge, sparse, special, malformed')
@pytest.mark.parametrize('content, words', [
    (None, 'there is no submission.csv'),
    (b'', 'empty'),
    (b'\n\n', 'empty'),
    (b'\xff\xfe\x00i', 'not UTF-8'),
    (b'id,depth\n1,2,3\n', 'a row has 3 cells, the header 2'),
    (b'id\n1\n', 'columns are id, expected id,depth'),
    (b'id,price\n1,2\n', 'columns are id,price, expected id,depth'),
    (b'x,id,depth\n0,1,2\n', 'columns are x,id,depth, expected id,depth'),
    (b'id,id,depth\n0,1,2\n', 'columns are id,id,depth'),
    (b'id,depth\n', 'ids are missing'),
    (b'id,depth\n' + b'1' * 200_000 + b',2\n', 'csv'),
    (b'x' * (grading.MAX_BYTES + 1), 'larger than'),
])
def test_malformed(load, content, words):
  assert words in error(load('quakes'), content)


def spoilt(task, row, column, cell):
  table = truth(task)
  table[row][column] = cell
  return to_bytes(table)


@pytest.mark.threat(
    'exhaustion: submissions that are huge, sparse, special, malformed')
def test_ids(load):
  task = load('quakes')
  table = truth(task)
  missing = table[5][0]
  text = error(task, to_bytes(table[:5] + table[6:]))
  assert text == f'1 of {len(table) - 1} ids are missing, id {missing} for one'
  assert 'is there twice' in error(task, to_bytes(table + table[3:4]))
  train_id = next(str(i) for i in range(len(table) * 3)
                  if str(i) not in {r[0] for r in table})
  assert f'id {train_id} is not in test.csv' in error(
      task, spoilt(task, 1, 0, train_id))
  assert 'is not in test.csv' in error(task, spoilt(task, 1, 0, ''))


@pytest.mark.threat(
    'exhaustion: submissions that are huge, sparse, special, malformed')
@pytest.mark.parametrize('cell, words', [
    ('', 'is not a number'), ('deep', 'deep is not a number'),
    ('nan', 'nan is not finite'), ('inf', 'is not finite'),
    ('1e999', 'is not finite')])
def test_values(load, cell, words):
  assert words in error(load('quakes'), spoilt(load('quakes'), 3, 1, cell))


@pytest.mark.parametrize('cell', ['1e200', '-1e308'])
def test_predictions_too_large_to_score_are_invalid(load, cell):
  """An infinite score would be no reward, and no policy's gradient."""
  task = load('computers')
  table = truth(task)
  table[1:] = [[i, cell] for i, _ in table[1:]]
  assert 'no finite score' in error(task, to_bytes(table))


@pytest.mark.parametrize('cell', ['', '11', 'nan', '3.5'])
def test_labels(load, cell):
  text = error(load('digits'), spoilt(load('digits'), 3, 1, cell))
  assert 'is not one of 0,1,2,3,4,5,6,7,8,9' in text


@pytest.mark.parametrize('cell', ['-0.01', '1.01', '2'])
def test_probabilities_are_in_range(load, cell):
  task = load('phoneme')
  text = error(task, spoilt(task, 3, 1, cell))
  assert text == f'a probability is {float(cell):g}, not in [0, 1]'
  assert 'not a number' in error(task, spoilt(task, 3, 1, 'oral'))


def test_rows_of_probabilities_sum_to_one(load):
  task = load('contraceptive')
  table = truth(task)
  table[2][1:] = ['0.3', '0.3', '0.3']
  assert 'sum to 0.9, not to 1' in error(task, to_bytes(table))
  table[2][1:] = ['0.3333', '0.3333', '0.3333']
  assert grading.grade(task, to_bytes(table)).valid


def test_errors_show_strangers_text_as_ascii_and_short(load):
  text = error(load('quakes'), '\x1b[31m,é\n1,2\n'.encode())
  assert text.isascii() and text.isprintable()
  many = b','.join(b'c%d' % i for i in range(5000)) + b'\n'
  assert len(error(load('quakes'), many)) < 200


# --- Its process ----------------------------------------------------------


@pytest.fixture(scope='module')
def process():
  with grader.GraderProcess(timeout_s=30) as p:
    yield p


def test_process_grades_as_the_function(process, load):
  for name in ('digits', 'quakes'):
    task = load(name)
    for content in (to_bytes(truth(task)), None, b'\xff'):
      for rows in ('reward', 'all'):
        assert process.grade(task, content, rows) == grading.grade(
            task, content, rows)


def test_process_refuses_what_is_too_large(process, load):
  grade = process.grade(load('quakes'), b'x' * (grading.MAX_BYTES * 2))
  assert 'larger than' in grade.error


def test_threads_share_it(process, load):
  jobs = [load(name) for name in ('digits', 'quakes') * 10]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    got = list(pool.map(
        lambda t: process.grade(t, to_bytes(truth(t))).score, jobs))
  assert got == [1.0, 0.0] * 10


def test_a_dead_grader_is_replaced(process, load):
  task = load('quakes')
  process.grade(task, None)
  old = process._process
  old.kill()
  old.wait()
  assert process.grade(task, to_bytes(truth(task))).score == 0.0
  assert process._process.pid != old.pid


def test_a_hanging_grader_is_an_error_in_time(load, monkeypatch):
  real = subprocess.Popen
  started = []

  def hang(command, **kwargs):
    started.append(real(
        [sys.executable, '-c', 'import time; time.sleep(60)'], **kwargs))
    return started[-1]

  monkeypatch.setattr(grader.subprocess, 'Popen', hang)
  p = grader.GraderProcess(timeout_s=0.3)
  with pytest.raises(grader.GraderError, match="'quakes', twice"):
    p.grade(load('quakes'), b'x' * 1_000_000)  # more than a pipe holds
  assert len(started) == 2
  assert all(s.poll() is not None for s in started)


def test_a_spoilt_task_is_the_graders_error(process, own_task):
  path = own_task('quakes')
  task = tasks.load_task(path)
  (path / 'prepared/private/test.csv').unlink()
  with pytest.raises(grader.GraderError, match='no answers'):
    process.grade(task, None)


def test_a_prepared_anew_task_is_read_anew(process, own_task):
  path = own_task('quakes')
  task = tasks.load_task(path)
  content = to_bytes(truth(task))
  assert process.grade(task, content).score == 0.0
  answers = path / 'prepared/private/test.csv'
  lines = answers.read_text().splitlines()
  answers.write_text('\n'.join(
      [lines[0]] + [','.join((i, '0', p)) for i, _, p in
                    (line.split(',') for line in lines[1:])]) + '\n')
  assert process.grade(task, content).score > 0


def test_its_client_loads_no_scikit_learn():
  code = ('import sys; import ace_jax.envs.mle.grader; '
          'print([m for m in ("sklearn", "pandas", "jax") '
          'if m in sys.modules])')
  out = subprocess.run([sys.executable, '-c', code], text=True, check=True,
                       capture_output=True)
  assert out.stdout.strip() == '[]'
