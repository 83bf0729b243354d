"""Token log-probs and entropies without the [tokens, vocabulary] array.

The vocabulary head is by far the widest layer of a small model: 2,640 tokens
by 49,152 words are half a gigabyte of float32, more than all activations.
Here the tokens pass it in chunks, and the backward pass computes each chunk's
logits again, unless there is room to keep them.
"""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from ace_jax.core.shapes import check_shapes


def token_logprobs(
    hidden_XD: jax.Array,
    unembedding_DV: jax.Array,
    targets_X: jax.Array,
    *,
    chunk: int,
    temperature: float | jax.Array = 1.0,
    entropy: bool = True,
    keep: bool = False,
    precision: str | None = None,
) -> tuple[jax.Array, jax.Array | None]:
  """log p(target) and the entropy of p = softmax(hidden · unembedding / T).

  Args:
    hidden_XD: final hidden states, one for each token to score; any float.
    unembedding_DV: the vocabulary head.
    targets_X: int token ids.
    chunk: tokens at a time, at most; memory is about chunk · V · 8 bytes.
    temperature: > 0, the sampler's.
    entropy: False saves its cost.
    keep: keep all logits for the backward pass, X · V · 4 bytes, which saves
      one of the four matrix products of the head.
    precision: of these products, jax.lax.Precision's names.

  Returns:
    logp_X float32, entropy_X float32 in nats (None without `entropy`).
  """
  sizes = check_shapes(
      hidden_XD=hidden_XD, unembedding_DV=unembedding_DV, targets_X=targets_X
  )
  X, D = sizes['X'], sizes['D']
  if chunk < 1:
    raise ValueError(f'chunk must be at least 1, not {chunk}')

  def score(hidden_CD, targets_C):
    logits_CV = jnp.dot(
        hidden_CD,
        unembedding_DV,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    logits_CV = checkpoint_name(logits_CV, 'logits') / temperature
    peak_C1 = jax.lax.stop_gradient(logits_CV.max(axis=1, keepdims=True))
    mass_CV = jnp.exp(logits_CV - peak_C1)
    total_C = mass_CV.sum(axis=1)
    norm_C = peak_C1.squeeze(1) + jnp.log(total_C)
    # A comparison instead of a gather: its transpose fuses into the softmax,
    # where a gather's would scatter into one more array of this width.
    is_target_CV = targets_C[:, None] == jnp.arange(logits_CV.shape[1])
    logp_C = jnp.sum(jnp.where(is_target_CV, logits_CV, 0), axis=1) - norm_C
    if not entropy:
      return logp_C, None
    return logp_C, norm_C - jnp.sum(mass_CV * logits_CV, axis=1) / total_C

  # Equal chunks need the least padding. Chunk n takes every N-th token, so
  # that each chunk lies on all devices when X is sharded.
  N = max(-(-X // chunk), 1)
  C = -(-X // N)
  pad = N * C - X
  hidden_NCD = jnp.pad(hidden_XD, ((0, pad), (0, 0)))
  hidden_NCD = hidden_NCD.reshape(C, N, D).swapaxes(0, 1)
  targets_NC = jnp.pad(targets_X, (0, pad)).reshape(C, N).T
  kept = ('logits',) if keep else ()
  policy = jax.checkpoint_policies.save_only_these_names(*kept)
  score = jax.checkpoint(score, policy=policy)
  _, scores_NC = jax.lax.scan(
      lambda _, chunk_in: (None, score(*chunk_in)),
      None,
      (hidden_NCD, targets_NC),
  )
  return jax.tree.map(lambda x_NC: x_NC.T.reshape(-1)[:X], scores_NC)
