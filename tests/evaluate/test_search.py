"""Which Problem a search asks next, on histories made by hand."""

import ml_collections
import numpy as np
import pytest

from ace_jax.evaluate import search
from ace_jax.types import Status
from tests.evaluate.records import attempt, child, task

TASK = task()


class Rng:
  """Draws what the test wants, and nothing else."""

  def __init__(self, coin, pick=None):
    self._coin, self._pick = coin, pick

  def random(self):
    return self._coin

  def integers(self, n):
    self.n = n
    return self._pick


def aide(attempts, rng, num_drafts=2):
  return search.aide(
      TASK, attempts, rng, 0.5, num_drafts=num_drafts, debug_prob=0.5,
      max_debug_depth=2)


def asked(problem):
  return problem.kind, problem.parent and problem.parent.key


def test_best_follows_the_direction_and_takes_the_first_of_equals():
  found = [attempt(str(i), s).grade for i, s in enumerate([None, .3, .1, .3])]
  assert search.best(found, lower_is_better=False) == 1
  assert search.best(found, lower_is_better=True) == 2
  assert search.best(found[:1], lower_is_better=True) is None
  assert search.best([], lower_is_better=True) is None


def test_a_score_of_zero_is_a_score():
  found = [attempt('a', 0.5).grade, attempt('b', 0.0).grade]
  assert search.best(found, lower_is_better=True) == 1


def test_drafts():
  history = [attempt('a', 0.5)]
  assert asked(search.drafts(TASK, history, None, 0.9)) == ('draft', None)


def test_scratch_then_improve():
  history = [attempt('a', 0.5), attempt('b', 0.7), attempt('c')]

  def ask(spent, history=history):
    return asked(search.scratch_improve(TASK, history, None, spent))

  assert ask(0.49) == ('draft', None)
  assert ask(0.5) == ask(0.9) == ('improve', 'b')
  assert ask(0.9, history[2:]) == ('draft', None)  # nothing to improve yet
  # What it improves may itself be an improvement; a worse one is not taken.
  better = child(history[1], 'd', 0.8)
  worse = child(better, 'e', 0.75)
  assert ask(0.9, [*history, better, worse]) == ('improve', 'd')


def test_the_report_rows_decide_nothing():
  history = [attempt('a', 0.5, 0.9), attempt('b', 0.6, 0.1)]
  problem = search.scratch_improve(TASK, history, None, 0.9)
  assert problem.parent.key == 'b'
  assert problem.parent.grade.rows == 'select'


def test_aide_drafts_first():
  rng = Rng(None)  # is not asked
  assert asked(aide([], rng)) == ('draft', None)
  assert asked(aide([attempt('a', 0.5)], rng)) == ('draft', None)


def test_aide_debugs_a_failed_leaf_or_improves_the_best():
  history = [attempt('a'), attempt('b', 0.5), attempt('c')]
  rng = Rng(0.49, pick=1)
  assert asked(aide(history, rng)) == ('debug', 'c')
  assert rng.n == 2  # a and c
  assert asked(aide(history, Rng(0.5))) == ('improve', 'b')
  # No failed leaf: the best is improved, whatever the coin says.
  assert asked(aide([attempt('a', 0.4), history[1]], Rng(0))) == (
      'improve', 'b')
  # Nothing valid, and the coin is against debugging: another draft.
  assert asked(aide([history[0], history[2]], Rng(0.5))) == ('draft', None)


def test_aide_debugs_leaves_only():
  first, second = attempt('a'), attempt('b')
  history = [first, second, child(first, 'c', 0.5)]
  rng = Rng(0, pick=0)
  assert asked(aide(history, rng)) == ('debug', 'b')
  assert rng.n == 1


def test_aide_gives_a_chain_of_failures_up():
  chain = [attempt('a')]
  for key in 'bcd':
    chain.append(child(chain[-1], key))
  other = attempt('e', 0.5)
  # c stands at depth 2, d at 3, above the limit.
  assert asked(aide([*chain[:3], other], Rng(0, 0))) == ('debug', 'c')
  assert asked(aide([*chain, other], Rng(0, 0))) == ('improve', 'e')
  # A failed improvement begins at depth 0.
  failed = child(other, 'f')
  assert asked(aide([*chain, other, failed], Rng(0, 0))) == ('debug', 'f')


@pytest.mark.parametrize(
    'more', [{'program': None}, {'status': Status.TIMEOUT}])
def test_aide_does_not_debug_what_nobody_can(more):
  history = [attempt('a', **more), attempt('b', 0.5)]
  assert asked(aide(history, Rng(0, 0))) == ('improve', 'b')


def test_the_coin_is_fair():
  history = [attempt('a'), attempt('b', 0.5)]
  kinds = [
      aide(history, np.random.default_rng(seed)).kind for seed in range(400)
  ]
  # 200 ± 10; five standard deviations.
  assert 150 < kinds.count('debug') < 250
  assert kinds.count('debug') + kinds.count('improve') == 400


def test_leading_drafts_are_what_the_searches_would_have_asked():
  made = search.make(ml_collections.ConfigDict(dict(
      aide_drafts=5, aide_debug_prob=0.5, aide_max_debug_depth=3)))
  lead = {name: [s.lead_fn(n) for n in (1, 4, 5, 32)]
          for name, s in made.items()}
  assert lead == {'drafts': [1, 4, 5, 32], 'scratch_improve': [1, 2, 3, 16],
                  'aide': [1, 4, 5, 5]}
  rng = np.random.default_rng(0)
  for s in made.values():
    history = []
    for i in range(s.lead_fn(9)):
      problem = s.next_fn(TASK, history, rng, i / 9)
      assert asked(problem) == ('draft', None)
      history.append(attempt(str(i), 0.5))
