"""Every choice of the losses against a plain loop over its equation."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.core import losses
from ace_jax.core.masked import finish

B, T = 6, 5
LOW, HIGH, DUAL = 0.2, 0.28, 1.5


def _batch(seed=0):
  rng = np.random.default_rng(seed)
  logp = -rng.random((B, T)) * 3
  old_logp = logp + rng.normal(size=(B, T)) * 0.5
  adv = rng.normal(size=B) * 2
  mask = (rng.random((B, T)) < 0.7).astype(np.float64)
  mask[0], mask[1] = 1, 0  # full and empty
  weight = np.array([1.0, 0.5, 2.0, 0.0, 0.7, 1.3])
  logp[mask == 0] = np.nan  # what is masked may be anything
  return tuple(
      a.astype(np.float32) for a in (logp, old_logp, adv, mask, weight)
  )


BATCH = _batch()


def _policy_loss(
    logp, old_logp, adv, mask, *, surrogate='ppo', ratio='token',
    clip_low=0.2, clip_high=0.2, dual_clip=0.0,
):  # fmt: skip
  """Token by token, in Python floats."""
  loss, ratios, clipped = np.zeros((B, T)), {}, {}
  for b in range(B):
    steps = [t for t in range(T) if mask[b, t]]
    gaps = [float(logp[b, t]) - float(old_logp[b, t]) for t in steps]
    for t, gap in zip(steps, gaps, strict=True):
      a = float(adv[b])
      rho = np.exp(sum(gaps) / len(gaps) if ratio == 'sequence' else gap)
      near = min(max(rho, 1 - clip_low), 1 + clip_high)
      if surrogate == 'cispo':
        loss[b, t] = -near * a * float(logp[b, t])
        clipped[b, t] = near != rho
      else:
        objective = min(rho * a, near * a)
        clipped[b, t] = objective != rho * a
        if dual_clip and a < 0:
          clipped[b, t] |= objective < dual_clip * a
          objective = max(objective, dual_clip * a)
        loss[b, t] = -objective
      ratios[b, t] = rho
  return loss, ratios, clipped


CHOICES = [
    {'surrogate': s, 'ratio': r, 'clip_low': LOW, 'clip_high': HIGH,
     'dual_clip': d}
    for s, r, d in itertools.product(
        ['ppo', 'cispo'], ['token', 'sequence'], [0.0, DUAL])
    if not (s == 'cispo' and d)
]  # fmt: skip


@pytest.mark.parametrize('jit', [True, False])
@pytest.mark.parametrize('choice', CHOICES, ids=str)
def test_policy_loss(choice, jit):
  logp, old_logp, adv, mask, _ = BATCH
  fn = functools.partial(losses.policy_loss, **choice)
  loss, metrics = (jax.jit(fn) if jit else fn)(logp, old_logp, adv, mask)
  want, ratios, clipped = _policy_loss(logp, old_logp, adv, mask, **choice)
  np.testing.assert_allclose(loss, want, rtol=1e-6, atol=1e-6)
  assert 0 < sum(clipped.values()) < len(clipped)
  rho = np.array(list(ratios.values()))
  want = {
      'policy/clip_fraction': np.mean(list(clipped.values())),
      'policy/ratio': rho.mean(),
      'policy/ratio_max': rho.max(),
      'policy/approx_kl': (rho - 1 - np.log(rho)).mean(),
  }
  got = finish(metrics)
  assert set(got) == set(want)
  for name, value in want.items():
    np.testing.assert_allclose(got[name], value, rtol=2e-6, err_msg=name)
  assert metrics['policy/clip_fraction'].count == mask.sum()


def test_policy_loss_defaults():
  logp, old_logp, adv, mask, _ = BATCH
  loss, _ = losses.policy_loss(logp, old_logp, adv, mask)
  want, *_ = _policy_loss(logp, old_logp, adv, mask)
  np.testing.assert_allclose(loss, want, rtol=1e-6, atol=1e-6)


def _weighted(fn, logp, old_logp, mask):
  """Σ c_t · loss_t: with distinct c, each token's gradient is seen."""
  scale = np.arange(1.0, B * T + 1).reshape(B, T)
  return lambda x: (scale * fn(jnp.where(mask > 0, x, 0), old_logp)[0]).sum()


