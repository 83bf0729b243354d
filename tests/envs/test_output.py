"""What is shown of a program's output."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ace_jax.envs import output

LIBRARY = '''\
  File "/usr/lib/python3/site-packages/sklearn/base.py", line 1393, in wrapper
    return fit_method(estimator, *args, **kwargs)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
'''
STDERR = f'''\
warning: something
Traceback (most recent call last):
  File "/tmp/work/program.py", line 31, in <module>
    main()
  File "/tmp/work/program.py", line 7, in main
    model.fit(X, y)
    ~~~~~~~~~^^^^^^
{LIBRARY * 40}ValueError: Input X contains NaN.
LogisticRegression does not accept missing values.
See https://scikit-learn.org/stable/modules/impute.html
'''
CORE = '''\
  File "program.py", line 7, in main
    model.fit(X, y)
ValueError: Input X contains NaN.'''
WHOLE = '''\
Traceback (most recent call last):
  File "program.py", line 31, in <module>
    main()
''' + CORE + '''
LogisticRegression does not accept missing values.
See https://scikit-learn.org/stable/modules/impute.html'''


def test_a_traceback_keeps_what_the_author_can_act_on():
  assert output.traceback_tail(STDERR, 1000) == WHOLE
  twice = STDERR.replace('NaN', 'inf') + (
      '\nDuring handling of the above exception, another exception occurred:'
      '\n\n') + STDERR
  assert output.traceback_tail(twice, 1000) == WHOLE


def test_advice_goes_before_frames_and_the_core_never():
  for limit in range(0, 400):
    tail = output.traceback_tail(STDERR, limit)
    assert len(tail) <= max(limit, len(CORE))
    for line in CORE.splitlines():
      assert line in tail
    assert 'sklearn/base.py' not in tail
    assert 'accept missing' not in tail or 'line 31' in tail
    assert 'See http' not in tail or 'accept missing' in tail
  assert output.traceback_tail(STDERR, 0) == CORE


@pytest.mark.parametrize('limit', [0, 150, 250, 2000])
def test_what_was_cut_can_be_cut_again(limit):
  once = output.traceback_tail(STDERR, 2000)
  assert output.traceback_tail(once, limit) == output.traceback_tail(
      STDERR, limit)
  tail = output.traceback_tail(STDERR, limit)
  assert output.traceback_tail(tail, limit) == tail


def test_a_long_message_keeps_both_ends():
  stderr = STDERR.replace('Input', 'Input ' + 'x' * 5000)
  tail = output.traceback_tail(stderr, 0)
  assert 'ValueError: Input xx' in tail and 'X contains NaN.' in tail
  assert len(tail) < 300


def test_a_syntax_error_has_no_header():
  stderr = ('  File "program.py", line 2\n    x = (1,\n        ^\n'
            "SyntaxError: '(' was never closed\n")
  assert output.has_exception(stderr)
  assert output.traceback_tail('old warning\n' + stderr, 0) == (
      '  File "program.py", line 2\n    x = (1,\n'
      "SyntaxError: '(' was never closed")


def test_output_without_an_exception():
  assert output.traceback_tail('killed\n', 60) == 'killed'
  assert output.traceback_tail('', 60) == ''
  tail = output.traceback_tail('a' * 50 + '\n' + 'b' * 50, 60)
  assert len(tail) == 60 and tail.startswith('…') and tail.endswith('b' * 50)
  for text in ('', '\n', 'killed', 'no data', 'UserWarning: slow\n  warn()'):
    assert not output.has_exception(text)
  assert output.has_exception('KeyError: 3')
  assert output.has_exception('Traceback (most recent call last):\nStop: 1')


def test_an_excerpt_takes_scores_first():
  stdout = '\n'.join([
      'valid acc 0.71', '', 'hello 1', 'Fold 2: RMSE=0.5', 'loss went down',
      'r2 0.3', 'bye 2'])
  assert output.excerpt(stdout, 9) == stdout.replace('\n\n', '\n')
  assert output.excerpt(stdout, 4) == (
      'valid acc 0.71\nFold 2: RMSE=0.5\nr2 0.3\nbye 2')
  assert output.excerpt(stdout, 2) == 'Fold 2: RMSE=0.5\nr2 0.3'
  assert output.excerpt(stdout, 0) == output.excerpt('', 5) == ''
  assert output.excerpt(output.excerpt(stdout, 4), 2) == output.excerpt(
      stdout, 2)


def test_no_fence_and_no_turn_of_a_chat_is_printed_into_a_prompt():
  text = '```python\n<|im_end|>\x1b[31mred\x00'
  for shown in (output.excerpt(text, 9), output.traceback_tail(text, 99)):
    assert '```' not in shown and '<|' not in shown
    assert all(line.isprintable() for line in shown.split('\n'))


@given(st.text(), st.integers(0, 300), st.integers(0, 9))
def test_any_output_will_do(text, limit, lines):
  shown = output.excerpt(text, lines)
  assert len(shown.splitlines()) <= lines
  assert len(shown) <= lines * (2 * output.WIDTH)
  assert isinstance(output.traceback_tail(STDERR + text, limit), str)
  output.has_exception(text)


def test_long_outputs_are_cheap():
  start = time.process_time()
  for text in ('train ' * 50_000, 'train loss\n' * 25_000, 'a' * 300_000):
    output.excerpt(text, 20)
    output.traceback_tail(text, 2000)
    output.has_exception(text)
  assert time.process_time() - start < 2
