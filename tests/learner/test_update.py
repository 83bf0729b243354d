"""One optimizer step: what moves the parameters, and what must not matter."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ace_jax.learner import imitation, state, update
from ace_jax.policy.transformer import ModelConfig, Transformer
from ace_jax.types import Batch

CONFIG = ModelConfig(
    vocab_size=23, num_layers=2, dim=16, ff_dim=24, num_heads=4,
    num_kv_heads=2, head_dim=4,
)
MODEL = Transformer(CONFIG)
SPEC = update.LossSpec(vocab_chunk=7)
Q, G, P, C = 2, 3, 5, 6


@pytest.fixture(scope='module')
def params():
  return MODEL.init(jax.random.key(0))


def make_batch(seed=0):
  rng = np.random.default_rng(seed)
  lengths = rng.integers(2, C + 1, (Q, G))
  logp = -rng.random((Q, G, C)).astype(np.float32)
  return Batch(
      prompt=rng.integers(0, 23, (Q, P)).astype(np.int32),
      prompt_mask=np.array([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], np.float32),
      completion=rng.integers(0, 23, (Q, G, C)).astype(np.int32),
      mask=(np.arange(C) < lengths[..., None]).astype(np.float32),
      behavior_logp=logp,
      old_logp=logp,
      ref_logp=logp,
      adv=rng.normal(size=(Q, G)).astype(np.float32),
      weight=np.ones((Q, G), np.float32),
  )


TX = optax.sgd(1.0)
# Compiled once for each loss and shape.
update_fn_of = functools.cache(
    functools.partial(update.make_update_fn, MODEL, TX)
)


def take_step(params, batch, spec=SPEC):
  """With plain gradient descent at rate 1, the change is the gradient."""
  fresh = jax.tree.map(jnp.array, params)  # donated
  new, metrics = update_fn_of(spec)(state.init(fresh, TX), batch)
  grads = jax.tree.map(lambda old, x: old - x, params, new.params)
  return grads, metrics


def unpacked_logp(params, batch, q, g):
  """log π of one completion's tokens, from its own unpadded sequence."""
  prompt = batch.prompt[q][batch.prompt_mask[q] > 0]
  tokens = batch.completion[q, g][batch.mask[q, g] > 0]
  logits = MODEL.logits(params, np.concatenate([prompt, tokens])[None])[0]
  logp = jax.nn.log_softmax(logits[len(prompt) - 1 : -1])
  return logp[np.arange(len(tokens)), tokens]


def assert_close(a, b, atol=1e-6):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol), a, b)


def test_gradient_is_that_of_the_plain_policy_gradient(params):
  batch = make_batch()

  def loss(params):  # on the policy that sampled, −A ∇log π, mean over tokens
    total = sum(
        -batch.adv[q, g] * unpacked_logp(params, batch, q, g).sum()
        for q in range(Q)
        for g in range(G)
    )
    return total / batch.mask.sum()

  grads, metrics = take_step(params, batch)
  expected = jax.jit(jax.grad(loss))(params)
  assert_close(grads, expected)
  np.testing.assert_allclose(
      metrics['policy/grad_norm'], optax.tree.norm(expected), rtol=1e-4
  )
  assert metrics['policy/ratio'] == pytest.approx(1.0)


@pytest.mark.parametrize(
    'normalizer', ['token', 'sequence', 'prompt', 'constant']
)
def test_microbatches_give_the_whole_batchs_gradient(params, normalizer):
  spec = dataclasses.replace(
      SPEC, proximal='recompute', kl_coef=0.1, entropy_coef=0.01, tis='token',
      normalizer=normalizer, constant=6.0,
  )
  batch = make_batch()
  whole = take_step(params, batch, spec)
  cut = take_step(
      params, batch, dataclasses.replace(spec, num_microbatches=2)
  )
  assert_close(whole, cut)


def test_weight_zero_leaves_an_attempt_out(params):
  batch = make_batch()
  weight = batch.weight.copy()
  weight[0, 1] = 0
  other = batch.completion.copy()
  other[0, 1] = (other[0, 1] + 1) % 23
  a, _ = take_step(params, batch._replace(weight=weight))
  b, _ = take_step(
      params,
      batch._replace(
          weight=weight,
          completion=other,
          adv=batch.adv + np.float32([[0, 9, 0], [0, 0, 0]]),
      ),
  )
  assert_close(a, b, atol=1e-7)
  c, _ = take_step(params, batch)
  assert optax.tree.norm(jax.tree.map(jnp.subtract, a, c)) > 1e-3


