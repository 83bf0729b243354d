"""PPO on a bandit whose optimum is known, one pull for each prompt.

Two prompts, eight arms, an episode of two pulls. What they pay is added, with
noise, and paid at the end: the policy must find each prompt's best arm for both
pulls, the critic what that is worth. No group has a second attempt, so nothing
but the critic can tell good from bad.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ace_jax import recipe
from ace_jax.learner import critic, state, update
from ace_jax.policy.transformer import ModelConfig, Transformer
from ace_jax.types import Batch
from configs import default

NUM_ARMS, ROWS, PULLS = 8, 32, 2
MODEL = Transformer(
    ModelConfig(
        vocab_size=NUM_ARMS, num_layers=1, dim=32, ff_dim=32, num_heads=2,
        num_kv_heads=2, head_dim=16, value_head=True,
    )
)
PROMPTS = np.array([[1, 2], [1, 3]], np.int32)
BEST = 6, 4
# Per pull: arms 0 … 7 pay 0 … .28, a prompt's best one .5, the other's −.5.
PAY = np.tile(0.04 * np.arange(NUM_ARMS), (2, 1))
PAY[[0, 1], BEST], PAY[[0, 1], BEST[::-1]] = 0.5, -0.5
NUM_STEPS = 80


def make_config():
  config = default.get_config()
  with config.unlocked():
    config.num_steps = NUM_STEPS
    config.collect.num_groups = ROWS
    config.collect.group_size = 1
    config.sampler.max_new_tokens = PULLS
    config.learner.algorithm = 'ppo'
    config.learner.lr = 6e-3
    config.learner.lr_schedule = 'linear'
    config.learner.num_minibatches = 2
    config.learner.proximal = 'recompute'
    config.learner.b2 = 0.99
    config.loss.entropy_coef = 0.01
    config.critic.lr = 1e-2
    config.critic.warmup_updates = 6
  return config


def next_logp(params, prompt, pulls):
  """[Q, V] after a prompt [Q, 2] and the pulls so far [Q, t]."""
  tokens = jnp.concatenate([prompt, pulls], axis=1)
  return jax.nn.log_softmax(MODEL.logits(params, tokens)[:, -1])


@jax.jit
def play(params, prompt, rng):
  """pulls [Q, 2] and their log-probs."""
  pulls = jnp.zeros((ROWS, 0), jnp.int32)
  logps = []
  for pull_rng in jax.random.split(rng, PULLS):
    logp = next_logp(params, prompt, pulls)
    pull = jax.random.categorical(pull_rng, logp)
    logps.append(logp[jnp.arange(ROWS), pull])
    pulls = jnp.concatenate([pulls, pull[:, None]], axis=1)
  return pulls, jnp.stack(logps, axis=1)


def collect(params, step):
  rng = np.random.default_rng(step)
  which = np.arange(ROWS) % 2
  pulls, logp = play(params, PROMPTS[which], jax.random.key(step))
  pulls, logp = np.asarray(pulls), np.asarray(logp)
  reward = PAY[which[:, None], pulls].sum(1) + 0.1 * rng.normal(size=ROWS)
  logp = logp[:, None]
  return Batch(
      prompt=PROMPTS[which],
      prompt_mask=np.ones((ROWS, 2), np.float32),
      completion=pulls[:, None],
      mask=np.ones((ROWS, 1, PULLS), np.float32),
      behavior_logp=logp,
      old_logp=logp,
      ref_logp=0 * logp,
      adv=np.zeros((ROWS, 1), np.float32),
      weight=np.ones((ROWS, 1), np.float32),
      reward=np.float32(reward[:, None]),
  )


def test_ppo_finds_the_best_arms_and_their_worth():
  config = make_config()
  tx = recipe.make_optimizer(config, recipe.learning_rate(config))
  spec = recipe.loss_spec(config)
  prepare_fn = update.make_prepare_fn(MODEL, spec)
  update_fn = update.make_update_fn(MODEL, tx, spec)
  learner = state.init(MODEL.init(jax.random.key(0)), tx)
  before = np.array(learner.params['embed'])
  for step in range(NUM_STEPS):
    batch = collect(learner.params, step)
    learner = critic.start(learner, batch)
    batch = jax.tree.map(np.asarray, prepare_fn(learner.params, None, batch))
    for half in range(2):  # of both prompts the same number
      rows = np.arange(ROWS) // 2 % 2 == half
      part = jax.tree.map(functools.partial(np.compress, rows, axis=0), batch)
      learner, _ = update_fn(learner, part)
    is_held = int(learner.step) <= config.critic.warmup_updates
    assert is_held == np.array_equal(before, learner.params['embed'])
  for prompt, best in zip(PROMPTS, BEST, strict=True):
    row, pulls = prompt[None], np.full((1, 1), best)
    for seen in (pulls[:, :0], pulls):
      assert np.exp(next_logp(learner.params, row, seen))[0, best] > 0.9
    hidden = MODEL.completion_states(
        learner.params, row, np.ones((1, 2)), np.full((1, 1, 2), best)
    )
    worth = MODEL.values(learner.params, hidden)
    np.testing.assert_allclose(worth[0, 0], 1.0, atol=0.1)
