"""The smoke run with PPO: every attempt is an episode, groups are small.

  python -m ace_jax.main --config=configs/ppo_smoke.py --workdir=DIR

A minute or two, for CI: six updates, in the first two of which the critic
learns alone.
"""

import ml_collections

from configs import smoke


def get_config() -> ml_collections.ConfigDict:
  config = smoke.get_config()
  with config.unlocked():
    config.name = 'ppo_smoke'
    config.collect.num_groups = 4
    config.collect.group_size = 2
    config.learner.algorithm = 'ppo'
    config.learner.num_minibatches = 2
    config.learner.proximal = 'recompute'
    config.critic.lr = 1e-3
    config.critic.warmup_updates = 2
    config.loss.entropy_coef = 1e-3
  return config
