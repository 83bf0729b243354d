"""The table of threats in docs/: complete, and as the tests would write it."""

import pathlib
import types

import pytest

from tests import threat_table

DOCS = pathlib.Path(__file__).parents[1] / 'docs' / 'threats.md'


def rows() -> dict[str, list[str]]:
  table = DOCS.read_text().split(threat_table.BEGIN)[1]
  lines = table.split(threat_table.END)[0].strip().splitlines()[2:]
  cells = [[c.strip() for c in line.strip('|').split('|')] for line in lines]
  return {row[0]: row[1:] for row in cells}


def test_every_threat_is_in_the_docs_with_what_was_seen():
  found = rows()
  assert tuple(found) == threat_table.THREATS
  for threat, cells in found.items():
    assert any(cells), threat
    assert not any('failed' in cell for cell in cells), threat


def test_every_threat_was_tried_on_each_backend():
  """But those that are named, each with a reason that still holds."""
  missing = {
      threat for threat, cells in rows().items()
      if not all('pass' in cell for cell in cells[:-1])
  }
  assert missing == set(threat_table.NOT_ON_EACH)


def fake(outcome, when='call', mark=threat_table.THREATS[0], **params):
  item = types.SimpleNamespace(
      nodeid='test', callspec=types.SimpleNamespace(params=params),
      iter_markers=lambda name: [types.SimpleNamespace(args=[mark])])
  report = types.SimpleNamespace(
      outcome=outcome, when=when, skipped=outcome == 'skipped',
      failed=outcome == 'failed')
  return item, report


def test_a_table_says_what_tests_said(tmp_path):
  table = threat_table.Table()
  for outcome, kind in [('passed', 'L3'), ('passed', 'L3-watched'),
                        ('passed', 'docker'), ('failed', 'docker'),
                        ('skipped', 'L2-watched'), ('skipped', 'any'),
                        ('passed', 'any'), ('skipped', 'any')]:
    table.add(*fake(outcome, sandbox=kind))
  table.add(*fake('passed', when='teardown', sandbox='L3'))
  path = tmp_path / 'x.md'
  path.write_text(f'a\n{threat_table.BEGIN}\nold\n{threat_table.END}\nz\n')
  table.write(path)
  text = path.read_text()
  first = threat_table.THREATS[0]
  assert (f'| {first} | 2 tests pass | not run | **1 failed** '
          '| 1 test pass, 2 not run |') in text
  assert text.startswith('a\n') and text.endswith('\nz\n')
  assert 'old' not in text


def test_a_mark_that_names_no_threat_is_refused():
  item, _ = fake('passed', mark='escape: by magic')
  with pytest.raises(ValueError, match='no threat'):
    threat_table.Table().check([item])
