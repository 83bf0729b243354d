"""What the evaluation protocol prints, writes and draws."""

import io
import json

import pytest
import rich.console

from ace_jax.evaluate import measures
from ace_jax.report import evaluation, html

ARMS = ('trained/drafts', 'frozen/<aide>')


def value(mean, se=None):
  return {'mean': mean, 'se': se, 'se_tasks': se}


def result(num_points=3):
  names = measures.MEASURES
  return {
      'created_at': 'then',
      'settings': {'attempts': 4, 'wall_s': 0.0, 'seeds': [0, 1],
                   'tasks': ['wine', 'iris']},
      'arms': {
          arm: {
              'policy_version': 3,
              'pooled': dict.fromkeys(names, value(0.25 + i, 0.125)),
              'tasks': {t: dict.fromkeys(names, value(0.5 + i))
                        for t in ('wine', 'iris')},
              'curves': {by: [{'x': x, 'mean': 0.1 * i, 'se': 0.01}
                              for x in range(1, num_points + 1)]
                         for by in ('attempts', 'seconds')},
              'mle_bench': {},
          } for i, arm in enumerate(ARMS)},
      'differences': [{'from': ARMS[1], 'to': ARMS[0],
                       'measures': dict.fromkeys(names, value(-1.0, 0.5))}],
  }


@pytest.mark.parametrize('terminal', [False, True])
def test_print(terminal):
  out = io.StringIO()
  evaluation.show(result(), console=rich.console.Console(
      file=out, force_terminal=terminal, width=60, color_system=None))
  said = out.getvalue()
  lines = [' '.join(line.split()) for line in said.splitlines()]
  assert lines[0] == 'Tasks: 2, seeds: 2, attempts of each: 4'
  assert 'trained/drafts frozen/<aide>' in lines
  assert 'HumanRank, selected 0.250±0.125 1.250±0.125' in lines
  assert 'HumanRank, selected -1.000±0.500' in lines
  assert lines.count('wine 0.500 1.500') == len(evaluation.PER_TASK)


def test_every_measure_shown_is_one():
  assert set(evaluation.SHOWN) <= set(measures.POOLED)


def test_json_and_report(tmp_path):
  evaluation.write(tmp_path, result())
  assert json.loads((tmp_path / 'evaluation.json').read_text()) == result()
  page = html.write_report(tmp_path).read_text()
  assert '<h3>Evaluation</h3>' in page
  assert page.count('Best so far by') >= 2
  assert 'frozen/&lt;aide&gt;' in page and 'frozen/<aide>' not in page
  (tmp_path / 'evaluation.json').write_text('{')
  page = html.write_report(tmp_path).read_text()
  assert 'evaluation.json: cannot be read' in page


def test_without_an_evaluation_nothing_is_missing(tmp_path):
  assert 'evaluation.json' not in html.write_report(tmp_path).read_text()


def test_a_maximum_is_drawn_as_it_is():
  """A chart of many points would show their running mean."""
  figures = evaluation.figures(result(num_points=128))
  assert [f.labels for f in figures] == [ARMS, ARMS]
  for figure in figures:
    assert 'class="raw' not in figure.svg
    assert figure.svg.count('class="line s') == 2
    assert ' 128: ' in figure.svg  # the last point is there