@pytest.mark.parametrize('choice', CHOICES, ids=str)
def test_gradient_of_the_policy_loss(choice):
  """−A ρ where ρ is free, 0 where it is clipped; all of −A clip(ρ) in cispo."""
  logp, old_logp, adv, mask, _ = BATCH
  fn = lambda logp, old: losses.policy_loss(  # noqa: E731
      logp, old, adv, mask, **choice
  )
  total = _weighted(fn, logp, old_logp, mask)
  grad = np.asarray(jax.jit(jax.grad(total))(np.nan_to_num(logp)))
  _, ratios, clipped = _policy_loss(logp, old_logp, adv, mask, **choice)
  want = np.zeros((B, T))
  for (b, t), rho in ratios.items():
    slope = rho * (not clipped[b, t])
    if choice['surrogate'] == 'cispo':
      slope = min(max(rho, 1 - LOW), 1 + HIGH)
    want[b, t] = -adv[b] * slope * (b * T + t + 1)
  np.testing.assert_allclose(grad, want, rtol=1e-5, atol=1e-5)


def test_no_gradient_flows_into_the_old_policy():
  logp, old_logp, adv, mask, _ = BATCH
  for choice in CHOICES:
    grad = jax.grad(
        lambda old, c=choice: losses.policy_loss(
            np.nan_to_num(logp), old, adv, mask, **c
        )[0].sum()
    )(old_logp)
    assert (np.asarray(grad) == 0).all()


def test_metrics_have_no_gradient():
  logp, old_logp, adv, mask, _ = BATCH

  def total(x):
    metrics = losses.policy_loss(x, old_logp, adv, mask)[1]
    metrics |= losses.entropy_loss(x, mask)[1]
    return sum(finish(metrics).values())

  assert (np.asarray(jax.grad(total)(np.nan_to_num(logp))) == 0).all()


def test_advantages_may_be_given_for_each_token():
  logp, old_logp, adv, mask, _ = BATCH
  one, _ = losses.policy_loss(logp, old_logp, adv, mask)
  adv_BT = np.tile(adv[:, None], (1, T))
  each, _ = losses.policy_loss(logp, old_logp, adv_BT, mask)
  np.testing.assert_array_equal(one, each)
  adv_BT[0, 0] += 1
  other, _ = losses.policy_loss(logp, old_logp, adv_BT, mask)
  assert (np.asarray(one != other)).sum() == 1


def test_weight_zero_leaves_an_attempt_out_and_others_unchanged():
  logp, old_logp, adv, mask, weight = BATCH
  plain, _ = losses.policy_loss(logp, old_logp, adv, mask)
  loss, metrics = losses.policy_loss(
      logp, old_logp, adv, mask, weight_B=weight
  )
  want = np.where(weight[:, None] > 0, plain, 0)
  np.testing.assert_array_equal(loss, want)
  assert metrics['policy/ratio'].count == mask[weight > 0].sum()


def test_dual_clip_bounds_the_loss_of_bad_actions_only():
  logp, mask = np.zeros((2, 1)), np.ones((2, 1))
  old_logp, adv = np.full((2, 1), -3.0), np.array([-1.0, 1.0])
  for dual, want in ((0.0, np.exp(3)), (2.5, 2.5)):
    loss, _ = losses.policy_loss(logp, old_logp, adv, mask, dual_clip=dual)
    np.testing.assert_allclose(loss, [[want], [-1.2]], rtol=1e-6)
  for dual, surrogate in ((1.0, 'ppo'), (0.5, 'ppo'), (3.0, 'cispo')):
    with pytest.raises(ValueError, match=f'dual_clip {dual}'):
      losses.policy_loss(
          logp, old_logp, adv, mask, dual_clip=dual, surrogate=surrogate
      )


@pytest.mark.parametrize('ratio', ['token', 'sequence'])
def test_log_ratio(ratio):
  logp, old_logp, _, mask, _ = BATCH  # NaN where masked
  got = losses.log_ratio(logp, old_logp, mask, ratio=ratio)
  gap = np.where(mask > 0, np.float64(logp) - np.float64(old_logp), 0)
  if ratio == 'sequence':
    mean = gap.sum(1, keepdims=True) / np.maximum(mask.sum(1, keepdims=True), 1)
    gap = mean * mask
  np.testing.assert_allclose(got, gap, rtol=1e-6, atol=1e-6)


