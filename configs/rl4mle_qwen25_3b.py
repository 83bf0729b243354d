"""RL4MLE's recipe (arXiv 2509.01684) for Qwen2.5-3B-Instruct.

  python -m ace_jax.main --config=configs/rl4mle_qwen25_3b.py --workdir=DIR
      --config.env.mlebench_data=DIR_OF_PREPARED_COMPETITIONS

Needs a hub (or `--config.model.source=DIR`), accelerators (the paper took 1–3
days on 8 × A100-40GB) and the competitions, prepared by `mlebench prepare`
with your own Kaggle account. What is the paper's: the model, PPO, the learning
rate, 128 samples per update, 1,024 tokens each for prompt and response, a
frozen copy that inserts the milestones, partial credit and then the score, and
one half of the problems asking to improve an earlier solution. Differences:

1. One policy for all twelve tasks, where the paper trains one each; name a
   single one in `--config.env.train_tasks` for the paper's way.
2. Collection is synchronous, so everything launched is used, and the paper's
   duration weights would change the objective: they are off.
3. A failure never beats a success (envs/rewards.py).

Not yet run.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
  config = default.get_config()
  with config.unlocked():
    config.name = 'rl4mle_qwen25_3b'
    config.num_steps = 500
    config.model.source = 'Qwen/Qwen2.5-3B-Instruct'
    config.model.dtype = 'bfloat16'
    config.model.remat = True
    config.mesh.data = 1
    config.mesh.fsdp = -1
    config.env.train_tasks = ('rl4mle',)
    config.env.reward = 'rl4mle'
    config.env.improve_reward = 'level'
    config.env.instrumenter = 'lm'
    config.buffer.improve_share = 0.5
    config.sandbox.num_slots = 16
    config.sandbox.cpu_limit_s = 300.0
    config.sandbox.timeout_s = 1200.0
    config.sandbox.memory_mb = 8192
    config.sampler.max_prompt_tokens = 1024
    config.sampler.max_new_tokens = 1024
    config.sampler.bucket = 128
    config.collect.num_groups = 128
    config.collect.group_size = 1
    config.learner.algorithm = 'ppo'
    config.critic.clip = 2.0  # rewards span some ten
    config.learner.lr = 1e-5
    config.learner.num_minibatches = 2
    config.learner.proximal = 'recompute'
    config.learner.num_microbatches = 4
    config.loss.tis = 'token'
    config.eval.num_samples = 128
    config.checkpoint.keep = 3
  return config
