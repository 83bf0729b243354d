"""Duration weights: hand-computed, and their expectation on two arms.

Two arms, as in the paper's argument: `fast` takes 1 s and `slow` 10 s, the
policy draws each with ½. What the weights must do to the gradient's two parts
is then known exactly for each way in which results are delivered.
"""

import jax
import numpy as np
import pytest

from ace_jax.core import duration

FAST, SLOW = 1.0, 10.0
WIDE = {'clip_low': 0.0, 'clip_high': 1e9}  # as good as unclipped


def _weights(delta, mask=None, **kwargs):
  delta = np.asarray(delta, np.float32)
  mask = np.ones_like(delta) if mask is None else np.asarray(mask)
  return np.asarray(duration.weights(delta, mask, **kwargs))


def _slow_share(delta, weight):
  """The slow arm's share of the batch's weight."""
  return weight[np.asarray(delta) == SLOW].sum() / weight.sum()


def test_effective_duration_does_not_pay_for_sleep():
  wall, cpu = np.array([10.0, 10.0, 2.0]), np.array([0.1, 9.0, 3.0])
  got = duration.effective_duration(wall, cpu, cores=2)
  np.testing.assert_allclose(got, [0.2, 10, 2], rtol=1e-6)


def test_paper_by_hand():
  got = _weights([[1, 2], [3, 6]], rule='paper', **WIDE)
  np.testing.assert_allclose(got, [[1 / 3, 2 / 3], [1, 2]], rtol=1e-6)
  assert got.dtype == np.float32


def test_masked_attempts_enter_nothing_and_weigh_nothing():
  mask = [[1, 0], [1, 1]]
  for rule in ('none', 'paper', 'propensity'):
    got = _weights(
        [[1, np.nan], [3, 2]], mask, rule=rule, **WIDE,
        propensity_QG=np.array([[0.5, np.nan], [0.25, 0.5]]),
    )  # fmt: skip
    want = {
        'none': [[1, 0], [1, 1]],
        'paper': [[0.5, 0], [1.5, 1]],
        'propensity': [[0.75, 0], [1.5, 0.75]],
    }[rule]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_an_empty_batch_weighs_nothing():
  for rule in ('none', 'paper', 'propensity'):
    got = _weights(
        [[1, 2]], [[0, 0]], rule=rule, propensity_QG=np.ones((1, 2))
    )
    np.testing.assert_array_equal(got, [[0, 0]])


def test_by_group_the_slowest_member_counts():
  delta = [[1, 4], [2, 2]]
  got = _weights(delta, rule='paper', unit='group', **WIDE)
  np.testing.assert_allclose(got, [[4 / 3, 4 / 3], [2 / 3, 2 / 3]], rtol=1e-6)
  got = _weights(
      delta, [[1, 0], [1, 1]], rule='paper', unit='group', **WIDE
  )
  np.testing.assert_allclose(got, [[0.6, 0], [1.2, 1.2]], rtol=1e-6)


def test_by_task_the_mean_counts():
  delta = [[1, 4], [2, 2], [3, 99], [6, 6]]
  mask = [[1, 1], [1, 1], [1, 0], [1, 1]]
  got = duration.unit_durations(
      np.float32(delta), np.float32(mask), unit='task',
      task_ids_Q=np.array([7, 3, 7, 3]),
  )  # fmt: skip
  mean_7, mean_3 = (1 + 4 + 3) / 3, (2 + 2 + 6 + 6) / 4
  want = [[mean_7] * 2, [mean_3] * 2, [mean_7, 0], [mean_3] * 2]
  np.testing.assert_allclose(got, want, rtol=1e-6)
  got = _weights(
      delta, mask, rule='paper', unit='task', task_ids_Q=np.array([7, 3, 7, 3]),
      **WIDE,
  )  # fmt: skip
  np.testing.assert_allclose(got, np.array(want) * 7 / 24, rtol=1e-6)


def test_a_task_without_live_attempts():
  got = _weights(
      [[1, 1], [3, 5]], [[0, 0], [1, 1]], rule='paper', unit='task',
      task_ids_Q=np.array([0, 1]),
  )  # fmt: skip
  np.testing.assert_array_equal(got, [[0, 0], [1, 1]])


def test_a_task_of_one_attempt_has_its_time():
  got = duration.unit_durations(
      np.float32([[3, 9], [5, 5]]), np.array([[1, 0], [1, 1]]), unit='task',
      task_ids_Q=np.array([0, 1]),
  )  # fmt: skip
  np.testing.assert_array_equal(got, [[3, 0], [5, 5]])


def test_the_unit_of_time_does_not_matter():
  seconds = _weights([[1, 2], [3, 6]], rule='paper', **WIDE)
  days = _weights(np.array([[1, 2], [3, 6]]) / 86400, rule='paper', **WIDE)
  np.testing.assert_allclose(days, seconds, rtol=1e-6)


