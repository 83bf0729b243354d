"""PPO's whole loss, its gradient and its parts, against plain loops."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ace_jax.learner import checkpoint, critic, state, update
from ace_jax.policy.transformer import Transformer
from tests.learner import test_update
from tests.learner.test_update import C, G, Q, assert_close

MODEL = Transformer(dataclasses.replace(test_update.CONFIG, value_head=True))
CRITIC = critic.CriticSpec(gamma=0.9, lam=0.8, clip=0.02)
SPEC = update.LossSpec(
    vocab_chunk=7, proximal='recompute', entropy_coef=0.03, critic=CRITIC
)
TX = optax.sgd(1.0)


@functools.cache
def update_fn_of(spec, tx=TX):
  return update.make_update_fn(MODEL, tx, spec)


@functools.cache
def prepare_fn_of(spec):
  return update.make_prepare_fn(MODEL, spec)


def shaken(params, seed, by):
  """Every weight a little larger or smaller; what is 0 stays 0."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      lambda x: x * (1 + by * jnp.float32(rng.normal(size=x.shape))), params
  )


@pytest.fixture(scope='module')
def old_params():
  """A policy with preferences and a critic that does not say 0."""
  params = MODEL.init(jax.random.key(0))
  params['embed'] *= 30
  out = params['value']['out']
  out['kernel'] = jnp.linspace(-0.3, 0.3, out['kernel'].size)[:, None]
  return params


@pytest.fixture(scope='module')
def params(old_params):
  """A few updates later: ratios and values have moved."""
  return shaken(old_params, seed=1, by=0.05)


def make_batch(seed=0):
  """One attempt left the batch, another has environment text inside."""
  batch = test_update.make_batch(seed)
  rng = np.random.default_rng(seed + 1)
  mask, weight = batch.mask.copy(), batch.weight.copy()
  mask[1, 2] = [1, 0, 0, 1, 1, 0]
  weight[0, 1], weight[1, 1] = 0, 2
  reward = rng.normal(size=(Q, G)).astype(np.float32)
  return batch._replace(mask=mask, weight=weight, reward=reward)


def take_step(params, batch, spec=SPEC):
  """With plain gradient descent at rate 1, the change is the gradient."""
  fresh = jax.tree.map(jnp.array, params)  # donated
  new, metrics = update_fn_of(spec)(state.init(fresh, TX), batch)
  return jax.tree.map(lambda old, x: old - x, params, new.params), metrics


def scores_fn(batch):
  return lambda params: update.completion_scores(
      MODEL, params, batch, temperature=1.0, chunk=7, entropy=True
  )


def plain_targets(batch, value):
  """{(b, t): (advantage, return)}, token by token in Python floats."""
  found = {}
  for b in range(Q * G):
    q, g = divmod(b, G)
    if not batch.weight[q, g]:
      continue
    after, adv = 0.0, 0.0
    reward = float(batch.reward[q, g])
    for t in reversed(np.flatnonzero(batch.mask[q, g])):
      v = float(value[b, t])
      adv = reward + 0.9 * after - v + 0.9 * 0.8 * adv
      found[b, int(t)] = adv, adv + v
      after, reward = v, 0.0
  advs = np.array([adv for adv, _ in found.values()])
  scale = advs.std(ddof=1) + 1e-4
  return {
      token: ((adv - advs.mean()) / scale, ret)
      for token, (adv, ret) in found.items()
  }


