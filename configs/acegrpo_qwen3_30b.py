"""AceGRPO's recipe (arXiv 2602.07906) for Qwen3-30B-A3B, Ace-30B's class.

  python -m ace_jax.main --config=configs/acegrpo_qwen3_30b.py --workdir=DIR

The paper's roles: an evolving data buffer makes improve and debug problems of
the policy's traces, a learnability potential draws them, GRPO learns from
single steps, 400 times. The paper does not publish its formulas nor most of
its numbers; what is ours is told in core/learnability.py. Needs a hub (or
`--config.model.source=DIR`) and many accelerators; the mixture-of-experts
layers of this model are not there yet, so loading it is refused. The
same recipe runs with a dense one (`--config.model.source=Qwen/Qwen3-8B`). Not
yet run.
"""

import ml_collections

from configs import scalerl


def get_config() -> ml_collections.ConfigDict:
  config = scalerl.get_config()
  with config.unlocked():
    config.name = 'acegrpo_qwen3_30b'
    config.num_steps = 400
    config.model.source = 'Qwen/Qwen3-30B-A3B-Instruct-2507'
    config.mesh.tensor = 4
    config.buffer.capacity = 512
    config.sampler.max_prompt_tokens = 8192
    config.sampler.max_new_tokens = 8192
    config.collect.num_groups = 32
    config.collect.group_size = 8
    config.learner.lr = 1e-6
    config.learner.num_microbatches = 32
    config.loss.surrogate = 'ppo'
    config.loss.clip_low = 0.2
    config.loss.clip_high = 0.28
    config.loss.advantage = 'group_relative'
    config.loss.normalizer = 'token'
  return config