@pytest.mark.parametrize('jit', [True, False])
@pytest.mark.parametrize('unit', ['action', 'group', 'task'])
@pytest.mark.parametrize('rule', ['none', 'paper', 'propensity'])
def test_equal_durations_weigh_exactly_one(rule, unit, jit):
  mask = np.ones((3, 7), np.float32)
  mask[1, 2:] = 0

  def weigh(delta, p):
    return duration.weights(
        delta, mask, rule=rule, unit=unit, propensity_QG=p,
        task_ids_Q=np.array([0, 1, 0]),
    )  # fmt: skip

  weigh = jax.jit(weigh) if jit else weigh
  for value in (0.0, 0.1, 3.3e-5, 7.77, 1e5):
    delta = np.full((3, 7), value, np.float32)
    got = weigh(delta, np.full((3, 7), 0.3, np.float32))
    np.testing.assert_array_equal(got, mask)


def test_clips():
  delta = [[1.0] * 19 + [81.0]]  # the mean is 5
  got = _weights(delta, rule='paper')
  np.testing.assert_array_equal(got, [[0.25] * 19 + [4]])
  got = _weights(delta, rule='paper', clip_low=0.5, clip_high=2.0)
  np.testing.assert_array_equal(got, [[0.5] * 19 + [2]])
  for low, high in ((1.1, 4.0), (0.25, 0.9), (-0.1, 4.0)):
    with pytest.raises(ValueError, match=f'{low}, {high}'):
      _weights(delta, rule='none', clip_low=low, clip_high=high)
  equal = _weights([[2, 2]], rule='paper', clip_low=1.0, clip_high=1.0)
  np.testing.assert_array_equal(equal, [[1, 1]])


def test_propensity_is_inverted_floored_and_normalised():
  p = np.array([[1.0, 0.5, 0.001]])
  got = _weights(
      [[1, 2, 3]], rule='propensity', propensity_QG=p, floor=0.1, **WIDE
  )
  np.testing.assert_allclose(got, [[3 / 13, 6 / 13, 30 / 13]], rtol=1e-6)
  # Default floor: 1/20.
  got = _weights([[1, 2, 3]], rule='propensity', propensity_QG=p, **WIDE)
  np.testing.assert_allclose(got, [[3 / 23, 6 / 23, 60 / 23]], rtol=1e-6)


def test_propensity_by_group_is_that_of_the_slowest():
  got = _weights(
      [[1, 2], [1, 1]], rule='propensity', unit='group', **WIDE,
      propensity_QG=np.array([[1, 0.5], [1, 1]]),
  )  # fmt: skip
  np.testing.assert_allclose(got, [[4 / 3, 4 / 3], [2 / 3, 2 / 3]], rtol=1e-6)


def test_propensity_is_the_share_of_launches_that_left_time():
  launch = np.array([0.0, 1.0, 2.0, 3.0])
  cutoff = np.array([5.0, 5.0, 5.0, np.inf])
  delta = np.array([[2.0, 3.0, 3.5, 4.5, 5.0, 5.5]])
  got = duration.propensity(delta, launch, cutoff)
  np.testing.assert_allclose(got, [[1, 1, 0.75, 0.5, 0.5, 0.25]])
  got = duration.propensity(delta, launch, cutoff, np.array([1, 1, 1, 0]))
  np.testing.assert_allclose(
      got, [[1, 1, 2 / 3, 1 / 3, 1 / 3, 0]], rtol=1e-6
  )
  one = duration.propensity(delta, launch, cutoff, np.array([0, 0, 1, 0]))
  np.testing.assert_array_equal(one, [[1, 1, 0, 0, 0, 0]])
  none = duration.propensity(delta, launch, cutoff, np.zeros(4))
  np.testing.assert_array_equal(none, np.ones((1, 6)))


def test_propensity_under_paced_collection_is_exactly_one():
  launch = np.linspace(0, 1, 7)
  p = duration.propensity(np.array([[1.0, 1e9]]), launch, np.full(7, np.inf))
  np.testing.assert_array_equal(p, [[1, 1]])


def test_cutoffs_follow_the_updates():
  update = np.array([10.0, 20.0, 30.0])
  launch = np.array([0.0, 9.0, 10.0, 15.0, 25.0, 40.0])
  cutoff, known = duration.cutoffs(launch, update, max_staleness=1)
  np.testing.assert_array_equal(known, [1, 1, 1, 1, 0, 0])
  np.testing.assert_array_equal(cutoff[:4], [20, 20, 30, 30])
  cutoff, known = duration.cutoffs(launch, update, max_staleness=0)
  np.testing.assert_array_equal(known, [1, 1, 1, 1, 1, 0])
  np.testing.assert_array_equal(cutoff[:5], [10, 10, 20, 20, 30])


