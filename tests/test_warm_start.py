"""How demonstrations of the three kinds become batches."""

import types

import ml_collections
import numpy as np

from ace_jax import warm_start
from ace_jax.envs.mle import grammar
from ace_jax.learner import imitation
from ace_jax.types import Grade, Parent


def _demo(i, kind):
  parent = None
  if kind != 'draft':
    parent = Parent(f'p{i}', f'p{i}', 0, 'x', '', '', 0, Grade(True))
  return grammar.Demo('t', str(i), kind, parent)


def _example(demo):
  """Drafts share a prompt; a revision's is its own. The answer tells i."""
  i = int(demo.program)
  first = 1000 + i if demo.parent else 1
  return imitation.Example(
      np.array([first, 2], np.int32), np.array([i + 1, 9], np.int32)
  )


def _batches(kinds, cut):
  agent = types.SimpleNamespace(
      config=ml_collections.ConfigDict({
          'seed': 0,
          'sampler': {'bucket': 4},
          'imitation': {
              'num_held_out_demos': cut, 'rows_per_batch': 1, 'per_row': 4,
              'revisions_per_batch': 2,
          },
      }),
      example=_example,
      pad_id=0,
  )
  return warm_start._batches(
      agent, [_demo(i, kind) for i, kind in enumerate(kinds)]
  )


def _answers(batches):
  return sorted(
      int(c) - 1 for b in batches for c in b.completion[..., 0].reshape(-1)
  )


def test_only_drafts_share_a_row():
  kinds = ['draft', 'improve', 'debug'] + ['draft'] * 8 + ['improve'] * 3 + (
      ['debug'])
  train, held_out = _batches(kinds, 3)
  assert [b.completion.shape[:2] for b in train] == [
      (1, 4), (1, 4), (2, 1), (2, 1)
  ]
  # Every demonstration once: none is repeated to fill a row.
  assert _answers(train) == list(range(3, 15))
  for batch in train:
    for prompt, row in zip(batch.prompt, batch.completion, strict=True):
      for answer in row[:, 0] - 1:
        own = 1 if kinds[answer] == 'draft' else 1000 + answer
        assert prompt[-2] == own
  assert {kind: set(_answers(b)) for kind, b in held_out.items()} == {
      'draft': {0}, 'improve': {1}, 'debug': {2}
  }


def test_drafts_alone_are_batched_as_before():
  train, held_out = _batches(['draft'] * 10, 2)
  rows = imitation.rows(
      [_example(_demo(i, 'draft')) for i in range(2, 10)], per_row=4, seed=0
  )
  assert list(held_out) == ['draft'] and len(train) == len(rows)
  for batch, row in zip(train, rows, strict=True):
    assert batch.completion[0, :, 0].tolist() == [
        int(e.completion[0]) for e in row
    ]