def plain_ppo(batch, old, new, entropy_coef=0.03, clip=0.02):
  """Losses, and their derivatives by log π, entropy and value of a token.

  Args:
    batch: as collated.
    old: (logp, _, value) [B, C] before the updates.
    new: (logp, entropy, value) [B, C] now.
  """
  targets = plain_targets(batch, old[2])
  n, weight = len(targets), batch.weight.reshape(-1)
  sums = dict.fromkeys(('policy', 'value', 'entropy'), 0.0)
  slopes = np.zeros((3, Q * G, C))
  clipped = {'policy': 0, 'value': 0}
  for (b, t), (adv, ret) in targets.items():
    w, v, v_old = float(weight[b]), float(new[2][b, t]), float(old[2][b, t])
    rho = np.exp(float(new[0][b, t]) - float(old[0][b, t]))
    near = min(max(rho, 0.8), 1.2)
    sums['policy'] -= w * min(rho * adv, near * adv)
    if near * adv < rho * adv:
      clipped['policy'] += 1
    else:
      slopes[0, b, t] = -w * adv * rho / n
    v_near = v_old + min(max(v - v_old, -clip), clip)
    sums['value'] += max((v - ret) ** 2, (v_near - ret) ** 2) / 2
    if (v_near - ret) ** 2 > (v - ret) ** 2:
      clipped['value'] += 1
    else:
      slopes[2, b, t] = (v - ret) / n
    sums['entropy'] += float(new[1][b, t])
    slopes[1, b, t] = -entropy_coef / n
  means = {name: x / n for name, x in sums.items()}
  return means, slopes, {name: x / n for name, x in clipped.items()}


def test_loss_and_gradient_are_those_of_a_plain_loop(old_params, params):
  batch = make_batch()
  old = jax.jit(scores_fn(batch))(old_params)
  new, pull = jax.vjp(jax.jit(scores_fn(batch)), params)
  want, slopes, clipped = plain_ppo(batch, old, new)
  assert 0 < clipped['policy'] < 1 and 0 < clipped['value'] < 1
  prepared = prepare_fn_of(SPEC)(old_params, None, batch)
  grads, metrics = take_step(params, prepared)
  for name, value in {
      'loss/policy': want['policy'],
      'loss/value': want['value'],
      'critic/clip_fraction': clipped['value'],
      'policy/clip_fraction': clipped['policy'],
  }.items():
    np.testing.assert_allclose(metrics[name], value, 1e-6, 1e-6, err_msg=name)
  (expected,) = pull(tuple(jnp.float32(x) for x in slopes))
  assert_close(grads, expected, atol=1e-6)
  for name, part in ('critic', expected.pop('value')), ('policy', expected):
    np.testing.assert_allclose(
        metrics[f'{name}/grad_norm'], optax.tree.norm(part), rtol=1e-5
    )


def test_prepare_fills_what_the_updates_hold_fixed(old_params):
  batch = make_batch()
  prepared = prepare_fn_of(SPEC)(old_params, None, batch)
  logp, _, value = jax.jit(scores_fn(batch))(old_params)
  targets = plain_targets(batch, value)
  adv, returns = np.zeros((2, Q * G, C))
  for token, pair in targets.items():
    adv[token], returns[token] = pair
  for name, want in {
      'adv': adv, 'returns': returns, 'old_value': value, 'old_logp': logp
  }.items():
    got = getattr(prepared, name).reshape(Q * G, C)
    np.testing.assert_allclose(got, want, 1e-5, 1e-6, err_msg=name)
  # The critic's report card is of these values, before they have learnt.
  _, metrics = take_step(old_params, prepared)
  v, r = (
      np.array([float(x[token]) for token in targets]) for x in (value, returns)
  )
  assert metrics['critic/value_mean'] == pytest.approx(v.mean(), rel=1e-5)
  assert metrics['critic/explained_variance'] == pytest.approx(
      1 - (r - v).var() / r.var(), rel=1e-4
  )
  # Advantages may be left as they are, and the sampler's log-probs too.
  spec = dataclasses.replace(
      SPEC, proximal='current',
      critic=dataclasses.replace(CRITIC, whiten=False),
  )
  plain = prepare_fn_of(spec)(old_params, None, batch)
  live = (batch.mask > 0) & (batch.weight[..., None] > 0)
  np.testing.assert_allclose(
      plain.adv, np.where(live, plain.returns - plain.old_value, 0), atol=1e-6
  )
  np.testing.assert_array_equal(plain.old_logp, batch.old_logp)


