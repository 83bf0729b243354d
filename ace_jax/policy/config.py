"""What makes one architecture differ from the next."""

from __future__ import annotations

import dataclasses

from ace_jax.policy.attention import RopeScaling


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The architecture; hashable, so that it can be static under jit."""

  vocab_size: int
  num_layers: int
  dim: int
  ff_dim: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  rope_theta: float = 10_000.0
  rope_scaling: RopeScaling | None = None
  norm_eps: float = 1e-5
  qkv_bias: bool = False  # Qwen2
  qk_norm: bool = False  # Qwen3
  tie_embeddings: bool = True
  max_len: int = 8192  # what the weights were trained for; not enforced
  dtype: str = 'float32'  # of the computation; parameters are float32
  head_dtype: str = ''  # of the vocabulary head; '': dtype
  remat: bool = False
  value_head: bool = False

  def __post_init__(self):
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
          f'num_heads={self.num_heads} is not a multiple of '
          f'num_kv_heads={self.num_kv_heads}'
      )
    if self.head_dim % 2:
      raise ValueError(f'head_dim={self.head_dim} is odd; rotary needs pairs')

  @property
  def precision(self) -> str:
    """float32 means float32, on accelerators that would round it too."""
    return _precision(self.dtype)

  @property
  def head_precision(self) -> str:
    """The same for the vocabulary head."""
    return _precision(self.head_dtype or self.dtype)


def _precision(dtype: str) -> str:
  return 'highest' if dtype == 'float32' else 'default'
