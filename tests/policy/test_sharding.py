import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ace_jax.policy import sharding

# Eight devices exist only in a process that asks for them before jax starts.
PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from ace_jax.policy import sharding
from ace_jax.policy.transformer import ModelConfig, Transformer

assert len(jax.devices()) == 8
model = Transformer(ModelConfig(
    vocab_size=64, num_layers=2, dim=32, ff_dim=48, num_heads=4,
    num_kv_heads=2, head_dim=8, qkv_bias=True, qk_norm=True,
    tie_embeddings={tied},
))
params = jax.jit(model.init)(jax.random.key(0))
params = jax.tree.map(lambda x: x + 0.05 * jnp.cos(jnp.arange(x.size))
                      .reshape(x.shape), params)
rng = np.random.default_rng(0)
prompt, completion = rng.integers(0, 64, (8, 6)), rng.integers(0, 64, (8, 2, 4))
mask = np.ones((8, 6), np.float32)
mask[3, :2] = 0

def loss_fn(params):
  hidden = model.completion_states(params, prompt, mask, completion)
  logits = hidden @ model.unembedding(params)
  return jnp.sum(jnp.tanh(logits)), logits

step = lambda: jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
(_, want), want_grads = step()(params)
for data, fsdp, tensor in {meshes}:
  mesh = sharding.make_mesh(data=data, fsdp=fsdp, tensor=tensor)
  placed = sharding.shard(params, mesh)
  split = sum(not x.sharding.is_fully_replicated for x in
              jax.tree.leaves(placed))
  assert (split > 0) == (fsdp * tensor != 1), (mesh, split)
  with jax.set_mesh(mesh):
    (_, got), grads = step()(placed)
  np.testing.assert_allclose(got, want, atol=1e-5)
  for x, y in zip(*map(jax.tree.leaves, (grads, want_grads)), strict=True):
    np.testing.assert_allclose(x, y, atol=1e-5 * max(1, np.abs(y).max()))
print('equal')
"""


@pytest.mark.parametrize(
    'tied, meshes',
    [
        (True, [(8, 1, 1), (-1, 2, 2)]),
        # 8 does not divide 2 kv heads: those stay whole, the rest is split.
        (False, [(1, 8, 1), (1, 1, 8)]),
    ],
)
def test_eight_devices_equal_one(tied, meshes):
  env = os.environ | {
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
  }
  done = subprocess.run(
      [sys.executable, '-c', PROGRAM.format(tied=tied, meshes=meshes)],
      env=env, capture_output=True, text=True, timeout=300, check=False,
  )
  assert done.stdout.strip() == 'equal', done.stderr[-3000:]


def test_constrain_without_a_mesh_is_the_identity():
  x = jnp.ones((2, 3))
  assert sharding.constrain(x, 'batch', None) is x


def test_one_device_mesh():
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  assert dict(mesh.shape) == {'data': 1, 'fsdp': 1, 'tensor': 1}
  placed = sharding.shard({'embed': np.ones((4, 2))}, mesh)
  assert placed['embed'].sharding.is_fully_replicated


@pytest.mark.parametrize('sizes', [(2, 1, 1), (-1, 2, 1), (-1, -1, 1)])
def test_a_mesh_that_does_not_fit_is_refused(sizes):
  names = dict(zip(sharding.MESH_AXES, sizes, strict=True))
  with pytest.raises(ValueError, match=f'data={sizes[0]}.*1 device'):
    sharding.make_mesh(**names, devices=jax.devices()[:1])