def test_at_ratio_one_nothing_is_clipped():
  logp, _, adv, mask, _ = BATCH
  for surrogate in ('ppo', 'cispo'):
    _, metrics = losses.policy_loss(logp, logp, adv, mask, surrogate=surrogate)
    got = finish(metrics)
    assert got['policy/clip_fraction'] == got['policy/approx_kl'] == 0
    assert got['policy/ratio'] == got['policy/ratio_max'] == 1


def _aggregate(loss, mask, weight, normalizer, constant):
  live = [
      [(b, t) for t in range(T) if mask[b, t] and weight[b]] for b in range(B)
  ]
  prompts = [live[b] + live[b + 1] for b in range(0, B, 2)]
  units = {
      'token': [[token] for row in live for token in row],
      'sequence': live, 'prompt': prompts, 'constant': live,
  }[normalizer]  # fmt: skip
  total, num_units = 0.0, 0
  for unit in filter(None, units):
    own = sum(float(weight[b]) * float(loss[b, t]) for b, t in unit)
    total += own if normalizer == 'constant' else own / len(unit)
    num_units += 1
  return total, num_units * (constant if normalizer == 'constant' else 1)


NORMALIZERS = ['token', 'sequence', 'prompt', 'constant']


@pytest.mark.parametrize('jit', [True, False])
@pytest.mark.parametrize('normalizer', NORMALIZERS)
def test_aggregate(normalizer, jit):
  loss, _, _, mask, weight = BATCH  # NaN where masked
  fn = functools.partial(
      losses.aggregate, normalizer=normalizer, constant=7.0, group_size=2
  )
  fn = jax.jit(fn) if jit else fn
  got = fn(loss, mask, weight)
  want = _aggregate(loss, mask, weight, normalizer, 7)
  np.testing.assert_allclose(got, want, rtol=1e-6)
  np.testing.assert_allclose(
      fn(loss, mask),
      _aggregate(loss, mask, np.ones(B), normalizer, 7),
      rtol=1e-6,
  )


def test_aggregate_counts_tokens_by_default():
  loss, _, _, mask, _ = BATCH
  assert losses.aggregate(loss, mask)[1] == mask.sum()


@pytest.mark.parametrize('normalizer', NORMALIZERS)
def test_nothing_to_aggregate(normalizer):
  got = losses.aggregate(
      np.ones((B, T)), np.ones((B, T)), np.zeros(B), normalizer=normalizer,
      constant=3.0,
  )  # fmt: skip
  assert got == (0, 0)


@pytest.mark.parametrize('normalizer', NORMALIZERS)
@pytest.mark.parametrize('choice', CHOICES[::2])
def test_microbatches_add_up_to_the_whole(normalizer, choice):
  logp, old_logp, adv, mask, weight = BATCH
  logp = np.nan_to_num(logp)

  def numerator(logp, old_logp, adv, mask, weight):
    loss, _ = losses.policy_loss(
        logp, old_logp, adv, mask, weight_B=weight, **choice
    )
    return losses.aggregate(
        loss, mask, weight, normalizer=normalizer, constant=7.0, group_size=2
    )

  fn = jax.jit(jax.value_and_grad(numerator, has_aux=True))
  (whole, count), grad = fn(logp, old_logp, adv, mask, weight)
  parts = [
      fn(*(a[i : i + 2] for a in (logp, old_logp, adv, mask, weight)))
      for i in range(0, B, 2)
  ]
  np.testing.assert_allclose(sum(p[0][0] for p in parts), whole, rtol=1e-6)
  assert sum(p[0][1] for p in parts) == count
  np.testing.assert_allclose(
      np.concatenate([p[1] for p in parts]), grad, rtol=1e-6
  )


@pytest.mark.parametrize('ratio', ['token', 'sequence'])
@pytest.mark.parametrize('normalizer', NORMALIZERS)
def test_padding_changes_nothing(ratio, normalizer):
  logp, old_logp, adv, mask, weight = BATCH

  def run(*arrays):
    logp, old_logp, adv, mask, weight = arrays
    loss, metrics = losses.policy_loss(
        logp, old_logp, adv, mask, ratio=ratio, weight_B=weight
    )
    total = losses.aggregate(
        loss, mask, weight, normalizer=normalizer, constant=7.0
    )
    return total, finish(metrics)

  longer = [
      np.pad(a, ((0, 1),) + ((0, 3),) * (a.ndim - 1))
      for a in (logp, old_logp, adv, mask, weight)
  ]
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
      run(*longer), run(logp, old_logp, adv, mask, weight),
  )  # fmt: skip


