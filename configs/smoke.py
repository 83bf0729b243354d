"""The whole road in a minute or two: a small policy made from nothing.

  python -m ace_jax.main --config=configs/smoke.py --workdir=DIR

It has its own vocabulary, learns to write programs from demonstrations in
seconds, and takes a few GRPO steps on groups that really differ. For CI and
for a first look at a workdir; nobody should expect a good policy of it.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
  config = default.get_config()
  with config.unlocked():
    config.name = 'smoke'
    config.num_steps = 3
    config.model.source = 'scratch'
    config.model.scratch.num_layers = 3
    config.model.scratch.vocab_size = 1024
    config.env.train_tasks = ('pendigits',)
    config.env.held_out_tasks = ('vowel',)
    config.sampler.temperature = 0.5
    config.sampler.max_prompt_tokens = 256
    config.sampler.max_new_tokens = 160
    config.sampler.bucket = 32
    config.imitation.num_demos = 64
    config.imitation.num_held_out_demos = 8
    config.imitation.max_epochs = 22
    config.imitation.per_row = 8
    config.imitation.lr = 4e-3
    config.imitation.lr_schedule = 'linear'
    config.imitation.eval_every = 40
    config.imitation.checkpoint_every = 60
    config.learner.lr = 1e-4
    config.loss.advantage = 'nested'
    config.eval.temperature = 0.5
    config.eval.num_samples = 4
    config.eval.num_train_samples = 8
    config.checkpoint.every = 1
  return config
