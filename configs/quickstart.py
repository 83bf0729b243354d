"""A pretrained 135M model learns to do machine learning, on a laptop.

  ./run.sh          (the same as)
  python -m ace_jax.main --config=configs/quickstart.py --workdir=DIR

SmolLM2-135M-Instruct first imitates verified programs for training tasks,
then GRPO improves it on those tasks. The table at the end compares held-out
tasks before and after. See README.md for what it gave and how long it took.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
  config = default.get_config()
  with config.unlocked():
    config.name = 'quickstart'
    config.num_steps = 5
    config.env.train_tasks = ('quickstart_train',)
    config.env.held_out_tasks = ('quickstart_held_out',)
    config.env.suggest_imports = True
    config.sampler.max_prompt_tokens = 270
    config.sampler.max_new_tokens = 180
    config.sampler.bucket = 90  # one shape for all: each is a compilation
    config.sandbox.cpu_limit_s = 5.0
    config.collect.num_groups = 2
    config.collect.group_size = 8
    config.imitation.num_demos = 120
    config.imitation.num_held_out_demos = 8
    config.imitation.rows_per_batch = 1
    config.imitation.per_row = 4
    config.imitation.lr = 6e-4
    config.imitation.lr_schedule = 'linear'
    config.imitation.eval_every = 16
    config.imitation.checkpoint_every = 20
    config.learner.lr = 4e-5
    config.learner.num_microbatches = 2  # for laptops with 16 GB
    # Without a valid program a group's gradient is a tenth of the others', from
    # milestones alone; Adam's usual epsilon made full steps of that.
    config.learner.eps = 1e-7
    config.loss.advantage = 'nested'
    config.eval.num_samples = 12
    config.eval.num_train_samples = 0
    config.checkpoint.every = 3
  return config
