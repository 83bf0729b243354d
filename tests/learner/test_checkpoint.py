"""Checkpoints survive kills and corruption, and say what they did."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.learner import checkpoint, state


@pytest.fixture
def learner():
  tx = state.make_optimizer(
      lambda _: 1e-3, b1=0.9, b2=0.95, weight_decay=0.0, max_grad_norm=1.0
  )
  params = {'w': jnp.arange(6.0).reshape(2, 3), 'b': jnp.ones(3)}
  return state.init(params, tx)


def bump(learner, by):
  return jax.tree.map(lambda x: x + jnp.asarray(by, x.dtype), learner)


def save(root, step, learner, **kwargs):
  checkpoint.save(root, step, learner, {'at': step}, keep=2, **kwargs)


def same(a, b):
  return all(
      np.array_equal(x, y)
      for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  )


def test_round_trip_is_exact(tmp_path, learner):
  saved = bump(learner, 3)
  save(tmp_path, 7, saved)
  step, restored, meta, arrays = checkpoint.restore(tmp_path, learner)
  assert (step, meta, arrays) == (7, {'at': 7}, {})
  assert same(restored, saved)
  assert not same(restored, learner)
  step, params = checkpoint.restore_params(tmp_path, learner.params)
  assert step == 7 and same(params, saved.params)


def test_arrays_of_the_host_come_back(tmp_path, learner):
  arrays = {'a/b': np.arange(3), 'text': np.array(['x', 'äöü'])}
  checkpoint.save(tmp_path, 1, learner, {}, arrays, keep=1)
  found = checkpoint.restore(tmp_path, learner).arrays
  assert found.keys() == arrays.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(found[name], array, strict=True)


def test_none_where_there_is_nothing(tmp_path, learner):
  assert checkpoint.restore(tmp_path, learner) is None


def test_old_steps_go_and_are_rediscovered_from_disk(tmp_path, learner):
  for step in (1, 2, 10):
    save(tmp_path, step, bump(learner, step))
  assert checkpoint.steps(tmp_path) == [2, 10]


def test_a_step_that_was_interrupted_does_not_count(tmp_path, learner):
  save(tmp_path, 1, learner)
  save(tmp_path, 2, bump(learner, 1))
  (tmp_path / '2' / 'manifest.json').unlink()  # it is written last
  assert checkpoint.restore(tmp_path, learner)[0] == 1
  save(tmp_path, 2, bump(learner, 2))  # and can be written again
  step, restored, *_ = checkpoint.restore(tmp_path, learner)
  assert step == 2 and same(restored, bump(learner, 2))


def test_corruption_falls_back_and_says_so(tmp_path, learner):
  save(tmp_path, 1, learner)
  save(tmp_path, 2, bump(learner, 1))
  victim = max(
      (f for f in (tmp_path / '2').rglob('*') if f.is_file()
       and f.name != 'manifest.json'),
      key=lambda f: f.stat().st_size,
  )
  data = bytearray(victim.read_bytes())
  data[len(data) // 2] ^= 1  # one bit
  victim.write_bytes(data)
  notes = []
  step, restored, *_ = checkpoint.restore(tmp_path, learner, note=notes.append)
  assert step == 1 and same(restored, learner)
  (note,) = notes
  assert 'corrupted' in note and victim.name in note and '\n' not in note


@pytest.mark.parametrize('damage', ['truncate', 'delete', 'manifest'])
def test_other_damage_is_noticed_too(tmp_path, learner, damage):
  save(tmp_path, 1, learner)
  save(tmp_path, 2, learner)
  file = tmp_path / '2' / 'meta.json'
  if damage == 'truncate':
    file.write_text('')
  elif damage == 'delete':
    file.unlink()
  else:
    (tmp_path / '2' / 'manifest.json').write_text('{')
  assert checkpoint.restore(tmp_path, learner, note=lambda _: None)[0] == 1


def test_when_all_are_corrupted_it_is_an_error(tmp_path, learner):
  save(tmp_path, 1, learner)
  (tmp_path / '1' / 'meta.json').write_text('')
  with pytest.raises(ValueError, match='every checkpoint'):
    checkpoint.restore(tmp_path, learner, note=lambda _: None)