@pytest.mark.parametrize('jit', [True, False])
@pytest.mark.parametrize('kind', ['k1', 'k2', 'k3'])
def test_kl_estimate(kind, jit):
  rng = np.random.default_rng(0)
  logp, ref = rng.normal(size=(2, B, T)).astype(np.float32)
  fn = functools.partial(losses.kl_estimate, kind=kind)
  got = (jax.jit(fn) if jit else fn)(logp, ref)
  d = np.float64(ref) - np.float64(logp)
  want = {'k1': -d, 'k2': d**2 / 2, 'k3': np.exp(d) - d - 1}[kind]
  np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
  # d k2 / d logp = −d; d k3 / d logp = 1 − e^d; d k1 / d logp = 1.
  grad = jax.grad(lambda x: fn(x, ref).sum())(logp)
  want = {'k1': np.ones_like(d), 'k2': -d, 'k3': 1 - np.exp(d)}[kind]
  np.testing.assert_allclose(grad, want, rtol=1e-5, atol=1e-6)


def test_kl_estimate_defaults_to_k3_and_averages_to_the_kl():
  p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
  kl = (p * np.log(p / q)).sum()
  for kind in ('k1', 'k3'):
    got = p @ losses.kl_estimate(np.log(p), np.log(q), kind=kind)
    np.testing.assert_allclose(got, kl, rtol=1e-6)
  default = losses.kl_estimate(np.log(p), np.log(q))
  assert (np.asarray(default) > 0).all()


@pytest.mark.parametrize('jit', [True, False])
@pytest.mark.parametrize('level', ['none', 'token', 'sequence'])
def test_importance_weight(level, jit):
  _, old_logp, _, mask, _ = BATCH
  behavior = old_logp + np.random.default_rng(1).normal(size=(B, T)) * 0.6
  behavior = np.where(mask > 0, behavior, np.nan).astype(np.float32)
  fn = functools.partial(losses.importance_weight, level=level, max=1.1)
  got = (jax.jit(fn) if jit else fn)(old_logp, behavior, mask)
  want = np.ones((B, T))
  for b, t in zip(*np.nonzero(mask), strict=True):
    steps = np.flatnonzero(mask[b]) if level == 'sequence' else [t]
    gap = sum(float(old_logp[b, s]) - float(behavior[b, s]) for s in steps)
    want[b, t] = 1.0 if level == 'none' else min(np.exp(gap), 1.1)
  np.testing.assert_allclose(got, want, rtol=2e-6)
  if level != 'none':
    assert (want == 1.1).any() and (want < 1).any()


def test_importance_weight_defaults_and_extremes():
  old, behavior = np.array([[0.0, -1.0]]), np.array([[-1e4, 0.0]])
  got = losses.importance_weight(old, behavior, np.ones((1, 2)))
  np.testing.assert_allclose(got, [[2, np.exp(-1)]], rtol=1e-6)
  grad = jax.grad(
      lambda x: losses.importance_weight(x, behavior, np.ones((1, 2))).sum()
  )(old)
  assert (np.asarray(grad) == 0).all()


@pytest.mark.parametrize('jit', [True, False])
@pytest.mark.parametrize('clip', [0.0, 0.3])
def test_value_loss(clip, jit):
  rng = np.random.default_rng(0)
  value, old, target = rng.normal(size=(3, B, T)).astype(np.float32)
  mask = BATCH[3]
  value[mask == 0] = np.nan
  fn = functools.partial(losses.value_loss, clip=clip)
  loss, metrics = (jax.jit(fn) if jit else fn)(value, old, target, mask)
  want, clipped = np.zeros((B, T)), 0
  for b, t in zip(*np.nonzero(mask), strict=True):
    v, o, r = (float(a[b, t]) for a in (value, old, target))
    error = (v - r) ** 2
    if clip:
      near = (o + min(max(v - o, -clip), clip) - r) ** 2
      clipped += near > error
      error = max(error, near)
    want[b, t] = error / 2
  np.testing.assert_allclose(loss, want, rtol=2e-6, atol=1e-6)
  assert metrics['critic/clip_fraction'] == (clipped, mask.sum())
  assert bool(clipped) == bool(clip)


