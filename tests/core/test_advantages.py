"""Every advantage against a plain loop over its equation, and by properties."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.core import advantages

Q, G = 6, 5
EPS = 1e-4


def _batch(seed=0):
  """Groups of spread, tied and equal rewards; some attempts left the batch."""
  rng = np.random.default_rng(seed)
  reward = rng.normal(size=(Q, G))
  reward[1] = [0, 0, 0, 1, 1]
  reward[2] = 0.1
  reward[3] = [1, 1, 1, 1, -10]
  mask = np.ones((Q, G))
  mask[0, 2] = mask[3, 0] = mask[4, :3] = mask[5, :4] = 0
  valid = (rng.random((Q, G)) < 0.6).astype(np.float64)
  valid[1] = 1
  valid[2] = 0
  milestones = rng.integers(0, 7, (Q, G)) / 6
  quality = rng.random((Q, G))
  reward[mask == 0] = np.nan  # what is masked may be anything
  arrays = reward, valid, quality, milestones, mask
  return tuple(a.astype(np.float32) for a in arrays)


def _by_group(fn, *arrays, mask):
  """Runs `fn` on the live part of each group, in float64."""
  out = np.zeros(mask.shape)
  for q in range(len(mask)):
    live = mask[q] > 0
    if live.any():
      out[q, live] = fn(*(a[q, live].astype(np.float64) for a in arrays))
  return out


def _group_relative(r, scale_by_std=True):
  adv = r - r.mean()
  if scale_by_std:
    adv = adv / ((r.std(ddof=1) if len(r) > 1 else 0) + EPS)
  return adv


def _leave_one_out(r):
  n = len(r)
  if n == 1:
    return [0.0]
  return [r[i] - sum(r[j] for j in range(n) if j != i) / (n - 1)
          for i in range(n)]


def _max_k(r, k):
  """The average over all subsets, one by one."""
  size = min(k, len(r)) - 1
  if size == 0:
    return [0.0]
  adv = []
  for i in range(len(r)):
    others = [r[j] for j in range(len(r)) if j != i]
    subsets = list(itertools.combinations(others, size))
    adv.append(np.mean([max(r[i] - max(s), 0) for s in subsets]))
  return adv


def _kl_to_uniform(r, beta):
  q = np.exp(beta * (r - r.max()))
  q = q / q.sum()
  q = q[q > 0]
  return (q * np.log(q * len(r))).sum()


def _entropic(r):
  n = len(r)
  if r.max() == r.min():
    return np.zeros(n)
  limit = np.log(n / (r == r.max()).sum())
  goal = np.log(2) if limit > np.log(2) * 1.001 else limit / 2
  low, high = 0.0, 1.0
  while _kl_to_uniform(r, high) < goal:
    high *= 2
  for _ in range(100):
    middle = (low + high) / 2
    over = _kl_to_uniform(r, middle) > goal
    low, high = (low, middle) if over else (middle, high)
  e = np.exp(low * (r - r.max()))
  return [e[i] / np.delete(e, i).mean() - 1 for i in range(n)]


def _nested(v, q, m):
  """The equation, and the lift where it would put a valid one too low."""
  n, ok, adv = len(v), v > 0, np.zeros(len(v))
  for i in range(n):
    adv[i] = v[i] - v.mean()
    if ok[i]:
      s = q[ok].std(ddof=1) if ok.sum() > 1 else 0.0
      adv[i] += 0.5 * np.clip((q[i] - q[ok].mean()) / max(s, 0.05), -2, 2)
    else:
      adv[i] += 0.1 * (m[i] - m[~ok].mean())
  if ok.any() and not ok.all():
    adv[ok] = np.maximum(adv[ok], adv[~ok].max() + 0.01)
  return adv


def _batch_normalized(reward, mask):
  centred = _by_group(lambda r: r - r.mean(), reward, mask=mask)
  return centred / (centred[mask > 0].std(ddof=1) + EPS)


REFERENCES = {
    'group_relative': lambda r, v, q, m, mask: _by_group(
        _group_relative, r, mask=mask
    ),
    'leave_one_out': lambda r, v, q, m, mask: _by_group(
        _leave_one_out, r, mask=mask
    ),
    'entropic': lambda r, v, q, m, mask: _by_group(_entropic, r, mask=mask),
    'max_k': lambda r, v, q, m, mask: _by_group(
        lambda r: _max_k(r, 4), r, mask=mask
    ),
    'nested': lambda r, v, q, m, mask: _by_group(_nested, v, q, m, mask=mask),
    'batch_normalized': lambda r, v, q, m, mask: _batch_normalized(r, mask),
}


def test_the_menu_is_complete():
  assert set(advantages.ADVANTAGES) == set(REFERENCES)


@pytest.mark.parametrize('jit', [True, False])
@pytest.mark.parametrize('name', list(REFERENCES))
def test_matches_its_equation(name, jit):
  fn = advantages.ADVANTAGES[name]
  got = (jax.jit(fn) if jit else fn)(*map(jnp.asarray, _batch()))
  want = REFERENCES[name](*_batch())
  # The entropic one is a quotient of exponentials, with values up to 14.
  rtol = 1e-5 if name == 'entropic' else 1e-6
  np.testing.assert_allclose(got, want, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize('name', list(REFERENCES))
def test_properties(name):
  fn = jax.jit(advantages.ADVANTAGES[name])
  reward, *others, mask = _batch(1)
  adv = np.asarray(fn(reward, *others, mask))
  assert np.isfinite(adv).all()
  assert (adv[mask == 0] == 0).all()
  shifted = fn(reward + 4, *others, mask)
  np.testing.assert_allclose(shifted, adv, rtol=2e-4, atol=2e-6)
  order = np.random.default_rng(0).permutation(G)
  turned = fn(*(a[:, order] for a in (reward, *others, mask)))
  np.testing.assert_allclose(turned, adv[:, order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('value', [0.1, -9.7, 1e4])
@pytest.mark.parametrize('size', [1, 2, 3, 5, 7])
def test_equal_rewards_give_exactly_nothing(size, value):
  reward = np.full((1, 7), value, np.float32)
  mask = (np.arange(7) < size)[None].astype(np.float32)
  for name in set(REFERENCES) - {'nested'}:
    fn = advantages.ADVANTAGES[name]
    adv = fn(reward, reward, reward, reward, mask)
    assert (np.asarray(adv) == 0).all(), name
  equal = np.ones((1, 7), np.float32)
  adv = advantages.nested(equal, equal * value, equal, mask)
  assert (np.asarray(adv) == 0).all()


def test_group_relative_without_std_is_dr_grpo():
  reward, *_, mask = _batch()
  got = advantages.group_relative(reward, mask, scale_by_std=False)
  want = _by_group(lambda r: r - r.mean(), reward, mask=mask)
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_eps_is_added_to_the_deviation():
  reward, mask = np.array([[0.0, 2.0]]), np.ones((1, 2))
  got = advantages.group_relative(reward, mask, eps=2.0)
  np.testing.assert_allclose(got, [[-1 / (2**0.5 + 2), 1 / (2**0.5 + 2)]])
  got = advantages.batch_normalized(reward, mask, eps=2.0)
  np.testing.assert_allclose(got, [[-1 / (2**0.5 + 2), 1 / (2**0.5 + 2)]])


def test_entropic_tilt_is_ln_2_away():
  """Checked from the advantages alone: they determine the tilt."""
  reward = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
  adv = np.float64(advantages.entropic(reward, np.ones((4, 8))))
  ratio = adv + 1  # e_i (n − 1)/(Σ e − e_i), so e_i/Σe = ratio/(n − 1 + ratio)
  q = ratio / (7 + ratio)
  np.testing.assert_allclose(q.sum(1), 1, rtol=1e-6)
  np.testing.assert_allclose((q * np.log(q * 8)).sum(1), np.log(2), rtol=1e-5)
  loose = advantages.entropic(reward, np.ones((4, 8)), target_kl=0.01)
  q = (1 + np.float64(loose)) / (8 + np.float64(loose))
  np.testing.assert_allclose((q * np.log(q * 8)).sum(1), 0.01, rtol=1e-3)


@pytest.mark.parametrize('scale', [1e-12, 1.0, 1e6])
@pytest.mark.parametrize('best, size', [(1, 2), (2, 4), (4, 8), (7, 8), (1, 8)])
def test_entropic_stays_finite_where_ln_2_is_out_of_reach(best, size, scale):
  reward = (np.arange(size) < best)[None] * np.float32(scale)
  adv = np.asarray(advantages.entropic(reward, np.ones((1, size))))
  want = _entropic(reward[0].astype(np.float64))
  np.testing.assert_allclose(adv[0], want, rtol=1e-4)
  assert (adv[0, :best] > 0).all() and (adv[0, best:] < 0).all()
  assert np.abs(adv).max() < 20


def test_entropic_of_a_hair_between_the_best_two():
  reward = np.array([[1.0, 1.0 - 1e-6, 0.0, 0.0]], np.float32)
  adv = np.asarray(advantages.entropic(reward, np.ones((1, 4))))
  assert np.isfinite(adv).all() and adv[0, 0] > adv[0, 1] > adv[0, 2]


@pytest.mark.parametrize('k', [2, 3, 4, 5, 6, 9])
@pytest.mark.parametrize('size', [1, 2, 3, 5, 7])
def test_max_k_is_the_average_over_subsets(k, size):
  rng = np.random.default_rng(k * size)
  reward = rng.integers(-3, 4, (3, 7)).astype(np.float32)
  mask = np.zeros((3, 7), np.float32)
  for row in mask:
    row[rng.permutation(7)[:size]] = 1
  got = advantages.max_k(reward, mask, k=k)
  want = _by_group(lambda r: _max_k(r, k), reward, mask=mask)
  np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_max_k_of_a_large_group_does_not_overflow():
  reward = np.arange(128, dtype=np.float32)[None]
  adv = np.asarray(advantages.max_k(reward, np.ones((1, 128)), k=64))
  # The best beats the maximum of 63 of 0 … 126, whose mean is 63 · 128/64 − 1.
  np.testing.assert_allclose(adv[0, -1], 127 - (63 * 128 / 64 - 1), rtol=1e-5)
  assert adv[0, 62] == 0 < adv[0, 63]


@pytest.mark.parametrize('k', [1, 0])
def test_max_k_needs_a_rival(k):
  with pytest.raises(ValueError, match=f'k must be at least 2, not {k}'):
    advantages.max_k(np.ones((1, 3)), np.ones((1, 3)), k=k)


def test_nested_keeps_the_worst_valid_above_the_best_failure():
  rng = np.random.default_rng(0)
  shape = (3000, 12)
  valid = (rng.random(shape) < rng.random((3000, 1))).astype(np.float32)
  # One far behind nine equals is what reaches the clip at −2.
  quality = np.where(rng.random(shape) < 0.15, 0.0, 1.0)
  quality = quality * rng.random((3000, 1))
  milestones = np.round(rng.random(shape) * 6) / 6
  mask = (rng.random(shape) < 0.9).astype(np.float32)
  nested = jax.jit(advantages.nested)
  adv = np.asarray(nested(valid, quality, milestones, mask))
  ok, failed = (valid > 0) & (mask > 0), (valid == 0) & (mask > 0)
  worst = np.where(ok, adv, np.inf).min(1)
  best = np.where(failed, adv, -np.inf).max(1)
  both = ok.any(1) & failed.any(1)
  assert (worst - best)[both].min() >= 0.0099
  # The equation alone would not do: the lift was at work here.
  assert (np.abs(worst - best - 0.01)[both] < 1e-5).sum() > 10


def test_nested_by_hand():
  valid = np.array([[1, 1, 0, 0]], np.float32)
  quality = np.array([[0.5, 0.46, 9.0, np.nan]], np.float32)
  milestones = np.array([[0.0, 1.0, 1.0, 0.5]], np.float32)
  adv = advantages.nested(valid, quality, milestones, np.ones((1, 4)))
  # s_v = .0283 is raised to .05; ±.02/.05 = ±.4, halved; .1 · ±.25.
  np.testing.assert_allclose(adv, [[0.7, 0.3, -0.475, -0.525]], rtol=1e-6)


@pytest.mark.parametrize('outlier, want', [(1.0, 1.0), (0.0, -1.0)])
def test_nested_bounds_the_quality_of_an_outlier(outlier, want):
  quality = np.array([[outlier] + [0.5] * 9], np.float32)  # 2.85 deviations
  ones = np.ones((1, 10), np.float32)
  adv = np.asarray(advantages.nested(ones, quality, 0 * ones, ones))
  np.testing.assert_allclose(adv[0, 0], want, rtol=1e-6)


def test_zero_variance_mask():
  reward = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 3], [0.1, 0.1, 0.1]])
  mask = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0]])
  got = advantages.zero_variance_mask(reward, mask)
  np.testing.assert_array_equal(got, [True, True, False, True])
  alone = advantages.zero_variance_mask(reward[1:2], np.array([[0, 0, 1]]))
  assert alone[0]


def _gae(reward, value, mask, gamma, lam):
  adv, ret = np.zeros(reward.shape), np.zeros(reward.shape)
  for b in range(len(reward)):
    steps = np.flatnonzero(mask[b])
    for i, t in enumerate(steps):
      total = 0.0
      for j, s in enumerate(steps[i:]):
        later = steps[i + j + 1 :]
        after = value[b, later[0]] if len(later) else 0.0
        delta = reward[b, s] + gamma * after - value[b, s]
        total += (gamma * lam) ** j * delta
      adv[b, t], ret[b, t] = total, total + value[b, t]
  return adv, ret


@pytest.mark.parametrize('gamma, lam', [(1.0, 1.0), (0.9, 0.8), (0.5, 0.0)])
def test_gae(gamma, lam):
  rng = np.random.default_rng(0)
  reward, value = rng.normal(size=(2, 3, 7)).astype(np.float32)
  mask = (rng.random((3, 7)) < 0.6).astype(np.float32)
  reward[mask == 0] = value[mask == 0] = np.nan
  fn = jax.jit(lambda *a: advantages.gae(*a, gamma=gamma, lam=lam))
  got = fn(reward, value, mask)
  want = _gae(np.float64(reward), np.float64(value), mask, gamma, lam)
  np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_gae_by_default_is_the_return_less_the_value():
  reward = np.array([[0.0, 0.0, 1.0]])
  value = np.array([[0.2, 0.4, 0.9]])
  adv, ret = advantages.gae(reward, value, np.ones((1, 3)))
  np.testing.assert_allclose(adv, 1 - value, rtol=1e-6)
  np.testing.assert_allclose(ret, [[1, 1, 1]], rtol=1e-6)


def test_at_the_end_is_the_last_action():
  mask = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
  got = advantages.at_the_end(np.array([5.0, 6.0, 7.0, -8.0]), mask)
  assert got.tolist() == [
      [0, 0, 5, 0], [0, 0, 6, 0], [0, 0, 0, 0], [0, -8, 0, 0],
  ]


@pytest.mark.parametrize('jit', [True, False])
def test_whiten(jit):
  rng = np.random.default_rng(0)
  adv = (5 + 3 * rng.normal(size=(3, 7))).astype(np.float32)
  mask = (rng.random((3, 7)) < 0.6).astype(np.float32)
  adv[mask == 0] = np.nan
  fn = jax.jit(advantages.whiten) if jit else advantages.whiten
  got = np.asarray(fn(adv, mask))
  seen = np.float64(adv[mask > 0])
  want = (seen - seen.mean()) / (seen.std(ddof=1) + 1e-4)
  np.testing.assert_allclose(got[mask > 0], want, rtol=1e-5, atol=1e-6)
  assert not got[mask == 0].any()
  # Equal ones are worth exactly nothing, and so is a single one, or none.
  for only in (mask, mask * 0, np.eye(3, 7) * [[1], [0], [0]]):
    assert not np.any(fn(np.full_like(adv, 0.1), only))


def test_shapes_are_checked():
  for name, fn in advantages.ADVANTAGES.items():
    arrays = [np.ones((2, 3))] * 4
    with pytest.raises(ValueError, match='mask_QG'):
      fn(*arrays, np.ones((2, 4))), name
  with pytest.raises(ValueError, match='mask_QG'):
    advantages.zero_variance_mask(np.ones((2, 3)), np.ones((2, 4)))
  with pytest.raises(ValueError, match='mask_BT'):
    advantages.gae(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 4)))
  with pytest.raises(ValueError, match='mask_BT'):
    advantages.whiten(np.ones((2, 3)), np.ones((2, 4)))
  with pytest.raises(ValueError, match='mask_BT'):
    advantages.at_the_end(np.ones(2), np.ones((3, 4)))
