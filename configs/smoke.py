"""The whole road in under a minute: a small policy made from nothing.

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
    config.sampler.max_prompt_tokens = 256
    config.sampler.max_new_tokens = 160
    config.sampler.bucket = 32
    config.collect.num_groups = 2
    config.collect.group_size = 8
    config.imitation.num_demos = 64
    config.imitation.num_held_out_demos = 8
    config.imitation.max_epochs = 10
    config.imitation.rows_per_batch = 2
    config.imitation.per_row = 8
    config.imitation.lr = 3e-3
    config.imitation.lr_schedule = 'linear'
    config.imitation.checkpoint_every = 50
    config.learner.lr = 1e-4
    config.loss.advantage = 'nested'
    config.eval.num_samples = 4
    config.eval.num_train_samples = 0
    config.checkpoint.every = 1
  return config
