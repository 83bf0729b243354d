"""Rewards: hand-computed values, and no failure above a success."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ace_jax.envs import rewards
from ace_jax.types import Attempt, Grade, Parent, Problem, Status

INVALID = Grade(valid=False, error='no submission')


def _reward(kind, grade, m=0, *, status=Status.OK, lower=False, **improve):
  return rewards.reward(
      kind, status=status, grade=grade, num_milestones=m, lower_is_better=lower,
      **improve,
  )


@pytest.mark.parametrize('kind, m, expected', [
    ('rl4mle', 0, -10.0), ('rl4mle', 3, -9.7), ('rl4mle', 6, -9.4),
    ('human_rank', 0, -1.0), ('human_rank', 3, -0.7), ('human_rank', 6, -0.4),
])
def test_partial_credit_of_failures(kind, m, expected):
  for grade in (INVALID, None):
    assert _reward(kind, grade, m) == pytest.approx(expected, abs=1e-12)
  # A program that cannot run at all is a failure like any other.
  assert _reward(kind, None, m, status=None) == pytest.approx(expected)


def test_valid_scores():
  grade = Grade(valid=True, score=0.83, human_rank=0.6)
  assert _reward('rl4mle', grade, 2) == 0.83  # milestones no longer count
  assert _reward('rl4mle', grade, 2, lower=True) == -0.83
  assert _reward('human_rank', grade, 2) == 0.6
  assert _reward('human_rank', grade, 2, lower=True) == 0.6


def test_floor_under_a_valid_score():
  grade = Grade(valid=True, score=5000.0)
  assert _reward('rl4mle', grade, lower=True) == -9.0
  assert _reward('rl4mle', grade, lower=False) == 5000.0
  assert _reward('rl4mle', Grade(valid=True, score=0.0), lower=True) == 0.0


@pytest.mark.parametrize('kind', ['rl4mle', 'human_rank'])
def test_our_own_failure_gives_no_reward(kind):
  for grade in (INVALID, None, Grade(valid=True, score=1.0, human_rank=1.0)):
    assert _reward(kind, grade, 6, status=Status.INFRA_ERROR) is None


@pytest.mark.parametrize('kind', ['rl4mle', 'human_rank'])
def test_no_failure_beats_a_success(kind):
  statuses = [s for s in Status if s is not Status.INFRA_ERROR]
  failures = [
      _reward(kind, INVALID, m, status=s, lower=lower)
      for m, s, lower in itertools.product(range(7), statuses, (False, True))
  ]
  successes = [
      _reward(kind, Grade(valid=True, score=score, human_rank=rank), m,
              status=s, lower=lower)
      for score, rank in [(0.0, 0.0), (1e9, 0.1), (-1e9, 1.0), (8.99, 0.0)]
      for m, s, lower in itertools.product((0, 6), statuses, (False, True))
  ]
  assert max(failures) < min(successes)
  in_order = [_reward(kind, INVALID, m) for m in range(7)]
  assert in_order == sorted(set(in_order))


@pytest.mark.parametrize('kind, grade, m', [
    ('score', INVALID, 0),
    ('rl4mle', INVALID, 7),
    ('rl4mle', INVALID, -1),
    ('rl4mle', Grade(valid=True, score=None), 0),
    ('rl4mle', Grade(valid=True, score=float('nan')), 0),
    ('human_rank', Grade(valid=True, score=1.0, human_rank=1.5), 0),
])
def test_what_is_not_an_attempt_is_refused(kind, grade, m):
  with pytest.raises(ValueError):
    _reward(kind, grade, m)


# --- Improve -----------------------------------------------------------------

RANK = st.floats(0, 1)
KIND = st.sampled_from(['rl4mle', 'human_rank'])


def _valid(rank):
  return Grade(valid=True, score=7.0, human_rank=rank)


@pytest.mark.parametrize('rank, parent, expected', [
    (0.6, 0.2, 0.5), (1.0, 0.2, 1.0), (0.2, 0.2, 0.0), (0.1, 0.2, -0.125),
    (0.0, 0.5, -1.0), (0.0, 0.9, -1.0), (0.25, 0.5, -0.5),
    # Near the top what is left counts as .05.
    (1.0, 1.0, 0.0), (1.0, 0.98, 0.4), (0.97, 1.0, -0.6), (0.5, 0.0, 0.5),
])
@pytest.mark.parametrize('kind', ['rl4mle', 'human_rank'])
def test_gain(kind, rank, parent, expected):
  paid = _reward(kind, _valid(rank), 2, parent_quality=parent)
  assert paid == pytest.approx(expected, abs=1e-12)
  assert _reward(kind, _valid(rank), parent_quality=parent, is_copy=True) == -.1


@pytest.mark.parametrize('kind, worst', [('rl4mle', -10), ('human_rank', -2)])
def test_a_failed_improve(kind, worst):
  for m in range(7):
    paid = _reward(kind, INVALID, m, parent_quality=0.4, is_copy=False)
    assert paid == pytest.approx(worst + 0.1 * m)
  assert _reward(
      kind, _valid(1.0), status=Status.INFRA_ERROR, parent_quality=0.4) is None


def test_a_copy_is_nothing_where_nobody_is_paid_a_gain():
  assert _reward('human_rank', _valid(0.3), is_copy=True) == 0.3


@given(KIND, RANK, RANK, RANK, st.booleans(), st.integers(0, 6))
def test_laws_of_the_gain(kind, rank, other, parent, is_copy, m):
  def paid(r, **copy):
    return _reward(kind, _valid(r), parent_quality=parent, **copy)

  assert -1 <= paid(rank) <= 1
  assert (paid(rank) > 0) <= (rank > parent)
  if rank <= other:
    assert paid(rank) <= paid(other)
  # No failure beats a success, and none is worth less than in a draft's scale.
  failed = _reward(kind, INVALID, m, parent_quality=parent)
  assert failed < paid(rank, is_copy=is_copy)
  assert failed <= _reward(kind, INVALID, m)


def _attempt(kind, grade, reward):
  parent = None
  if kind != 'draft':
    parent = Parent('k', 'k', 0, 'x', '', '', 6, _valid(0.2))
  return Attempt('a', Problem('t', kind, parent), None, None, 'y', None, 3,
                 grade, reward)


def test_quality_is_what_an_attempt_is_judged_by():
  for improve in rewards.IMPROVE:
    for kind in ('draft', 'debug'):
      attempt = _attempt(kind, _valid(0.3), -5.0)
      assert rewards.quality(attempt, improve) == 0.3
    for kind in ('draft', 'improve'):
      assert rewards.quality(_attempt(kind, INVALID, -1.7), improve) == 0
      assert rewards.quality(_attempt(kind, _valid(1.0), None), improve) == 0
  improved = _attempt('improve', _valid(0.6), 0.5)
  assert rewards.quality(improved, 'gain') == 0.5
  assert rewards.quality(improved, 'level') == 0.6


def test_unknown_choices_are_refused():
  rewards.check('rl4mle', 'level')
  with pytest.raises(ValueError, match="reward 'score': rl4mle or human_rank"):
    rewards.check('score', 'gain')
  with pytest.raises(ValueError, match="improve_reward 'up': gain or level"):
    rewards.check('human_rank', 'up')
