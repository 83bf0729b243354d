"""Learnability against numbers made by hand and a plain loop."""

import math
import statistics

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ace_jax.core import learnability


@hypothesis.given(st.lists(st.floats(0, 1), min_size=2, max_size=16))
def test_moments_are_those_of_a_plain_loop(rewards):
  count, total, freedom, squares = learnability.moments(
      np.array(rewards), 0.7)
  assert (count, freedom) == (len(rewards), len(rewards) - 1)
  assert total == pytest.approx(math.fsum(rewards))
  assert squares / freedom == pytest.approx(
      statistics.variance(rewards), abs=1e-12)


@hypothesis.given(st.floats(0, 1), st.integers(2, 64))
def test_equal_rewards_have_exactly_no_spread(reward, size):
  assert learnability.moments(np.full(size, reward), 0.0)[3] == 0.0


def test_a_single_reward_is_measured_by_its_surprise():
  assert learnability.moments(np.array([0.75]), 0.25) == (1, 0.75, 1, 0.25)


def test_shrinking():
  np.testing.assert_allclose(
      learnability.shrunk(np.array([0.0, 6.0]), np.array([0.0, 12.0]), 0.25),
      [0.25, (6 + 1) / 16])


def test_progress_rewards_change_and_the_unknown():
  assert learnability.progress(0.3, 0.3, 0) == pytest.approx(0.4)
  assert learnability.progress(0.5, 0.2, 3) == pytest.approx(0.3 + 0.2)
  assert learnability.progress(0.2, 0.5, 1e12) == pytest.approx(0.3, abs=1e-6)


def test_noise_is_taken_off_the_variance():
  assert learnability.spread(0.25, 0.16) == pytest.approx(0.3)
  assert learnability.spread(0.1, 0.2) == 0.0


def test_potentials():
  assert learnability.learnability(
      spread=0.3, mean=0.5, progress=0.2, cost=4.0) == pytest.approx(0.015)
  assert learnability.spread_headroom(spread=0.3, mean=0.5) == 0.15
  assert learnability.pass_variance(mean=0.25) == 0.1875
  np.testing.assert_allclose(
      learnability.parent_fitness(
          quality=np.array([0.0, 0.5, 1.0]), variance=np.array([0.2, 0.2, 0.1]),
          visits=np.array([0.0, 4.0, 2.0]),
          ranges=((0, 1), (0.1, 0.2), (-4, 0))),
      [0 + 1 + 1, 0.5 + 1 + 0, 1 + 0 + 0.5])
  assert learnability.parent_fitness(
      quality=np.ones(1), variance=np.ones(1), visits=np.ones(1),
      ranges=((1, 1), (1, 1), (-1, -1))) == [0]


def test_temperature_sharpens():
  np.testing.assert_allclose(
      learnability.sharpened(np.array([4.0, 0.25, 0.0]), 0.5), [16, 0.0625, 0])
  np.testing.assert_allclose(
      learnability.sharpened(np.array([4.0]), 2.0), [2.0])
