import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.policy.attention import RopeScaling, rope_table
from ace_jax.policy.transformer import ModelConfig, unstack

Q, P, G, C = 2, 7, 3, 5
LENGTHS = 4, 7  # real prompt tokens of each row


@pytest.fixture
def packed():
  """A packed batch: prompt, prompt_mask, completion."""
  rng = np.random.default_rng(1)
  prompt = rng.integers(0, 96, (Q, P))
  mask = np.zeros((Q, P), np.float32)
  for q, n in enumerate(LENGTHS):
    mask[q, P - n :] = 1
  return prompt, mask, rng.integers(0, 96, (Q, G, C))


def head(model, params, hidden):
  return hidden @ model.unembedding(params)


def test_packed_rows_equal_separate_sequences(family, packed):
  model, params = family
  prompt, mask, completion = packed
  hidden = jax.jit(model.completion_states)(params, prompt, mask, completion)
  assert hidden.shape == (Q, G, C, model.config.dim)
  got = head(model, params, hidden)
  logits = jax.jit(model.logits)
  for q, n in enumerate(LENGTHS):
    rows = np.concatenate(
        [np.tile(prompt[q, P - n :], (G, 1)), completion[q]], axis=1
    )
    want = logits(params, rows)[:, n - 1 : -1]
    np.testing.assert_allclose(got[q], want, atol=2e-5)


def test_packed_gradients_equal_separate_sequences(qwen3, packed):
  model, params = qwen3
  prompt, mask, completion = packed

  def together(params):
    hidden = model.completion_states(params, prompt, mask, completion)
    return jnp.sum(jnp.sin(head(model, params, hidden)))

  def apart(params):
    total = 0.0
    for q, n in enumerate(LENGTHS):
      rows = np.concatenate(
          [np.tile(prompt[q, P - n :], (G, 1)), completion[q]], axis=1
      )
      logits = model.logits(params, rows)[:, n - 1 : -1]
      total += jnp.sum(jnp.sin(logits))
    return total

  got, want = (jax.jit(jax.grad(f))(params) for f in (together, apart))
  for x, y in zip(*map(jax.tree.leaves, (got, want)), strict=True):
    np.testing.assert_allclose(x, y, atol=2e-4 * float(jnp.abs(y).max()))


def test_padding_and_other_completions_do_not_matter(qwen3, packed):
  model, params = qwen3
  prompt, mask, completion = packed
  states = jax.jit(model.completion_states)
  before = states(params, prompt, mask, completion)
  other = completion.copy()
  other[:, 1:] = (other[:, 1:] + 1) % 96
  other[:, 0, -1] = 0  # the last token is never fed
  after = states(params, np.where(mask > 0, prompt, 5), mask, other)
  np.testing.assert_array_equal(before[:, 0], after[:, 0])
  assert np.abs(before[:, 1, 1:] - after[:, 1, 1:]).max() > 1e-3


def test_no_state_sees_the_future(qwen3):
  model, params = qwen3
  tokens = np.arange(8)[None]
  changed = tokens.copy()
  changed[0, 5] = 50
  logits = jax.jit(model.logits)
  a, b = logits(params, tokens), logits(params, changed)
  np.testing.assert_allclose(a[:, :5], b[:, :5], atol=1e-6)
  assert np.abs(a[:, 5:] - b[:, 5:]).max(-1).min() > 1e-4


def test_single_token_completions(qwen3, packed):
  model, params = qwen3
  prompt, mask, completion = packed
  states = jax.jit(model.completion_states)
  whole = states(params, prompt, mask, completion)
  one = states(params, prompt, mask, completion[..., :1])
  np.testing.assert_allclose(one, whole[:, :, :1], atol=1e-5)


