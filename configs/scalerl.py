"""The recipe for large runs, after ScaleRL (arXiv 2510.13786).

  python -m ace_jax.main --config=configs/scalerl.py --workdir=DIR
      --config.model.source=DIR_OR_HUB_ID

CISPO, logits in float32, losses averaged over prompts, advantages normalised
over the batch, groups of equal rewards left out, importance weights between
sampler and learner truncated. Its bounded asynchrony is not there yet:
collection is synchronous. Problems come from the evolving buffer. Not yet
measured: it is made for accelerators.
"""

import ml_collections

from configs import default


def get_config() -> ml_collections.ConfigDict:
  config = default.get_config()
  with config.unlocked():
    config.name = 'scalerl'
    config.num_steps = 400
    config.model.source = 'Qwen/Qwen2.5-3B-Instruct'
    config.model.dtype = 'bfloat16'
    config.model.head_dtype = 'float32'
    config.model.remat = True
    config.mesh.data = 1
    config.mesh.fsdp = -1
    config.buffer.kind = 'evolving'
    config.sandbox.num_slots = 16
    config.sandbox.cpu_limit_s = 300.0
    config.sandbox.timeout_s = 1200.0
    config.sandbox.memory_mb = 8192
    config.sampler.max_prompt_tokens = 2048
    config.sampler.max_new_tokens = 2048
    config.sampler.bucket = 128
    config.collect.num_groups = 16
    config.collect.group_size = 16
    config.learner.lr = 5e-6
    config.learner.warmup_steps = 10
    config.learner.num_microbatches = 8
    config.loss.surrogate = 'cispo'
    config.loss.clip_low = 1.0  # CISPO cuts off weights from above alone
    config.loss.clip_high = 4.0
    config.loss.normalizer = 'prompt'
    config.loss.advantage = 'batch_normalized'
    config.loss.tis = 'token'
    config.eval.num_samples = 32
    config.checkpoint.keep = 3
  return config
