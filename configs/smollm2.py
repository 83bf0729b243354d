"""The quickstart's road, longer: SmolLM2-135M for an hour on a GPU.

  python -m ace_jax.main --config=configs/smollm2.py --workdir=DIR

More demonstrations, larger groups, more steps, and the recipe that scales
(CISPO, zero-variance filter, prompts averaged). Not yet measured.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
  config = default.get_config()
  with config.unlocked():
    config.name = 'smollm2'
    config.num_steps = 200
    config.model.dtype = 'bfloat16'
    config.env.train_tasks = ('quickstart_train',)
    config.env.held_out_tasks = ('quickstart_held_out',)
    config.env.suggest_imports = True
    config.sandbox.num_slots = 8
    config.sampler.max_prompt_tokens = 512
    config.sampler.max_new_tokens = 320
    config.sampler.bucket = 64
    config.collect.num_groups = 8
    config.collect.group_size = 16
    config.imitation.num_demos = 512
    config.imitation.num_held_out_demos = 32
    config.imitation.max_epochs = 3
    config.imitation.rows_per_batch = 4
    config.learner.lr = 1e-5
    config.learner.warmup_steps = 5
    config.learner.num_microbatches = 4
    config.loss.advantage = 'nested'
    config.loss.surrogate = 'cispo'
    config.loss.normalizer = 'sequence'
    config.loss.clip_high = 0.28
    config.loss.tis = 'token'
    config.eval.num_samples = 64
    config.eval.num_train_samples = 16
  return config
