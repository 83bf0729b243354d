"""GGUF files: llama.cpp's names and layouts, seen as Hugging Face's."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import gguf
import numpy as np

from ace_jax.policy.transformer import ModelConfig

# GGUF tensor name → Hugging Face's, '#' being the layer.
NAMES = {
    'token_embd': 'model.embed_tokens',
    'output_norm': 'model.norm',
    'output': 'lm_head',
    'blk.#.attn_norm': 'model.layers.#.input_layernorm',
    'blk.#.attn_q': 'model.layers.#.self_attn.q_proj',
    'blk.#.attn_k': 'model.layers.#.self_attn.k_proj',
    'blk.#.attn_v': 'model.layers.#.self_attn.v_proj',
    'blk.#.attn_output': 'model.layers.#.self_attn.o_proj',
    'blk.#.attn_q_norm': 'model.layers.#.self_attn.q_norm',
    'blk.#.attn_k_norm': 'model.layers.#.self_attn.k_norm',
    'blk.#.ffn_norm': 'model.layers.#.post_attention_layernorm',
    'blk.#.ffn_gate': 'model.layers.#.mlp.gate_proj',
    'blk.#.ffn_up': 'model.layers.#.mlp.up_proj',
    'blk.#.ffn_down': 'model.layers.#.mlp.down_proj',
}


def read(
    path: pathlib.Path,
) -> tuple[ModelConfig, Callable[[str], np.ndarray], dict[str, Any]]:
  """Opens a GGUF file.

  Returns:
    The configuration, a function from a tensor's Hugging Face name to its
    float32 array, and the metadata.

  Raises:
    ValueError: in one line, what is missing or not supported.
  """
  reader = gguf.GGUFReader(path)
  fields = {key: field.contents() for key, field in reader.fields.items()}
  tensors = {_hf_name(tensor.name): tensor for tensor in reader.tensors}
  config = _config(path, fields, tensors)
  heads = {'q': config.num_heads, 'k': config.num_kv_heads}

  def get(name: str) -> np.ndarray:
    if name not in tensors:
      raise ValueError(f'{path}: tensor {name} is missing')
    tensor = tensors[name]
    x = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    match = re.search(r'\.([qk])_proj\.', name)
    if match and fields['general.architecture'] == 'llama':
      # llama.cpp interleaves the rotary pairs (i, i + H/2); take that back.
      x = x.reshape(heads[match[1]], -1, 2, *x.shape[1:])
      x = x.swapaxes(1, 2).reshape(-1, *x.shape[3:])
    return x

  return config, get, fields


def _hf_name(name: str) -> str:
  """'blk.3.attn_q.weight' → 'model.layers.3.self_attn.q_proj.weight'."""
  stem, _, kind = name.rpartition('.')
  layer = re.search(r'\d+', stem)
  pattern = re.sub(r'\d+', '#', stem)
  if pattern not in NAMES:
    return name
  known = NAMES[pattern]
  return f'{known.replace("#", layer[0]) if layer else known}.{kind}'


def _config(
    path: pathlib.Path, fields: Mapping[str, Any], tensors: Mapping[str, Any]
) -> ModelConfig:
  kind = fields['general.architecture']
  if kind not in ('llama', 'qwen2', 'qwen3'):
    raise ValueError(f'{path}: {kind!r} is not llama, qwen2 or qwen3')
  if 'rope_freqs.weight' in tensors:
    raise ValueError(
        f'{path}: a GGUF with scaled rotary frequencies is not supported; use '
        'the safetensors weights'
    )
  heads = fields[f'{kind}.attention.head_count']
  eps = fields[f'{kind}.attention.layer_norm_rms_epsilon']
  dim = fields[f'{kind}.embedding_length']
  return ModelConfig(
      vocab_size=len(fields['tokenizer.ggml.tokens']),
      num_layers=fields[f'{kind}.block_count'],
      dim=dim,
      ff_dim=fields[f'{kind}.feed_forward_length'],
      num_heads=heads,
      num_kv_heads=fields.get(f'{kind}.attention.head_count_kv', heads),
      head_dim=fields.get(f'{kind}.attention.key_length', dim // heads),
      rope_theta=float(fields.get(f'{kind}.rope.freq_base', 10_000.0)),
      # Stored in float32: 1e-5 comes back as 9.99999974e-06.
      norm_eps=float(f'{eps:.6g}'),
      qkv_bias=kind == 'qwen2',
      qk_norm=kind == 'qwen3',
      tie_embeddings='lm_head.weight' not in tensors,
      max_len=fields[f'{kind}.context_length'],
  )
