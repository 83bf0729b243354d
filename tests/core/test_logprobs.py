"""Chunked log-probs against log-softmax in float64, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.core.logprobs import token_logprobs

X, D, V = 7, 3, 11


def _inputs(x=X):
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(x, D)).astype(np.float32)
  head = rng.normal(size=(D, V)).astype(np.float32)
  targets = np.concatenate([[0, V - 1], rng.integers(0, V, x - 2)])
  return hidden, head, targets.astype(np.int32)


def _reference(hidden, head, targets, temperature):
  logits = np.float64(hidden) @ np.float64(head) / temperature
  logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  return logp[np.arange(len(targets)), targets], -(np.exp(logp) * logp).sum(-1)


@pytest.mark.parametrize('chunk', [1, 2, 3, 7, 100])
def test_matches_log_softmax(chunk):
  inputs = _inputs()
  logp, entropy = token_logprobs(*inputs, chunk=chunk, temperature=0.7)
  want_logp, want_entropy = _reference(*inputs, 0.7)
  np.testing.assert_allclose(logp, want_logp, atol=1e-6, rtol=1e-6)
  np.testing.assert_allclose(entropy, want_entropy, atol=1e-6, rtol=1e-6)


def test_defaults_are_temperature_one_with_entropy():
  logp, entropy = token_logprobs(*_inputs(), chunk=4)
  want_logp, want_entropy = _reference(*_inputs(), 1.0)
  np.testing.assert_allclose(logp, want_logp, atol=1e-6, rtol=1e-6)
  np.testing.assert_allclose(entropy, want_entropy, atol=1e-6, rtol=1e-6)


def test_without_entropy():
  logp, entropy = token_logprobs(*_inputs(), chunk=4, entropy=False)
  assert entropy is None
  np.testing.assert_allclose(logp, _reference(*_inputs(), 1.0)[0], atol=1e-6)


@pytest.mark.parametrize('keep', [False, True])
@pytest.mark.parametrize('chunk', [2, 7])
def test_gradients_match_those_of_the_unchunked(chunk, keep):
  hidden, head, targets = _inputs()
  weight = np.arange(1.0, X + 1, dtype=np.float32)

  def loss(hidden, head, temperature):
    logp, entropy = token_logprobs(
        hidden, head, targets, chunk=chunk, temperature=temperature, keep=keep
    )
    return (weight * (logp + 0.5 * entropy)).sum()

  def plain(hidden, head, temperature):
    logp = jax.nn.log_softmax(hidden @ head / temperature)
    entropy = -(jnp.exp(logp) * logp).sum(-1)
    return (weight * (logp[jnp.arange(X), targets] + 0.5 * entropy)).sum()

  got = jax.jit(jax.grad(loss, (0, 1)))(hidden, head, 1.3)
  want = jax.grad(plain, (0, 1))(hidden, head, 1.3)
  jax.tree.map(
      lambda g, w: np.testing.assert_allclose(g, w, atol=2e-5), got, want
  )


def _shapes(jaxpr):
  """The shapes of all intermediate values, of inner functions too."""
  for eqn in jaxpr.eqns:
    for var in eqn.outvars:
      yield var.aval.shape
    for inner in jax.tree.leaves(
        list(eqn.params.values()), is_leaf=lambda x: hasattr(x, 'eqns')
    ):
      if hasattr(inner, 'jaxpr'):
        inner = inner.jaxpr
      if hasattr(inner, 'eqns'):
        yield from _shapes(inner)


def test_no_array_of_all_tokens_by_the_vocabulary_exists():
  hidden, head, targets = _inputs(x=40)
  loss = lambda hidden, head: token_logprobs(  # noqa: E731
      hidden, head, targets, chunk=8
  )[0].sum()
  jaxpr = jax.make_jaxpr(jax.grad(loss, (0, 1)))(hidden, head).jaxpr
  shapes = list(_shapes(jaxpr))
  assert (8, V) in shapes
  assert max(np.prod(shape) for shape in shapes) == 40 * D


def _num_products(keep):
  """Of matrices, with a vocabulary in them, in value and gradient."""
  hidden, head, targets = _inputs()

  def loss(hidden, head):
    logp, _ = token_logprobs(hidden, head, targets, chunk=100, keep=keep)
    return logp.sum()

  lowered = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(hidden, head)
  return lowered.as_text().count('stablehlo.dot_general')


def test_kept_logits_are_not_computed_again():
  assert _num_products(keep=True) == 3
  assert _num_products(keep=False) == 4


@pytest.mark.parametrize('chunk, rows', [(8, 5), (9, 9), (100, 9)])
def test_chunks_are_equal_so_that_padding_is_least(chunk, rows):
  hidden, head, targets = _inputs(x=9)
  score = lambda hidden: token_logprobs(  # noqa: E731
      hidden, head, targets, chunk=chunk
  )
  shapes = set(_shapes(jax.make_jaxpr(score)(hidden).jaxpr))
  assert {s for s in shapes if s[1:] == (V,) and s[0] > 1} == {(rows, V)}


def test_no_tokens():
  hidden, head, targets = _inputs()
  logp, entropy = token_logprobs(hidden[:0], head, targets[:0], chunk=4)
  assert logp.shape == entropy.shape == (0,)


def test_float32_out_of_bfloat16():
  hidden, head, targets = _inputs()
  logp, entropy = token_logprobs(
      hidden.astype(jnp.bfloat16), head.astype(jnp.bfloat16), targets, chunk=4
  )
  assert logp.dtype == entropy.dtype == jnp.float32
  want, _ = _reference(
      hidden.astype(jnp.bfloat16), head.astype(jnp.bfloat16), targets, 1.0
  )
  np.testing.assert_allclose(logp, want, atol=1e-5)


def test_bad_arguments():
  hidden, head, targets = _inputs()
  with pytest.raises(ValueError, match='chunk must be at least 1, not 0'):
    token_logprobs(hidden, head, targets, chunk=0)
  with pytest.raises(ValueError, match='targets_X'):
    token_logprobs(hidden, head, targets[1:], chunk=4)
