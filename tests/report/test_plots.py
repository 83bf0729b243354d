"""Charts are well-formed, bounded in size, and say what they show."""

import math
from xml.etree import ElementTree

import pytest

from ace_jax.report import charts, plots


def parse(svg):
  """Not well-formed is an error."""
  return ElementTree.fromstring(str(svg))


def texts(svg, kind=''):
  return [e.text for e in parse(svg).iter('text')
          if kind in e.get('class', '').split() or not kind]


@pytest.mark.parametrize('low, high, want', [
    (0, 1, [0, 0.5, 1]),
    (0.1, 0.3, [0.1, 0.15, 0.2, 0.25, 0.3]),
    (-3, 14, [-5, 0, 5, 10, 15]),
    (0, 0, [0, 0.5, 1]),
    (160, 180, [160, 165, 170, 175, 180]),
])
def test_ticks_are_round_and_enclose(low, high, want):
  assert plots.ticks(low, high) == want


@pytest.mark.parametrize('value', [5e-324, 1e-9, -7.0, 1e-5, 1e12])
def test_ticks_around_a_single_value(value):
  if value > 1e-300:  # below it, there is no smaller step
    ticks = plots.ticks(value, value)
    assert ticks[0] <= value <= ticks[-1] and 2 <= len(ticks) <= 8


def test_numbers():
  assert [plots.number(x) for x in (None, 0.12345, -0.0, 12345.6, 1e-5)] == [
      '–', '0.123', '0', '12,346', '1e-5']
  assert plots.number(0.5, percent=True) == '50 %'


def test_a_running_mean_has_no_lag():
  line = [float(i) for i in range(100)]
  assert plots.smooth(line)[5:-5] == pytest.approx(line[5:-5])
  noisy = [(-1.0)**i for i in range(100)]
  assert max(map(abs, plots.smooth(noisy))) < 0.2


def test_points_lie_where_their_values_are():
  svg = plots.line_chart(
      [plots.Series('a', [(0, 0.0), (5, 1.0), (10, 0.0)])],
      title='t', y_label='y')
  path, = (e.get('d') for e in parse(svg).iter('path'))
  middle = (plots.LEFT + plots.WIDTH - plots.RIGHT) / 2
  bottom = plots.HEIGHT - plots.BOTTOM
  assert path == (
      f'M{plots.LEFT:.1f} {bottom:.1f}L{middle:.1f} {plots.TOP:.1f}'
      f'L{plots.WIDTH - plots.RIGHT:.1f} {bottom:.1f}')
  assert texts(svg, 'value') == ['step 0: 0', 'step 5: 1', 'step 10: 0']
  assert parse(svg).get('aria-label') == (
      't by step. a: first 0, last 0, lowest 0, highest 1.')
  assert {'step', 'y'} <= set(texts(svg, 'axis'))


def test_a_single_point_is_a_dot():
  svg = plots.line_chart([plots.Series('a', [(3, 2.0)])], title='t',
                         y_label='y')
  assert any('dot' in e.get('class') for e in parse(svg).iter('circle'))
  with pytest.raises(ValueError, match='t: no points'):
    plots.line_chart([plots.Series('a', [])], title='t', y_label='y')


def test_a_long_run_makes_no_long_chart():
  points = [(i, math.sin(i / 1000)) for i in range(10_000)]
  svg = plots.line_chart(
      [plots.Series('a', points, [0.1] * len(points))], title='t',
      y_label='y')
  assert len(svg) < 100_000
  assert texts(svg, 'value')[0].startswith('step 20')  # a mean of 21 steps
  assert len(texts(svg, 'value')) <= plots.MAX_HOVERS


@pytest.mark.threat('escape: malicious artefacts opened by the host')
def test_hostile_names_stay_text():
  name = '</svg><script>"\'&'
  svg = plots.dumbbells(
      [(name, (0.25, 0.1), (None, None)), ('b', (0, None), (1, 0.2))],
      title=name)
  assert '<script' not in svg
  assert name in {e.text.split(':')[0] for e in parse(svg).iter('title')}
  circles = [(e.get('class'), e.get('cx')) for e in parse(svg).iter('circle')]
  assert circles == [('before', '195'), ('before', '132'), ('after', '384')]
  assert f'{name}: before 0.25, after –' in parse(svg).get('aria-label')


def test_outcomes_are_counted_and_neighbouring_steps_share_a_column():
  rows = [{'step': step, 'status': status, 'valid': valid}
          for step in range(10) for status, valid in (
              ('ok', 1), ('ok', 0), ('error', 0), ('oom', 0), (None, 0),
              ('infra_error', 0))]
  assert charts.draw_outcomes([]) is None
  figure = charts.draw_outcomes(rows, max_columns=5)
  assert texts(figure.svg, 'value') == [
      f'{step}: valid 2, ran, not valid 2, error 2, limit hit 2, no program 2'
      for step in range(0, 10, 2)]
  heights = [float(e.get('height')) for e in parse(figure.svg).iter('rect')]
  assert heights == pytest.approx([heights[0]] * 25)


def test_every_metric_is_drawn_once():
  rows = [{'phase': 'train', 'step': i, 'time_s': 0.0, 'reward/mean': i,
           'reward/std': 1.0, 'loss/kl': 0.0, 'buffer/size': 3.0}
          for i in range(3)]
  groups = charts.draw(rows)
  assert {name: [f.title for f in figures]
          for name, figures in groups.items()} == {
              'Learning': ['Reward'], 'Other metrics': ['buffer/size']}
  assert 'band' in groups['Learning'][0].svg
  assert charts.draw([]) == {}
