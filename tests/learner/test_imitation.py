"""Rows of demonstrations, and early stopping."""

from collections import Counter

import numpy as np

from ace_jax.learner import imitation

EXAMPLES = [
    imitation.Example(
        np.arange(prompt, dtype=np.int32), np.full(n + 1, n, np.int32)
    )
    for prompt, count in ((3, 5), (4, 2))
    for n in range(10 * prompt, 10 * prompt + count)
]


def test_rows_share_a_prompt_and_hold_every_example():
  rows = imitation.rows(EXAMPLES, per_row=4, seed=0)
  assert [len(row) for row in rows] == [4, 4, 4]
  for row in rows:
    assert len({example.prompt.tobytes() for example in row}) == 1
  seen = Counter(int(e.completion[0]) for row in rows for e in row)
  assert set(seen) == {int(e.completion[0]) for e in EXAMPLES}
  # The five of prompt 3 fill two rows of four, so three come twice.
  assert sorted(seen[n] for n in range(30, 35)) == [1, 1, 2, 2, 2]


def test_rows_depend_on_the_seed_alone():
  def order(seed):
    rows = imitation.rows(EXAMPLES, per_row=2, seed=seed)
    return [[int(e.completion[0]) for e in row] for row in rows]

  assert order(1) == order(1)
  assert len({str(order(seed)) for seed in range(5)}) > 1


def test_batch_trains_on_completions_only():
  rows = [EXAMPLES[:2], EXAMPLES[5:]]
  batch = imitation.to_batch(rows, bucket=8, pad_id=7)
  assert batch.prompt.shape == (2, 8)
  assert batch.prompt_mask.sum(1).tolist() == [3, 4]
  assert batch.completion.shape == (2, 2, 48)
  assert batch.mask.sum(-1).tolist() == [[31, 32], [41, 42]]
  assert (batch.completion[0, 0, 31:] == 7).all()


def test_stopper_counts_evaluations_without_a_new_best():
  stopper, counts = imitation.Stopper(), []
  for loss in (3.0, 2.0, 2.0, 2.5, 1.9, 2.0):
    stopper = stopper.update(loss)
    counts.append(stopper.since_best)
  assert counts == [0, 0, 1, 2, 0, 1]
  assert stopper.best == 1.9
