"""RL4MLE (arXiv 2509.01684) on a laptop: PPO, partial credit, improve prompts.

  python -m ace_jax.main --config=configs/rl4mle_cpu.py --workdir=DIR

The paper's machinery at SmolLM2-135M's size: PPO with a value head, one
completion an episode, half of the problems from scratch and half asking to
improve an earlier program of the policy's own, partial credit by milestones
that a frozen copy of the policy inserts, the competition's own score as
reward. The twin of rl4mle_qwen25_3b.py on two cores; its differences from the
paper are numbered there.
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  config = quickstart.get_config()
  with config.unlocked():
    config.name = 'rl4mle_cpu'
    config.num_steps = 10
    config.env.reward = 'rl4mle'
    config.env.improve_reward = 'level'
    config.env.instrumenter = 'lm'
    config.buffer.improve_share = 0.5
    config.sampler.max_prompt_tokens = 540
    config.collect.num_groups = 8
    config.collect.group_size = 2
    config.imitation.improve_share = 0.2
    config.learner.algorithm = 'ppo'
    # Two updates a batch: what is clipped is clipped against the first one's.
    config.learner.num_minibatches = 2
    config.learner.proximal = 'recompute'
    config.critic.lr = 1e-3
    config.critic.warmup_updates = 4
    config.critic.clip = 2.0  # rewards span some ten
    config.checkpoint.every = 5
  return config
