"""The optimizer's schedule and what it decays."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ace_jax.learner import state


def rates(num, **kwargs):
  options = dict(lr=1.0, lr_schedule='constant', warmup_steps=0, num_steps=10)
  schedule = state.learning_rate(**options | kwargs)
  return [round(float(schedule(i)), 4) for i in range(num)]


def test_constant():
  assert rates(3) == [1, 1, 1]


def test_warmup_starts_above_zero_and_ends_at_lr():
  assert rates(5, warmup_steps=4) == [0.25, 0.5, 0.75, 1, 1]
  assert rates(2, warmup_steps=1) == [1, 1]


def test_linear_and_cosine_end_at_zero():
  linear = rates(11, lr_schedule='linear')
  assert linear == [round(1 - i / 10, 4) for i in range(11)]
  cosine = rates(11, lr_schedule='cosine')
  expected = [(1 + np.cos(np.pi * i / 10)) / 2 for i in range(11)]
  np.testing.assert_allclose(cosine, expected, atol=1e-4)


def test_unknown_schedule_is_named():
  with pytest.raises(ValueError, match="'step' is none of constant"):
    rates(1, lr_schedule='step')


def test_decay_spares_norms_and_biases_and_the_norm_is_clipped():
  tx = state.make_optimizer(
      lambda _: 0.1, b1=0.9, b2=0.95, weight_decay=0.5, max_grad_norm=1.0
  )
  params = {
      'layers': {'qkv': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)},
                 'attn_norm': jnp.ones((2, 2))},
      'final_norm': jnp.ones(2),
  }
  zeros = optax.tree.zeros_like(params)
  updates, _ = tx.update(zeros, tx.init(params), params)
  np.testing.assert_allclose(updates['layers']['qkv']['kernel'], -0.05)
  assert not updates['layers']['qkv']['bias'].any()
  assert not updates['layers']['attn_norm'].any()
  assert not updates['final_norm'].any()
