"""Tokenizers and chat templates: read, built from a GGUF, or learnt.

transformers reads a GGUF's tokenizer only where torch is installed, and this
project does not ask for torch. So a GGUF's byte-level BPE is put together with
`tokenizers`, from the vocabulary and the merges in the file.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

Tokenizer = transformers.PreTrainedTokenizerBase
Messages = Sequence[Mapping[str, str]]

# ChatML without a default system message: every token of a small context
# should be about the task.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n'"
    " + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Ends of a turn, in the families we know, beside the tokenizer's own.
END_OF_TURN = ('<|im_end|>', '<|eot_id|>', '<|endoftext|>')

_CONTROL, _USER_DEFINED = 3, 4  # gguf.TokenType


def load(directory: str | os.PathLike) -> Tokenizer:
  """The tokenizer of a Hugging Face model directory."""
  return transformers.AutoTokenizer.from_pretrained(directory)


def from_gguf(path: pathlib.Path, fields: Mapping[str, Any]) -> Tokenizer:
  """The tokenizer of a GGUF file.

  Args:
    path: the file.
    fields: its metadata, key → value.

  Raises:
    ValueError: its way of cutting words is not known here, and transformers,
      which knows others, cannot read it for want of torch.
  """
  if fields.get('tokenizer.ggml.pre') != 'smollm':
    try:
      return transformers.AutoTokenizer.from_pretrained(
          path.parent, gguf_file=path.name
      )
    except ImportError as e:
      raise ValueError(
          f'{path}: reading a {fields.get("tokenizer.ggml.pre")!r} tokenizer '
          'from a GGUF needs torch; use the safetensors weights instead'
      ) from e
  tokens = fields['tokenizer.ggml.tokens']
  tokenizer = _byte_level(
      models.BPE(
          vocab={token: i for i, token in enumerate(tokens)},
          merges=[tuple(m.split(' ')) for m in fields['tokenizer.ggml.merges']],
      )
  )
  kinds = list(zip(tokens, fields['tokenizer.ggml.token_type'], strict=True))
  tokenizer.add_special_tokens([t for t, kind in kinds if kind == _CONTROL])
  tokenizer.add_tokens([t for t, kind in kinds if kind == _USER_DEFINED])
  special = {
      f'{name}_token': tokens[fields[key]]
      for name, key in (
          ('bos', 'tokenizer.ggml.bos_token_id'),
          ('eos', 'tokenizer.ggml.eos_token_id'),
          ('unk', 'tokenizer.ggml.unknown_token_id'),
          ('pad', 'tokenizer.ggml.padding_token_id'),
      )
      if key in fields
  }
  return _wrap(
      tokenizer, fields.get('tokenizer.chat_template', CHATML), **special
  )


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
  """A byte-level BPE of at most `vocab_size` tokens, with ChatML.

  For policies trained from nothing: it encodes any text, and the texts it was
  learnt on with few tokens.
  """
  specials = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  if vocab_size < len(specials) + len(alphabet):
    raise ValueError(
        f'vocab_size={vocab_size} does not hold the {len(alphabet)} bytes and '
        f'{len(specials)} special tokens'
    )
  tokenizer = _byte_level(models.BPE())
  tokenizer.train_from_iterator(
      texts,
      trainers.BpeTrainer(
          vocab_size=vocab_size,
          special_tokens=specials,
          initial_alphabet=alphabet,
          show_progress=False,
      ),
  )
  return _wrap(
      tokenizer, CHATML, eos_token='<|im_end|>', pad_token='<|endoftext|>'
  )


def encode_chat(
    tokenizer: Tokenizer, messages: Messages, *, default_system: bool = True
) -> np.ndarray:
  """Messages → [T] int32, up to where the assistant begins to speak.

  Args:
    tokenizer: with a chat template.
    messages: dicts of role and content.
    default_system: some templates (SmolLM2's, Qwen2's) put in a system message
      of their own when the first message is not one. False takes it out.
  """
  text = _render(tokenizer, messages)
  if not default_system and messages[0]['role'] != 'system':
    # What follows a system message is what would stand there without one.
    system = [{'role': 'system', 'content': '-'}]
    head = tokenizer.apply_chat_template(system, tokenize=False)
    full = _render(tokenizer, [*system, *messages])
    body = full.removeprefix(head)
    if body != full and text.endswith(body):
      start = tokenizer.decode(tokenizer('').input_ids)  # a true BOS stays
      text = (start if text.startswith(start) else '') + body
  return np.asarray(
      tokenizer(text, add_special_tokens=False).input_ids, np.int32
  )


def stop_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
  """The tokens that end a completion; the first is the tokenizer's own."""
  vocab = tokenizer.get_vocab()
  own = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
  others = (vocab[token] for token in END_OF_TURN if token in vocab)
  ids = tuple(dict.fromkeys((*own, *others)))
  if not ids:
    raise ValueError('the tokenizer has no end-of-text token')
  return ids


def pad_id(tokenizer: Tokenizer) -> int:
  """What fills the masked places; its value has no effect."""
  pad = tokenizer.pad_token_id
  return stop_ids(tokenizer)[0] if pad is None else pad


def _render(tokenizer: Tokenizer, messages: Messages) -> str:
  return tokenizer.apply_chat_template(
      list(messages), tokenize=False, add_generation_prompt=True
  )


def _byte_level(model: models.BPE) -> tokenizers.Tokenizer:
  tokenizer = tokenizers.Tokenizer(model)
  # Digits one by one: numbers are then spelled the same wherever they stand.
  tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
      pre_tokenizers.Digits(individual_digits=True),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
  ])
  tokenizer.decoder = decoders.ByteLevel()
  return tokenizer


def _wrap(
    tokenizer: tokenizers.Tokenizer, chat_template: str, **special: str
) -> Tokenizer:
  return transformers.PreTrainedTokenizerFast(
      tokenizer_object=tokenizer,
      chat_template=chat_template,
      clean_up_tokenization_spaces=False,
      **special,
  )