def test_value_loss_is_not_clipped_by_default_and_moves_only_the_value():
  value, old, target = np.array([[3.0]]), np.array([[9.0]]), np.array([[1.0]])
  mask = np.ones((1, 1))
  assert losses.value_loss(value, old, target, mask)[0] == 2
  # Within 0.5 of 9 the value is held at 8.5, within 7 it is free.
  for clip, slope in ((0.0, 2), (0.5, 0), (7.0, 2)):
    grads = jax.grad(
        lambda *a, c=clip: losses.value_loss(*a, mask, clip=c)[0].sum(),
        (0, 1, 2),
    )(value, old, target)
    assert [float(g[0, 0]) for g in grads] == [slope, 0, 0]


@pytest.mark.parametrize('jit', [True, False])
def test_explained_variance(jit):
  rng = np.random.default_rng(0)
  value, returns = rng.normal(size=(2, B, T)) + [[[3.0]], [[-10.0]]]
  mask = BATCH[3]
  value[mask == 0] = returns[mask == 0] = np.nan
  fn = losses.explained_variance
  fn = jax.jit(fn) if jit else fn
  v, r = value[mask > 0], returns[mask > 0]
  want = 1 - (r - v).var() / r.var()
  assert fn(value, returns, mask) == pytest.approx(want, rel=1e-5)
  assert fn(returns + 5, returns, mask) == pytest.approx(1, abs=1e-5)
  assert fn(np.full_like(value, 0.1), returns, mask) == pytest.approx(
      0, abs=1e-5
  )
  # Nothing varies, nothing counts: nothing to explain.
  for seen in (mask, 0 * mask):
    assert fn(value, np.full_like(value, 0.1), seen) == 0


def test_entropy_loss():
  entropy, _, _, mask, _ = BATCH
  loss, metrics = losses.entropy_loss(entropy, mask)
  np.testing.assert_array_equal(loss, np.where(mask > 0, -entropy, 0))
  np.testing.assert_allclose(
      finish(metrics)['policy/entropy'], entropy[mask > 0].mean(), rtol=1e-6
  )


def test_bad_choices_are_named():
  logp, old_logp, adv, mask, _ = BATCH
  with pytest.raises(ValueError, match="not 'trpo'"):
    losses.policy_loss(logp, old_logp, adv, mask, surrogate='trpo')
  with pytest.raises(ValueError, match="not 'word'"):
    losses.policy_loss(logp, old_logp, adv, mask, ratio='word')
  with pytest.raises(ValueError, match="not 'mean'"):
    losses.aggregate(logp, mask, normalizer='mean')
  for constant in (None, 0.0):
    with pytest.raises(ValueError, match=f'not {constant}'):
      losses.aggregate(logp, mask, normalizer='constant', constant=constant)
  with pytest.raises(ValueError, match="not 'k4'"):
    losses.kl_estimate(logp, old_logp, kind='k4')
  with pytest.raises(ValueError, match="not 'batch'"):
    losses.importance_weight(logp, old_logp, mask, level='batch')


def test_shapes_are_checked():
  ok, bad = np.ones((2, 3)), np.ones((2, 4))
  with pytest.raises(ValueError, match='mask_BT'):
    losses.policy_loss(ok, ok, np.ones(2), bad)
  with pytest.raises(ValueError, match='weight_B'):
    losses.policy_loss(ok, ok, np.ones(2), ok, weight_B=np.ones(3))
  with pytest.raises(ValueError, match='mask_BT'):
    losses.aggregate(ok, bad)
  with pytest.raises(ValueError, match='behavior_logp_BT'):
    losses.importance_weight(ok, bad, ok)
  with pytest.raises(ValueError, match='return_BT'):
    losses.value_loss(ok, ok, bad, ok)
  with pytest.raises(ValueError, match='return_BT'):
    losses.explained_variance(ok, bad, ok)
  with pytest.raises(ValueError, match='mask_BT'):
    losses.entropy_loss(ok, bad)