def test_prefill_and_decode_equal_completion_states(family, packed):
  model, params = family
  prompt, mask, completion = packed
  states = jax.jit(model.completion_states)
  want = head(model, params, states(params, prompt, mask, completion))
  first, prefix = jax.jit(model.prefill)(params, prompt, mask)
  for g in range(G):
    np.testing.assert_allclose(first, want[:, g, 0], atol=2e-5)
  layers = unstack(params['layers'], model.config)
  cache = model.empty_cache(Q, G, C + 3)  # longer than is used
  step_fn = jax.jit(model.decode_step)
  for j in range(C - 1):
    logits, cache = step_fn(
        params, layers, completion[:, :, j], j, mask, prefix, cache
    )
    np.testing.assert_allclose(logits, want[:, :, j + 1], atol=2e-5)


def test_rematerialisation_changes_nothing(qwen3, packed):
  model, params = qwen3
  saving = dataclasses.replace(
      model, config=dataclasses.replace(model.config, remat=True)
  )
  a, b = (
      jax.jit(jax.grad(lambda p, m=m: m.completion_states(p, *packed).sum()))(
          params
      )
      for m in (model, saving)
  )
  for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True):
    np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


def test_bfloat16_computes_near_float32(qwen3, packed):
  model, params = qwen3
  low = dataclasses.replace(
      model, config=dataclasses.replace(model.config, dtype='bfloat16')
  )
  a = jax.jit(model.completion_states)(params, *packed)
  b = jax.jit(low.completion_states)(params, *packed)
  assert b.dtype == jnp.bfloat16
  assert jax.eval_shape(low.logits, params, packed[0]).dtype == jnp.float32
  gap = np.abs(np.asarray(a) - np.asarray(b, np.float32))
  assert 0 < gap.mean() < 0.05 * np.abs(a).mean()


def test_value_head_starts_at_zero_and_spares_the_trunk(qwen3, packed):
  model, _ = qwen3
  model = dataclasses.replace(
      model, config=dataclasses.replace(model.config, value_head=True)
  )
  params = jax.jit(model.init)(jax.random.key(3))

  def value(params):
    hidden = model.completion_states(params, *packed)
    return model.values(params, hidden)

  values = jax.jit(value)(params)
  assert values.shape == (Q, G, C) and values.dtype == jnp.float32
  np.testing.assert_array_equal(values, 0)
  # Away from the zero layer, where a gradient would show.
  params['value']['out']['kernel'] += 1.0
  grads = jax.jit(jax.grad(lambda p: jnp.sum(value(p) ** 2)))(params)
  head_grads = jax.tree.leaves(grads.pop('value'))
  assert all(np.abs(g).max() > 0 for g in head_grads)
  for g in jax.tree.leaves(grads):
    np.testing.assert_array_equal(g, 0)


def test_rope_scaling_against_the_published_rule():
  """The rule of Llama 3.1's reference code, one frequency at a time."""
  s = RopeScaling(8.0, 1.0, 4.0, 8192)
  cos, sin = rope_table(
      jnp.array([100]), head_dim=64, theta=500_000.0, scaling=s
  )
  for i in range(32):
    freq = 500_000.0 ** (-i / 32)
    wavelen = 2 * math.pi / freq
    if wavelen > 8192 / s.low_freq_factor:
      freq /= s.factor
    elif wavelen > 8192 / s.high_freq_factor:
      smooth = (8192 / wavelen - 1.0) / (4.0 - 1.0)
      freq = (1 - smooth) * freq / s.factor + smooth * freq
    np.testing.assert_allclose(cos[0, 0, 0, i], np.cos(100 * freq), atol=2e-5)
    np.testing.assert_allclose(sin[0, 0, 0, i], np.sin(100 * freq), atol=2e-5)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(num_kv_heads=3), 'num_heads=4 is not a multiple'),
        (dict(head_dim=7), 'head_dim=7 is odd'),
    ],
)
def test_impossible_shapes_are_refused(change, message):
  shape = dict(
      vocab_size=8, num_layers=1, dim=8, ff_dim=8, num_heads=4,
      num_kv_heads=2, head_dim=8,
  )
  with pytest.raises(ValueError, match=message):
    ModelConfig(**{**shape, **change})
