"""Our menu against TRL's published definitions, where the two overlap.

The functions `trl_*` state in PyTorch what TRL's documentation of its GRPO and
RLOO trainers defines (checked against version 1.16): per-token losses, their
normalisers, importance sampling levels, two-sided clipping, CISPO, the KL
term and the scaling of rewards. Gradients are compared too, by autograd.
"""

import jax
import numpy as np
import pytest

from ace_jax.core import advantages, losses

torch = pytest.importorskip('torch', reason='needs torch: TRL is written in it')

B, T, G = 8, 6, 4
MAX_TOKENS = 10


def _batch():
  rng = np.random.default_rng(0)
  logp = -rng.random((B, T)) * 3
  old_logp = logp + rng.normal(size=(B, T)) * 0.5
  ref_logp = logp + rng.normal(size=(B, T)) * 0.3
  adv = rng.normal(size=B) * 2
  mask = np.arange(T) < rng.integers(1, T + 1, (B, 1))
  arrays = logp, old_logp, ref_logp, adv, mask
  return tuple(a.astype(np.float32) for a in arrays)


def trl_token_loss(
    logp, old_logp, adv, mask, *, loss_type='grpo', level='token',
    epsilon=0.2, epsilon_high=0.2, delta=None,
):  # fmt: skip
  gap = logp - old_logp
  if level == 'sequence':
    gap = ((gap * mask).sum(1) / mask.sum(1))[:, None]
  ratio, adv = gap.exp(), adv[:, None]
  if loss_type == 'cispo':  # epsilon_high is the bound itself here
    return -ratio.clamp(max=epsilon_high).detach() * adv * logp
  near = ratio.clamp(1 - epsilon, 1 + epsilon_high)
  if delta is not None:
    ratio = ratio.clamp(max=delta)
  return -torch.minimum(ratio * adv, near * adv)


def trl_mean(token_loss, mask, loss_type):
  total = token_loss * mask
  if loss_type == 'grpo':
    return (total.sum(1) / mask.sum(1)).mean()
  if loss_type == 'dr_grpo':
    return total.sum() / (len(mask) * MAX_TOKENS)
  return total.sum() / mask.sum()  # dapo, bnpo on one device


def trl_kl(logp, ref_logp):
  d = ref_logp - logp
  return d.exp() - d - 1


def trl_advantages(rewards, scale_rewards):
  group = rewards.view(-1, G)
  adv = group - group.mean(1, keepdim=True)
  if scale_rewards == 'group':
    adv = adv / (group.std(1, keepdim=True) + 1e-4)
  return adv


def trl_rloo(rewards):
  group = rewards.view(-1, G)
  return group - (group.sum(1, keepdim=True) - group) / (G - 1)


NORMALIZER = {
    'grpo': 'sequence', 'dr_grpo': 'constant', 'dapo': 'token',
    'cispo': 'token',
}  # fmt: skip

CASES = [
    *[
        (loss_type, level, {}, {})
        for loss_type in ('grpo', 'dr_grpo', 'dapo')
        for level in ('token', 'sequence')
    ],
    ('dapo', 'token', {'epsilon_high': 0.28}, {'clip_high': 0.28}),
    ('grpo', 'token', {'delta': 1.5}, {'dual_clip': 1.5}),
    ('grpo', 'sequence', {'delta': 1.5}, {'dual_clip': 1.5}),
    ('grpo', 'sequence', {'epsilon': 3e-4, 'epsilon_high': 4e-4},
     {'clip_low': 3e-4, 'clip_high': 4e-4}),
    # A ratio is never below 0, so clip_low = 1 is no lower bound, as in TRL.
    ('cispo', 'token', {'epsilon_high': 1.3},
     {'clip_low': 1.0, 'clip_high': 0.3, 'surrogate': 'cispo'}),
]  # fmt: skip


@pytest.mark.parametrize('loss_type, level, theirs, ours', CASES)
@pytest.mark.parametrize('beta', [0.0, 0.1])
def test_loss_and_gradient(loss_type, level, theirs, ours, beta):
  logp, old_logp, ref_logp, adv, mask = _batch()

  def loss_fn(x):
    loss, _ = losses.policy_loss(x, old_logp, adv, mask, ratio=level, **ours)
    if beta:
      loss += beta * losses.kl_estimate(x, ref_logp, kind='k3')
    total, count = losses.aggregate(
        loss, mask, normalizer=NORMALIZER[loss_type], constant=MAX_TOKENS
    )
    return total / count

  got, got_grad = jax.jit(jax.value_and_grad(loss_fn))(logp)

  x = torch.tensor(logp, requires_grad=True)
  old, ref, adv, m = map(torch.tensor, (old_logp, ref_logp, adv, mask))
  loss = trl_token_loss(
      x, old, adv, m, loss_type=loss_type, level=level, **theirs
  )
  if beta:
    loss = loss + beta * trl_kl(x, ref)
  want = trl_mean(loss.expand(B, T), m, loss_type)
  want.backward()
  np.testing.assert_allclose(got, want.item(), rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(got_grad, x.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('level', ['token', 'sequence'])
def test_truncated_importance_sampling(level):
  _, old_logp, behavior, _, mask = _batch()
  gap = (torch.tensor(old_logp) - torch.tensor(behavior)) * torch.tensor(mask)
  if level == 'sequence':
    gap = gap.sum(1, keepdim=True)
  want = gap.exp().clamp(max=1.2).expand(B, T) * torch.tensor(mask)
  got = losses.importance_weight(
      old_logp, behavior, mask, level=level, max=1.2
  )
  np.testing.assert_allclose(got * mask, want, rtol=1e-5)


@pytest.mark.parametrize('scale_rewards', ['group', 'none'])
def test_group_advantages(scale_rewards):
  reward = np.random.default_rng(1).normal(size=(3, G)).astype(np.float32)
  got = advantages.group_relative(
      reward, np.ones((3, G)), scale_by_std=scale_rewards == 'group'
  )
  want = trl_advantages(torch.tensor(reward), scale_rewards)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_leave_one_out_advantages():
  reward = np.random.default_rng(1).normal(size=(3, G)).astype(np.float32)
  got = advantages.leave_one_out(reward, np.ones((3, G)))
  np.testing.assert_allclose(
      got, trl_rloo(torch.tensor(reward)), rtol=1e-5, atol=1e-6
  )