def test_padding_does_not_matter(params):
  batch = make_batch()
  pads = {
      'completion': 5, 'mask': 0, 'behavior_logp': 1, 'old_logp': 1,
      'ref_logp': 1,
  }
  longer = batch._replace(**{
      name: np.pad(
          getattr(batch, name), ((0, 0), (0, 0), (0, 3)), constant_values=fill
      )
      for name, fill in pads.items()
  })
  longer = longer._replace(
      prompt=np.pad(batch.prompt, ((0, 0), (2, 0)), constant_values=3),
      prompt_mask=np.pad(batch.prompt_mask, ((0, 0), (2, 0))),
  )
  spec = dataclasses.replace(SPEC, proximal='recompute', kl_coef=0.1)
  assert_close(take_step(params, batch, spec), take_step(params, longer, spec))


def test_prepare_gives_the_policys_own_logprobs(params):
  batch = make_batch()
  spec = dataclasses.replace(SPEC, proximal='recompute', kl_coef=0.1)
  prepared = update.make_prepare_fn(MODEL, spec)(params, params, batch)
  for q in range(Q):
    for g in range(G):
      expected = unpacked_logp(params, batch, q, g)
      for got in (prepared.old_logp, prepared.ref_logp):
        np.testing.assert_allclose(
            got[q, g][: len(expected)], expected, atol=1e-5
        )
  # And so the ratio of the first update is 1, and the KL to itself 0.
  _, metrics = take_step(params, prepared, spec)
  assert metrics['policy/ratio_max'] == pytest.approx(1, abs=1e-5)
  assert metrics['loss/kl'] == pytest.approx(0, abs=1e-6)


def test_current_leaves_the_batch_alone(params):
  batch = make_batch()
  assert update.make_prepare_fn(MODEL, SPEC)(params, None, batch) is batch


def test_durations_weigh_the_policy_gradient_but_not_the_kl(params):
  batch = make_batch()._replace(adv=np.zeros((Q, G), np.float32))
  spec = dataclasses.replace(SPEC, kl_coef=0.5)
  once, _ = take_step(params, batch, spec)
  twice, _ = take_step(params, batch._replace(weight=2 * batch.weight), spec)
  assert_close(once, twice)
  batch = make_batch()
  once, _ = take_step(params, batch)
  twice, _ = take_step(params, batch._replace(weight=2 * batch.weight))
  assert_close(jax.tree.map(lambda x: 2 * x, once), twice)


def test_an_empty_batch_changes_nothing_and_stays_finite(params):
  batch = make_batch()
  grads, metrics = take_step(
      params, batch._replace(weight=np.zeros((Q, G), np.float32))
  )
  assert optax.tree.norm(grads) == 0
  assert all(np.isfinite(float(value)) for value in metrics.values())


def test_imitation_follows_the_likelihood(params):
  batch = make_batch()
  update_fn, loss_fn = imitation.make_step_fns(MODEL, TX, vocab_chunk=7)

  def loss(params):
    return -sum(
        unpacked_logp(params, batch, q, g).sum()
        for q in range(Q)
        for g in range(G)
    ) / batch.mask.sum()

  total, count = loss_fn(params, batch)
  assert total / count == pytest.approx(float(jax.jit(loss)(params)), abs=1e-5)
  expected = jax.jit(jax.grad(loss))(params)
  fresh = jax.tree.map(jnp.array, params)
  learner, mean = update_fn(state.init(fresh, TX), batch)
  assert mean == pytest.approx(float(total / count), abs=1e-5)
  assert learner.step == 1
  moved = jax.tree.map(jnp.subtract, params, learner.params)
  assert_close(moved, expected, atol=1e-5)


@pytest.mark.parametrize('head_dtype', ['', 'float32'])
def test_a_float32_head_under_bfloat16(params, head_dtype):
  config = dataclasses.replace(CONFIG, dtype='bfloat16', head_dtype=head_dtype)
  model = Transformer(config)
  params = params | {'embed': 30 * params['embed']}
  batch = make_batch()
  batch = batch._replace(completion=batch.completion[..., :1])
  args = batch.prompt, batch.prompt_mask
  hidden = model.completion_states(params, *args, batch.completion)
  assert hidden.dtype == jnp.bfloat16
  exact = np.float64(hidden) @ np.float64(params['embed']).T
  # What is sampled from, first token and later ones, and what is learnt from.
  sampled = model.prefill(params, *args)[0], model._decode_head(params, hidden)
  gaps = [np.abs(sampled[0] - exact[:, 0, 0]).max(),
          np.abs(sampled[1] - exact).max()]
  assert all(x.dtype == jnp.float32 for x in sampled)
  assert all(gap < 1e-5 if head_dtype else 1e-3 < gap < 0.1 for gap in gaps)
  logp, *_ = update.completion_scores(
      model, params, batch, temperature=1.0, chunk=7
  )
  want = np.take_along_axis(
      np.array(jax.nn.log_softmax(exact)), batch.completion[..., None], -1
  )
  np.testing.assert_allclose(logp, want.reshape(-1, 1), atol=1e-5)
