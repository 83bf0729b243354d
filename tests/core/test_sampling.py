"""Draws follow the truncated distribution, and report its log-probs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.core import sampling

P = np.array([0.02, 0.4, 0.25, 0.15, 0.1, 0.08])
LOGITS = np.log(P)[None].astype(np.float32) + 3.0


def _kept(**kwargs):
  logits = sampling.transform_logits(LOGITS, **kwargs)
  return np.flatnonzero(np.isfinite(logits[0])).tolist()


def _draw(num, key=0, **kwargs):
  logits = np.repeat(LOGITS, num, axis=0)
  fn = jax.jit(functools.partial(sampling.sample, **kwargs))
  return jax.tree.map(np.asarray, fn(logits, jax.random.key(key)))


@pytest.mark.parametrize(
    'top_k, kept',
    [(0, [0, 1, 2, 3, 4, 5]), (1, [1]), (3, [1, 2, 3]), (5, [1, 2, 3, 4, 5]),
     (6, [0, 1, 2, 3, 4, 5]), (99, [0, 1, 2, 3, 4, 5])],
)  # fmt: skip
def test_top_k_keeps_the_k_most_likely(top_k, kept):
  assert _kept(top_k=top_k) == kept


@pytest.mark.parametrize(
    'top_p, kept',
    [(1e-6, [1]), (0.39, [1]), (0.41, [1, 2]), (0.7, [1, 2, 3]),
     (0.81, [1, 2, 3, 4]), (0.97, [1, 2, 3, 4, 5]), (0.99, [0, 1, 2, 3, 4, 5]),
     (1.0, [0, 1, 2, 3, 4, 5])],
)  # fmt: skip
def test_top_p_keeps_the_fewest_with_that_mass(top_p, kept):
  assert _kept(top_p=top_p) == kept


def test_top_p_sees_what_temperature_and_top_k_left():
  # p² renormalised: .16 of .2698 is .593; at temperature 1 it would be .4.
  assert _kept(temperature=0.5, top_p=0.55) == [1]
  # .4 of (.4 + .25) is .615.
  assert _kept(top_k=2, top_p=0.6) == [1]
  assert _kept(top_k=2, top_p=0.62) == [1, 2]


def test_equals_stay_together():
  logits = np.array([[1.0, 0.0, 0.0, -1.0]])
  for kwargs in ({'top_k': 2}, {'top_p': 0.6}):
    got = sampling.transform_logits(logits, **kwargs)
    np.testing.assert_array_equal(
        np.isfinite(got), [[True, True, True, False]]
    )


def test_rows_are_truncated_on_their_own():
  logits = np.array([[3.0, 2.0, 1.0], [0.0, 5.0, 4.0]])
  got = sampling.transform_logits(logits, temperature=[0.5, 2.0], top_k=2)
  np.testing.assert_allclose(got, [[6, 4, -np.inf], [-np.inf, 2.5, 2]])
  assert got.dtype == jnp.float32


@pytest.mark.parametrize(
    'kwargs, weights',
    [
        ({}, P),
        ({'temperature': 0.5}, P**2),
        ({'temperature': 2.0}, P**0.5),
        ({'top_k': 3}, P * [0, 1, 1, 1, 0, 0]),
        ({'top_p': 0.6, 'temperature': 1.0}, P * [0, 1, 1, 0, 0, 0]),
    ],
)
def test_frequencies_and_logps_are_those_of_the_distribution(kwargs, weights):
  num = 4000
  p = weights / weights.sum()
  token, logp = _draw(num, **kwargs)
  assert token.dtype == np.int32 and logp.dtype == np.float32
  count = np.bincount(token, minlength=len(p))
  assert np.all(np.abs(count - num * p) <= 4 * np.sqrt(num * p * (1 - p)))
  np.testing.assert_allclose(logp, np.log(p[token]), atol=2e-6)


@pytest.mark.parametrize('size', [1, 255, 256, 257, 1000])
def test_the_draw_inverts_the_distribution(size):
  """In vocabularies of less than a block, of blocks, and between."""
  rng = np.random.default_rng(size)
  logits = rng.normal(size=(64, size)).astype(np.float32) * 3
  logits[:, rng.random(size) < 0.3] = -np.inf
  logits[:, size // 2] = 0.0  # not all of them
  token, logp = sampling.sample(logits, jax.random.key(1))
  p = np.exp(logits.astype(np.float64))
  p /= p.sum(axis=1, keepdims=True)
  uniform = np.asarray(jax.random.uniform(jax.random.key(1), (64,)))
  want = (np.cumsum(p, axis=1) <= uniform[:, None]).sum(axis=1)
  np.testing.assert_array_equal(token, want)
  np.testing.assert_allclose(
      logp, np.log(p[np.arange(64), want]), rtol=1e-5, atol=2e-6
  )


@pytest.mark.parametrize('uniform', [0.0, 0.5, 1 - 2**-24, 1.0])
def test_what_has_no_mass_is_never_drawn(uniform):
  """Not at either end, where rounding may pass the last."""
  mass = np.zeros((4, 700), np.float32)
  mass[0, [300, 301]] = 1
  mass[1, [0, 699]] = 1
  mass[2, 511] = 1e-20
  mass[3, 5:600] = 0.1  # its running sum is not its sum
  token, total = sampling._inverse_cdf(mass, np.full(4, uniform, np.float32))
  assert np.all(mass[np.arange(4), token] > 0)
  np.testing.assert_allclose(total, mass.sum(axis=1), rtol=1e-6)
  first = [300, 0, 511, 5]
  last = [301, 699, 511, 599]
  want = {0.0: first, 1.0: last, 1 - 2**-24: last}.get(uniform)
  if want:
    np.testing.assert_array_equal(token, want)


def test_temperature_zero_takes_the_first_of_the_most_likely():
  logits = np.array([[0.0, 2.0, 2.0], [1.0, 0.0, -1.0], [0.0, 0.0, 9.0]])
  greedy = jax.jit(functools.partial(sampling.sample))
  for key in range(3):
    token, logp = greedy(logits, jax.random.key(key), temperature=0.0)
    np.testing.assert_array_equal(token, [1, 0, 2])
    np.testing.assert_array_equal(logp, [0, 0, 0])


def test_temperature_may_differ_between_rows():
  logits = np.array([[0.0, 0.1]] * 200)
  temperature = np.repeat([0.0, 1.0], 100)
  token, logp = sampling.sample(
      logits, jax.random.key(0), temperature=temperature
  )
  assert set(np.asarray(token[:100])) == {1}
  assert set(np.asarray(token[100:])) == {0, 1}
  assert np.all(logp[:100] == 0) and np.all(logp[100:] < -0.5)


@pytest.mark.parametrize('make_key', [jax.random.key, jax.random.PRNGKey])
def test_a_row_with_its_own_key_does_not_see_its_neighbours(make_key):
  logits = np.random.default_rng(0).normal(size=(4, 30))
  keys = jax.random.split(make_key(3), 4)
  token, logp = sampling.sample(logits, keys)
  swapped, _ = sampling.sample(logits[::-1], keys[::-1])
  np.testing.assert_array_equal(token, swapped[::-1])
  alone, _ = sampling.sample(logits[2:3], keys[2:3])
  assert alone[0] == token[2]
  one, _ = sampling.sample(logits, make_key(3))
  assert one.shape == token.shape == logp.shape == (4,)
  same, _ = sampling.sample(logits[:1].repeat(4, 0), keys)
  assert len(set(np.asarray(same))) > 1


def _primitives(jaxpr):
  for eqn in jaxpr.eqns:
    yield eqn.primitive.name
    if 'jaxpr' in eqn.params:
      yield from _primitives(eqn.params['jaxpr'].jaxpr)


def test_what_is_off_costs_nothing():
  def used(**kwargs):
    fn = functools.partial(sampling.transform_logits, **kwargs)
    return set(_primitives(jax.make_jaxpr(fn)(LOGITS).jaxpr))

  assert 'top_k' in used(top_k=5) and {'while', 'scan'} & used(top_p=0.9)
  plain = used(top_k=0, top_p=1.0)
  assert not {'top_k', 'sort', 'while', 'scan', 'exp'} & plain
  assert used() == used(top_k=6) == used(top_k=7) == plain


def test_greedy_leaves_the_logits_as_they_are():
  got = sampling.transform_logits(LOGITS, temperature=0.0)
  np.testing.assert_array_equal(got, LOGITS)


def test_no_token_out_of_range_from_broken_logits():
  logits = np.full((2, 5), np.nan)
  token, logp = sampling.sample(logits, jax.random.key(0))
  np.testing.assert_array_equal(token, [0, 0])
  assert np.isnan(logp).all()


def test_bad_arguments():
  with pytest.raises(ValueError, match='top_k must be at least 0, not -1'):
    sampling.transform_logits(LOGITS, top_k=-1)
  for top_p in (0.0, 1.1):
    with pytest.raises(ValueError, match=f'top_p .* not {top_p}'):
      sampling.transform_logits(LOGITS, top_p=top_p)
