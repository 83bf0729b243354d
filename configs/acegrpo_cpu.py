"""AceGRPO (arXiv 2602.07906) on a laptop: a curriculum of the agent's traces.

  python -m ace_jax.main --config=configs/acegrpo_cpu.py --workdir=DIR

SmolLM2-135M-Instruct imitates verified programs first, and pairs of a program
and a better or a mended one. Then GRPO, on Problems that an evolving buffer
makes of what the policy wrote: improve what was valid, debug what failed, and
draw what there is most to learn from. The twin of acegrpo_qwen3_30b.py on two
cores; `experiments/curriculum.py` compares it with drafts alone.
"""

import ml_collections

from configs import quickstart


def get_config() -> ml_collections.ConfigDict:
  config = quickstart.get_config()
  with config.unlocked():
    config.name = 'acegrpo_cpu'
    config.num_steps = 10
    config.buffer.kind = 'evolving'
    # Half of the draws are drafts while the buffer is young.
    config.buffer.temperature = 0.5
    config.buffer.epsilon = 0.1
    config.buffer.capacity = 32
    # A parent's program is as long as a completion may be.
    config.sampler.max_prompt_tokens = 540
    config.imitation.improve_share = 0.2
    config.imitation.debug_share = 0.1
    config.eval.num_samples = 32
    config.checkpoint.every = 5
  return config
