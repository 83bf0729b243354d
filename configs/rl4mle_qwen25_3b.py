"""RL4MLE's recipe (arXiv 2509.01684) for Qwen2.5-3B-Instruct.

  python -m ace_jax.main --config=configs/rl4mle_qwen25_3b.py --workdir=DIR

Needs a hub (or `--config.model.source=DIR`) and accelerators: the paper took
1–3 days on 8 × A100-40GB. What is the paper's: the model, the learning rate,
128 samples per update, 1,024 tokens each for prompt and response, the reward
with partial credit. What differs so far: GRPO instead of PPO, all training
tasks instead of one agent per task, scratch prompts only, and synchronous
collection, under which its duration weights would be biased. Not yet run.
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
    config.env.reward = 'rl4mle'
    config.sandbox.num_slots = 16
    config.sandbox.cpu_limit_s = 300.0
    config.sandbox.timeout_s = 1200.0
    config.sandbox.memory_mb = 8192
    config.sampler.max_prompt_tokens = 1024
    config.sampler.max_new_tokens = 1024
    config.sampler.bucket = 128
    config.collect.num_groups = 8
    config.collect.group_size = 16
    config.learner.lr = 1e-5
    config.learner.num_microbatches = 8
    config.loss.tis = 'token'
    config.eval.num_samples = 128
    config.checkpoint.keep = 3
  return config
