"""Groups become arrays: padding, masks, and what leaves the batch."""

import numpy as np
import pytest

from ace_jax.learner import batching
from ace_jax.types import (
    Attempt,
    Completion,
    Grade,
    Group,
    Problem,
    Prompt,
    Segment,
)

PROBLEM = Problem('task')


def attempt(length, reward, *, prompt=3, segments=1):
  tokens = np.arange(1, length + 1, dtype=np.int32)
  parts = tuple(
      Segment(part, -0.5 * np.ones(len(part), np.float32), i % 2 == 0)
      for i, part in enumerate(np.array_split(tokens, segments))
  )
  return Attempt(
      key=f'{length}',
      problem=PROBLEM,
      prompt=Prompt(PROBLEM, np.arange(10, 10 + prompt, dtype=np.int32)),
      completion=Completion(parts, policy_version=0, finished=True),
      program=None,
      execution=None,
      milestones=3,
      grade=Grade(valid=bool(reward and reward > 0), human_rank=0.25),
      reward=reward,
  )


def collate(groups, **kwargs):
  options = dict(
      advantage_fn=lambda reward, valid, quality, milestones, mask: reward,
      weight_fn=lambda groups, reward, mask: mask,
      bucket=4,
      pad_id=0,
  )
  return batching.collate(groups, **options | kwargs)


def test_round_up():
  got = [batching.round_up(n, 8) for n in (0, 1, 8, 9)]
  assert got == [8, 8, 8, 16]


def test_padding_and_masks():
  groups = [
      Group(PROBLEM, (attempt(2, 1.0), attempt(5, -1.0))),
      Group(PROBLEM, (attempt(1, 0.5, prompt=5), attempt(3, 0.0, prompt=5))),
  ]
  batch = collate(groups)
  assert batch.prompt.tolist() == [
      [0, 0, 0, 0, 0, 10, 11, 12],
      [0, 0, 0, 10, 11, 12, 13, 14],
  ]
  assert batch.prompt_mask.sum(1).tolist() == [3, 5]
  assert batch.completion.shape == (2, 2, 8)
  assert batch.completion[0, 1].tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
  assert batch.mask.sum(-1).tolist() == [[2, 5], [1, 3]]
  assert batch.behavior_logp[1, 1].tolist() == [-0.5] * 3 + [0.0] * 5
  assert batch.adv.tolist() == [[1.0, -1.0], [0.5, 0.0]]


def test_only_the_policys_own_tokens_are_learnt_from():
  batch = collate([Group(PROBLEM, (attempt(6, 1.0, segments=3),))])
  assert batch.mask[0, 0, :6].tolist() == [1, 1, 0, 0, 1, 1]


def test_an_infra_error_leaves_the_batch_but_keeps_its_row():
  seen = {}

  def advantage_fn(reward, valid, quality, milestones, mask):
    seen.update(reward=reward, valid=valid, quality=quality, mask=mask,
                milestones=milestones)
    return reward

  batch = collate(
      [Group(PROBLEM, (attempt(2, None), attempt(2, 0.5)))],
      advantage_fn=advantage_fn,
  )
  assert seen['mask'].tolist() == [[0, 1]]
  assert seen['valid'].tolist() == [[0, 1]]
  assert seen['quality'].tolist() == [[0.25, 0.25]]
  assert seen['milestones'].tolist() == [[0.5, 0.5]]
  assert batch.weight.tolist() == [[0, 1]]


def test_groups_of_two_sizes_are_refused():
  one, two = (Group(PROBLEM, (attempt(2, 1.0),) * n) for n in (1, 2))
  with pytest.raises(ValueError, match='one size'):
    collate([one, two])


def test_minibatches_cover_every_row_once_per_epoch():
  groups = [Group(PROBLEM, (attempt(n, float(n)),)) for n in (1, 2, 3, 4)]
  cuts = list(
      batching.minibatches(
          collate(groups), num_epochs=2, num_minibatches=2, seed=1
      )
  )
  assert [len(cut.prompt) for cut in cuts] == [2, 2, 2, 2]
  for epoch in (cuts[:2], cuts[2:]):
    adv = np.concatenate([cut.adv[:, 0] for cut in epoch])
    assert sorted(adv) == [1, 2, 3, 4]
    for cut in epoch:  # a row stays together
      assert cut.mask.sum((1, 2)).tolist() == cut.adv[:, 0].tolist()


def test_minibatches_that_do_not_divide_are_refused():
  groups = [Group(PROBLEM, (attempt(1, 1.0),))] * 3
  with pytest.raises(ValueError, match='3 groups'):
    next(
        batching.minibatches(
            collate(groups), num_epochs=1, num_minibatches=2, seed=0
        )
    )
