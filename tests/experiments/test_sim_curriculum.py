"""The simulated learner by hand, and a small run of the whole."""

import json
import math
import sys

import numpy as np
import pytest

from experiments import sim_curriculum as sim


def test_a_version_moves_skills_by_hand(monkeypatch):
  monkeypatch.setattr(sim, 'NUM_PROBLEMS', 3)
  learner = sim.Learner(
      np.zeros(3), np.array([0, 1.0, 0]), np.array([False, False, True]))
  np.testing.assert_allclose(
      learner.rate(), [0.5, 1 / (1 + math.e), sim.NOISE_RATE])
  assert learner.mean() == pytest.approx((0.5 + 1 / (1 + math.e)) / 2)
  # Half solved, all solved, and half of what cannot be learnt.
  after = sim.learn(learner, np.array([0, 1, 2]), np.array([4, 8, 4]))
  own = sim.RATE / 4
  np.testing.assert_allclose(after.skill, [own, *[sim.TRANSFER * own] * 2])


def test_the_expected_gain_is_the_mean_of_gains():
  learner = sim.start('noise', np.random.default_rng(0))
  expected = sim.expected_gain(learner)
  i = int(np.argmax(expected))
  rng = np.random.default_rng(1)
  p, seen = learner.rate(), []
  for solved in rng.binomial(sim.GROUP_SIZE, p[i], 4000):
    after = sim.learn(learner, np.array([i]), np.array([solved]))
    change = after.rate() - p
    seen.append(change.sum())
  # First order in the skills: RATE is small.
  assert np.mean(seen) == pytest.approx(expected[i], rel=0.05)
  assert (expected[learner.is_noise] == 0).all()


def test_ratio_by_hand():
  middle, low, high = sim.ratio([200, 400], [100, 100])
  assert middle == pytest.approx(math.sqrt(8))
  half = 12.7062 * math.log(2) / 2  # t(.975, 1) · standard error
  assert [low, high] == pytest.approx(
      [middle * math.exp(-half), middle * math.exp(half)], rel=1e-4)


def test_the_whole_in_small(monkeypatch, capsys, tmp_path):
  monkeypatch.setattr(sim, 'NUM_PROBLEMS', 20)
  monkeypatch.setattr(sim, 'TARGETS', (0.55, 0.6))
  monkeypatch.setattr(
      sys, 'argv', ['sim', '--quick', f'--out={tmp_path}'])
  sim.main()
  result = json.loads(capsys.readouterr().out.splitlines()[-1])
  rows = {(r['method'], r['target']): r for r in result['rows']}
  assert rows.keys() == {(m, t) for m in sim.METHODS for t in (0.55, 0.6)}
  assert rows['uniform', 0.6]['ratio'] == 1
  assert rows['oracle', 0.6]['ratio'] > 1
  assert rows['oracle', 0.55]['groups'] < rows['oracle', 0.6]['groups']
  assert '<svg' in (tmp_path / 'curriculum_standard.svg').read_text()