# --- The two arms ---------------------------------------------------------


def test_bound_slots_deliver_by_speed_and_paper_weights_restore_the_policy():
  # Delivered ∝ π/Δt: ten fast for one slow.
  delta = [[FAST] * 10 + [SLOW]]
  unweighted = _weights(delta, rule='none')
  np.testing.assert_allclose(_slow_share(delta, unweighted), 1 / 11, rtol=1e-6)
  for unit in ('action', 'task'):
    # A slot is bound to a task, so each task's attempts are of one arm here.
    per_task = np.array(delta).T
    weight = _weights(
        per_task, rule='paper', unit=unit, **WIDE,
        task_ids_Q=np.arange(11) // 10,
    )  # fmt: skip
    np.testing.assert_allclose(_slow_share(per_task, weight), 0.5, rtol=1e-6)


def test_uniform_delivery_needs_no_weight_and_paper_weights_pay_for_slowness():
  # By renewal, deliveries are distributed as π whatever they take.
  delta = [[FAST, SLOW]]
  assert _slow_share(delta, _weights(delta, rule='none')) == 0.5
  paper = _weights(delta, rule='paper', **WIDE)
  np.testing.assert_allclose(paper, [[2 / 11, 20 / 11]], rtol=1e-6)
  np.testing.assert_allclose(_slow_share(delta, paper), 10 / 11, rtol=1e-6)
  paced = duration.propensity(
      np.array(delta), np.zeros(5), np.full(5, np.inf)
  )
  even = _weights(delta, rule='propensity', propensity_QG=paced)
  np.testing.assert_array_equal(even, [[1, 1]])
  # Nor is anything weighed within a group.
  np.testing.assert_array_equal(
      _weights(delta, rule='paper', unit='group'), [[1, 1]]
  )


def test_dropped_results_are_restored_by_propensity():
  # Launched at 0 … 19 s, dropped after 20 s: the slow ones launched after 10 s
  # are lost. Of twenty launches of each arm, all fast and eleven slow arrive.
  launch, cutoff = np.arange(20.0), np.full(20, 20.0)
  p = duration.propensity(np.array([[FAST, SLOW]]), launch, cutoff)
  np.testing.assert_allclose(p, [[1, 11 / 20]], rtol=1e-6)
  delta = np.array([[FAST] * 20 + [SLOW] * 11])
  weight = _weights(
      delta, rule='propensity',
      propensity_QG=duration.propensity(delta, launch, cutoff),
  )  # fmt: skip
  np.testing.assert_allclose(_slow_share(delta, weight), 0.5, rtol=1e-6)
  np.testing.assert_allclose(weight.mean(), 1, rtol=1e-6)
  # The paper's weight overshoots: 11 · 10 s against 20 · 1 s.
  paper = _weights(delta, rule='paper', **WIDE)
  np.testing.assert_allclose(_slow_share(delta, paper), 110 / 130, rtol=1e-6)


def test_what_is_never_delivered_cannot_be_restored():
  p = duration.propensity(np.array([[SLOW]]), np.zeros(3), np.full(3, 5.0))
  assert p[0, 0] == 0
  delta = [[FAST] * 4]
  weight = _weights(delta, rule='propensity', propensity_QG=np.ones((1, 4)))
  assert _slow_share(delta, weight) == 0


@pytest.mark.parametrize('unit', ['action', 'group'])
def test_a_padded_program_is_paid_by_action_but_not_within_its_group(unit):
  # The same program asleep for nine more seconds: wall 10, CPU 1.
  padded = [[FAST, SLOW]]
  weight = _weights(padded, rule='paper', unit=unit)
  assert (weight[0, 1] > weight[0, 0]) == (unit == 'action')
  awake = duration.effective_duration(
      np.array(padded), np.array([[1.0, 1.0]]), cores=1
  )
  np.testing.assert_array_equal(
      _weights(awake, rule='paper', unit=unit), [[1, 1]]
  )


def test_bad_choices():
  delta = np.ones((2, 3))
  with pytest.raises(ValueError, match="not 'best'"):
    _weights(delta, rule='best')
  with pytest.raises(ValueError, match="not 'all'"):
    _weights(delta, rule='paper', unit='all')
  with pytest.raises(ValueError, match='task_ids_Q'):
    _weights(delta, rule='paper', unit='task')
  with pytest.raises(ValueError, match='propensity_QG'):
    _weights(delta, rule='propensity')
  with pytest.raises(ValueError, match='mask_QG'):
    _weights(delta, np.ones((2, 4)), rule='none')
  with pytest.raises(ValueError, match='Q is 2 in delta_QG but 3 in task_ids'):
    _weights(delta, rule='paper', unit='task', task_ids_Q=np.arange(3))
  with pytest.raises(ValueError, match='cutoff_N'):
    duration.propensity(delta, np.ones(3), np.ones(4))
