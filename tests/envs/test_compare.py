"""Signatures of predictions."""

import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ace_jax.envs import compare
from ace_jax.envs.compare import same, signature


def _table(values, *, ids=None, header='id,y', end='\n'):
  ids = range(len(values)) if ids is None else ids
  rows = (f'{i},{v}' for i, v in zip(ids, values, strict=True))
  return end.join([header, *rows, '']).encode()


def _values(num, seed=0):
  rng = random.Random(seed)
  return [rng.random() for _ in range(num)]


@pytest.mark.parametrize('num, size', [
    (1, 9), (10, 81), (512, 4097), (513, 1 + 7 * 513), (3000, 3001),
    (4096, 4097), (9000, 4097),
])
def test_a_signature_is_short(num, size):
  assert len(signature(_table(_values(num)))) == size


@pytest.mark.parametrize('num', [1, 10, 1000, 9000])
def test_form_does_not_count(num):
  values = _values(num)
  one = signature(_table(values))
  order = random.Random(1).sample(range(num), num)
  forms = [
      _table([values[i] for i in order], ids=order),
      _table(values, end='\r\n'),
      b'\xef\xbb\xbf' + _table(values),
      _table([f'{v:.15e}' for v in values]),
      _table(values, ids=[f' {i}.0' for i in range(num)]),
      '\n'.join(
          ['y,id', *(f'"{v}",{i}' for i, v in enumerate(values))]
      ).encode(),
  ]
  for form in forms:
    assert same(one, signature(form))


def test_six_digits_of_a_number_count():
  one = signature(_table([0.123456, 1234567, 0.0, 'a']))
  assert same(one, signature(_table([0.12345601, 1234567.4, -0.0, ' a'])))
  for other in ([0.123457, 1234567, 0.0, 'a'], [0.123456, 1234578, 0.0, 'a'],
                [0.123456, 1234567, 1e-9, 'a'], [0.123456, 1234567, 0.0, 'A']):
    assert not same(one, signature(_table(other)))


def test_columns_are_told_by_name():
  one = signature(b'id,a,b\n1,.2,.8\n2,.3,.7\n')
  assert same(one, signature(b'id,b,a\n1,.8,.2\n2,.7,.3\n'))
  assert not same(one, signature(b'id,b,a\n1,.2,.8\n2,.3,.7\n'))
  assert not same(one, signature(b'id,a,c\n1,.2,.8\n2,.3,.7\n'))


def test_without_ids_the_order_counts():
  one = signature(b'y\n1\n1\n1\n2\n')
  assert same(one, signature(b'y\n1.0\n1\n1\n2\n'))
  assert not same(one, signature(b'y\n2\n1\n1\n1\n'))
  # Two columns, and nothing in the first that tells rows apart.
  one = signature(b'a,y\n1,1\n1,2\n1,3\n')
  assert not same(one, signature(b'a,y\n1,3\n1,2\n1,1\n'))


@pytest.mark.parametrize('num', [2000, 4000, 20_000])
def test_the_share_of_equal_rows(num):
  values = _values(num)
  for share, expected in ((0.0002, True), (0.005, False), (1.0, False)):
    other = list(values)
    for i in random.Random(2).sample(range(num), int(share * num)):
      other[i] += 0.5
    one, two = signature(_table(values)), signature(_table(other))
    assert same(one, two) == same(two, one) == expected
  other = list(values)
  other[num // 2] += 0.5
  assert same(signature(_table(values[:500])), signature(_table(other[:500])))
  few = [*values[:499], values[499] + 0.5]
  assert not same(signature(_table(values[:500])), signature(_table(few)))


def test_other_rows_are_not_the_same():
  one = signature(_table(_values(50)))
  assert not same(one, signature(_table(_values(50)[:49])))
  assert not same(one, signature(_table(_values(50), ids=range(1, 51))))
  assert not same(one, b'') and not same(b'', b'')
  assert signature(None) == signature(b'') == b''


@given(st.lists(st.tuples(st.integers(-9, 99), st.floats()), max_size=30),
       st.randoms(use_true_random=False))
def test_a_shuffle_changes_nothing(rows, rng):
  rows = list(dict(rows).items())
  shuffled = rng.sample(rows, len(rows))
  tables = [
      _table([v for _, v in r], ids=[i for i, _ in r]) for r in (rows, shuffled)
  ]
  assert signature(tables[0]) == signature(tables[1])


@given(st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='id,y\r\n"\x00\'1.e-nan;\t', max_size=60).map(
        lambda s: s.encode()),
))
@example(b'id\n\xff\xfe\n')
@example(b'"' + b'x' * 200_000)
@example(b'id,y\n1\n2,3,4\n,\n')
@example(b'id,y\n' + b'9' * 5000 + b',1e999\n')
def test_any_bytes_have_a_signature(content):
  one = signature(content)
  assert len(one) <= 4097
  assert bool(one) == bool(content) == same(one, one)
  assert not same(one, signature(_table(_values(7))))


@pytest.mark.parametrize('content', [
    _table(_values(350_000)),
    b'1\n' * (4 << 20),
    b'1\r' * (4 << 20),
    b'\n' * (8 << 20),
    b',' * (8 << 20),
    b'"' * (8 << 20),
    b'\x00' * (8 << 20),
    b'id,y\n' + b'1' * (8 << 20),
], ids=['table', 'lines', 'returns', 'blank', 'cells', 'quotes', 'nuls',
        'cell'])
def test_eight_megabytes_are_cheap(content):
  start = time.process_time()
  assert 0 < len(signature(content)) <= 4097
  assert time.process_time() - start < 8


def test_what_is_too_large_for_a_table_is_told_by_its_bytes(monkeypatch):
  monkeypatch.setattr(compare, '_MAX_LINES', 10)
  one = signature(_table(_values(20)))
  assert len(one) == 33 and same(one, signature(_table(_values(20))))
  assert not same(one, signature(_table(_values(20, seed=1))))
