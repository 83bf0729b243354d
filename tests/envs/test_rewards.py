"""Rewards: hand-computed values, and no failure above a success."""

import itertools

import pytest

from ace_jax.envs import rewards
from ace_jax.types import Grade, Status

INVALID = Grade(valid=False, error='no submission')


def _reward(kind, grade, m=0, *, status=Status.OK, lower=False):
  return rewards.reward(
      kind, status=status, grade=grade, num_milestones=m, lower_is_better=lower
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
