"""Medals, ranks, and what every shipped leaderboard must satisfy."""

import csv
import statistics

import pytest

from ace_jax.envs.mle import catalog, leaderboard

SPECS = pytest.mark.parametrize('spec', catalog.TASKS, ids=lambda s: s.name)
# MLE-bench's table, positions worked out by hand for each range of N.
POSITIONS = [
    (1, 1, 1, 1), (9, 1, 1, 3), (10, 1, 2, 4), (40, 4, 8, 16),
    (41, 4, 8, 16), (99, 9, 19, 39), (100, 10, 20, 40), (105, 10, 21, 42),
    (249, 10, 49, 99), (250, 10, 50, 100), (500, 11, 50, 100),
    (999, 11, 50, 100), (1000, 12, 50, 100), (1499, 12, 74, 149),
    (2500, 15, 125, 250),
]


@pytest.mark.parametrize('n, gold, silver, bronze', POSITIONS)
def test_medal_positions(n, gold, silver, bronze):
  assert leaderboard.medal_positions(n) == {
      'gold': gold, 'silver': silver, 'bronze': bronze}


def test_no_medals_without_teams():
  with pytest.raises(ValueError, match='0 rows'):
    leaderboard.medal_positions(0)


@pytest.mark.parametrize('lower', [False, True])
def test_medals_are_inclusive(lower):
  sign = -1 if lower else 1
  scores = [sign * s for s in range(40, 0, -1)]  # best first, N = 40
  medals = {s: leaderboard.medal(sign * s, scores, lower)
            for s in (41, 40, 37, 36.5, 33, 32.9, 25, 24.9, 0)}
  assert medals == {41: 'gold', 40: 'gold', 37: 'gold', 36.5: 'silver',
                    33: 'silver', 32.9: 'bronze', 25: 'bronze', 24.9: None,
                    0: None}


@pytest.mark.parametrize('lower', [False, True])
def test_above_median_is_strict(lower):
  sign = -1 if lower else 1
  scores = [sign * s for s in (5, 4, 3, 2)]  # median 3.5
  assert leaderboard.above_median(sign * 3.6, scores, lower)
  assert not leaderboard.above_median(sign * 3.5, scores, lower)


@pytest.mark.parametrize('lower', [False, True])
def test_human_rank_is_the_first_rank_tied_or_beaten(lower):
  sign = -1 if lower else 1
  scores = [sign * s for s in (9, 7, 7, 4)]
  ranks = {s: leaderboard.human_rank(sign * s, scores, lower)
           for s in (10, 9, 8, 7, 5, 4, 3)}
  # (N − position + 1)/N with N = 4 and positions 1 1 2 2 4 4 and none.
  assert ranks == {10: 1.0, 9: 1.0, 8: 0.75, 7: 0.75, 5: 0.25, 4: 0.25,
                   3: 0.0}


def test_written_best_first_and_read_back(tmp_path):
  scores = {name: dict.fromkeys(leaderboard.ROWS, value)
            for name, value in (('b', 2.0), ('a', 2.0), ('c', 1.0))}
  scores['c']['select'] = 5.0
  for lower, names in ((True, 'cab'), (False, 'abc')):
    leaderboard.write(tmp_path / 'x.csv', scores, lower)
    lines = (tmp_path / 'x.csv').read_text().splitlines()
    assert lines[0] == 'solution,all,reward,select,report'
    assert ''.join(line[0] for line in lines[1:]) == names
    read = leaderboard.read(tmp_path / 'x.csv', lower)
    assert read['select'] == ((2.0, 2.0, 5.0) if lower else (5.0, 2.0, 2.0))


def shipped(spec) -> dict[str, float]:
  """Scores on all rows with a sign that makes higher better."""
  sign = -1 if spec.metric in catalog.LOWER_IS_BETTER else 1
  with open(leaderboard.SHIPPED / f'{spec.name}.csv', newline='') as f:
    return {r['solution']: sign * float(r['all']) for r in csv.DictReader(f)}


@SPECS
def test_at_least_30_solutions(spec):
  assert len(shipped(spec)) >= 30


@SPECS
def test_at_most_5_at_or_below_the_dummy(spec):
  scores = shipped(spec)
  assert sum(s <= scores['dummy'] for s in scores.values()) <= 5


@SPECS
def test_the_best_is_well_above_a_constant_and_the_linear_model(spec):
  """On small tables a linear model may do well; it is not all there is."""
  scores = shipped(spec)
  perfect = 0 if spec.metric in catalog.LOWER_IS_BETTER else 1
  best, dummy = max(scores.values()), scores['dummy']
  assert best - dummy > 0.08 * (perfect - dummy)
  assert best > max(scores['linear'], scores.get('linear_scaled', best - 1))


@pytest.mark.parametrize(
    'spec', catalog.FAMILIES['first tasks'], ids=lambda s: s.name)
def test_the_median_beats_the_untuned_linear_model(spec):
  scores = shipped(spec)
  assert statistics.median(scores.values()) > scores['linear']
  # Nor does scaling the columns, which is hardly tuning, get past it.
  scaled = scores.get('linear_scaled', scores['linear'])
  assert statistics.median(scores.values()) >= scaled


def test_every_leaderboard_belongs_to_a_task():
  assert {p.stem for p in leaderboard.SHIPPED.glob('*.csv')} == {
      s.name for s in catalog.TASKS}
