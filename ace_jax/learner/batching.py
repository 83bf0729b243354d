"""Groups → fixed-shape arrays.

A row of a batch holds one prompt and its G completions, so the prompt is
computed once for the whole group (see `policy.transformer`). Lengths are
rounded up to a bucket: a run compiles a handful of programs, not one per batch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ace_jax.types import Attempt, Batch, Group


def round_up(length: int, bucket: int) -> int:
  """The least positive multiple of `bucket` that holds `length`."""
  return max(-(-length // bucket), 1) * bucket


def pad_prompts(
    prompts: Sequence[np.ndarray], *, bucket: int, pad_id: int
) -> tuple[np.ndarray, np.ndarray]:
  """Left-pads: tokens [Q, P] int32 and their mask [Q, P] float32."""
  length = round_up(max(map(len, prompts)), bucket)
  tokens = np.full((len(prompts), length), pad_id, np.int32)
  mask = np.zeros((len(prompts), length), np.float32)
  for row, prompt in enumerate(prompts):
    tokens[row, length - len(prompt):] = prompt
    mask[row, length - len(prompt):] = 1.0
  return tokens, mask


def pad_completions(
    rows: Sequence[Sequence[np.ndarray]], *, length: int, fill: Any, dtype: Any
) -> np.ndarray:
  """Right-pads ragged [Q][G][T] into [Q, G, length]."""
  out = np.full((len(rows), len(rows[0]), length), fill, dtype)
  for q, row in enumerate(rows):
    for g, values in enumerate(row):
      out[q, g, :len(values)] = values
  return out


def collate(
    groups: Sequence[Group],
    *,
    advantage_fn: Callable[..., Any],
    weight_fn: Callable[..., Any],
    bucket: int,
    pad_id: int,
    quality_fn: Callable[[Attempt], float] = lambda a: a.grade.human_rank,
) -> Batch:
  """Q groups of G attempts each → Batch.

  Args:
    groups: of one size G.
    advantage_fn: (reward, valid, quality, milestones, mask), all [Q, G]
      float32, to advantages [Q, G]. Milestones are the share reached, 0 … 1.
    weight_fn: (groups, reward [Q, G], mask [Q, G]) to weights [Q, G].
    bucket: lengths are rounded up to multiples of it.
    pad_id: the token that fills.
    quality_fn: a valid attempt's, for advantages that look beyond the reward.

  An attempt without a reward (`infra_error`) keeps its row but has weight 0.
  """
  sizes = {len(group.attempts) for group in groups}
  if len(sizes) != 1:
    raise ValueError(f'groups of one size make a batch, not of {sizes}')
  attempts = [group.attempts for group in groups]
  completions = [[a.completion for a in row] for row in attempts]
  length = round_up(
      max(len(c.tokens()) for row in completions for c in row), bucket
  )

  def field(fn: Callable[[Attempt], float]) -> np.ndarray:
    return np.array([[fn(a) for a in row] for row in attempts], np.float32)

  mask_QG = field(lambda a: a.reward is not None)
  reward_QG = field(lambda a: a.reward or 0.0)
  adv_QG = advantage_fn(
      reward_QG,
      field(lambda a: a.grade.valid),
      field(quality_fn),
      field(lambda a: a.milestones / 6),
      mask_QG,
  )

  def ragged(fn: Callable[..., np.ndarray], fill: Any, dtype: Any):
    rows = [[fn(c) for c in row] for row in completions]
    return pad_completions(rows, length=length, fill=fill, dtype=dtype)

  prompt_QP, prompt_mask_QP = pad_prompts(
      [row[0].prompt.tokens for row in attempts], bucket=bucket, pad_id=pad_id
  )
  behavior_logp = ragged(lambda c: c.behavior_logp(), 0.0, np.float32)
  return Batch(
      prompt=prompt_QP,
      prompt_mask=prompt_mask_QP,
      completion=ragged(lambda c: c.tokens(), pad_id, np.int32),
      mask=ragged(lambda c: c.mask(), 0.0, np.float32),
      behavior_logp=behavior_logp,
      old_logp=behavior_logp,
      ref_logp=np.zeros_like(behavior_logp),
      adv=np.asarray(adv_QG, np.float32),
      weight=np.asarray(weight_fn(groups, reward_QG, mask_QG), np.float32),
      reward=reward_QG,
  )


def minibatches(
    batch: Batch, *, num_epochs: int, num_minibatches: int, seed: int
) -> Iterator[Batch]:
  """Shuffled slices along Q, `num_epochs × num_minibatches` of them.

  Raises:
    ValueError: Q is not a multiple of `num_minibatches`.
  """
  num_rows = len(batch.prompt)
  if num_rows % num_minibatches:
    raise ValueError(
        f'{num_rows} groups cannot be cut into {num_minibatches} minibatches'
    )
  rng = np.random.default_rng(seed)
  for _ in range(num_epochs):
    order = rng.permutation(num_rows)
    for rows in np.split(order, num_minibatches):
      yield jax.tree.map(lambda x: np.asarray(x)[rows], batch)  # noqa: B023