def test_microbatches_give_the_whole_batchs_step(old_params, params):
  prepared = prepare_fn_of(SPEC)(old_params, None, make_batch())
  whole, metrics = take_step(params, prepared)
  cut, cut_metrics = take_step(
      params, prepared, dataclasses.replace(SPEC, num_microbatches=2)
  )
  assert_close(whole, cut)
  assert metrics.keys() == cut_metrics.keys()
  for name, value in metrics.items():
    np.testing.assert_allclose(
        cut_metrics[name], value, 2e-6, 1e-6, err_msg=name
    )


def test_an_attempt_that_left_changes_nothing(old_params, params):
  batch = make_batch()
  other = batch.completion.copy(), batch.reward.copy()
  other[0][0, 1], other[1][0, 1] = (other[0][0, 1] + 1) % 23, 99
  changed = batch._replace(completion=other[0], reward=other[1])
  steps = [
      take_step(params, prepare_fn_of(SPEC)(old_params, None, b))
      for b in (batch, changed)
  ]
  assert_close(*(grads for grads, _ in steps), atol=1e-7)
  a, b = (
      {k: m[k] for k in m if k.split('/')[0] in ('loss', 'critic')}
      for _, m in steps
  )
  assert_close(a, b)


def test_a_new_critic_starts_at_the_mean_reward(old_params):
  batch = make_batch()
  learner = critic.start(state.init(old_params, TX), batch)
  mean = batch.reward[batch.weight > 0].mean()
  np.testing.assert_allclose(learner.params['value']['out']['bias'], mean)
  rest = dict(learner.params)
  del rest['value']
  assert all(rest[key] is old_params[key] for key in rest)
  # Later, and without a critic, nothing is touched.
  later = learner._replace(step=learner.step + 1)
  assert critic.start(later, batch) is later
  grpo = state.init(rest, TX)
  assert critic.start(grpo, batch) is grpo


def test_each_has_an_optimizer_of_its_own(tmp_path, old_params):
  rate = {'policy': 1e-3, 'critic': 1e-2}
  tx = critic.with_critic(*(
      state.make_optimizer(
          optax.constant_schedule(rate[name]), b1=0.9, b2=0.95,
          weight_decay=0.0, max_grad_norm=1.0,
      )
      for name in ('policy', 'critic')
  ))
  update_fn = update_fn_of(SPEC, tx)
  batch = make_batch()
  prepared = prepare_fn_of(SPEC)(old_params, None, batch)
  # A critic that errs by thousands does not hold back the policy.
  wild = prepared._replace(returns=1e4 * prepared.returns)
  fresh = [state.init(jax.tree.map(jnp.array, old_params), tx) for _ in '12']
  one, _ = update_fn(fresh[0], prepared)
  two, _ = update_fn(fresh[1], wild)
  moved = jax.tree.map(jnp.subtract, one.params, old_params)
  np.testing.assert_allclose(
      np.abs(moved['value']['out']['bias']), 1e-2, rtol=1e-3
  )
  np.testing.assert_allclose(
      np.abs(moved['final_norm']).max(), 1e-3, rtol=1e-3
  )
  for key in one.params.keys() - {'value'}:
    assert_close(one.params[key], two.params[key], atol=0)
  # Saved and restored, they go on to the same bits.
  checkpoint.save(tmp_path, 1, one, {}, keep=1)
  like = state.init(jax.tree.map(jnp.array, old_params), tx)
  _, again, *_ = checkpoint.restore(tmp_path, like)
  for a, b in zip(
      jax.tree.leaves(update_fn(one, prepared)),
      jax.tree.leaves(update_fn(again, prepared)),
      strict=True,
  ):
    np.testing.assert_array_equal(a, b)
