"""The figures of the comparison, from an attempts file made by hand."""

import json
import sqlite3

import pytest

from experiments import curriculum

ROWS = [  # phase, task, kind, valid, human_rank, program_hash, reward
    *(('after', 'a', 'draft', 1, r, h, r) for r, h in ((0.2, 'x'), (0.6, 'y'))),
    ('after', 'a', 'draft', 0, 0.0, 'x', -1.0),
    ('after', 'a', 'draft', 0, 0.0, None, -1.0),
    ('after', 'a', 'draft', 0, 0.0, 'z', None),  # our own failure
    ('after', 'b', 'draft', 0, 0.0, 'x', -1.0),
    ('train', 'c', 'draft', 1, 0.9, 'x', 0.9),
    ('train', 'c', 'improve', 1, 0.9, 'x', -0.1),
]


@pytest.fixture
def workdir(tmp_path):
  config = {'env': {'held_out_tasks': ['a', 'b']}}
  (tmp_path / 'config.json').write_text(json.dumps(config))
  with sqlite3.connect(tmp_path / 'attempts.sqlite') as db:
    db.execute('CREATE TABLE attempts (phase, task, kind, valid, human_rank,'
               ' program_hash, reward)')
    db.executemany('INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)', ROWS)
  return tmp_path


def test_measures_of_a_task(workdir):
  found = curriculum.measures(workdir, 'after')
  assert found['a'] == pytest.approx({
      'n': 4, 'human_rank': 0.2, 'valid_rate': 0.5, 'distinct': 2,
      'score@1': 0.2, 'first_valid': 5 / 3})
  assert found['b']['first_valid'] == 2
  assert curriculum.kinds(workdir) == {'draft': 1, 'improve': 1}


def test_an_arm_starts_where_the_first_one_did(workdir, tmp_path):
  (workdir / 'demonstrations.jsonl').write_text('{}\n')
  (workdir / 'checkpoints' / 'imitation').mkdir(parents=True)
  target = tmp_path / 'other' / 'run'
  target.parent.mkdir()
  curriculum.share_warm_start(workdir, target)
  assert (target / 'checkpoints' / 'imitation').is_dir()
  assert not (target / 'config.json').exists()
  with sqlite3.connect(target / 'attempts.sqlite') as db:
    assert db.execute('SELECT count(*) FROM attempts').fetchone() == (0,)


def test_means_and_paired_differences():
  def record(arm, seed, rank):
    side = {'t': {'human_rank': rank, 'valid_rate': 1.0}}
    return {'arm': arm, 'seed': seed, 'tasks': {
        'before': {'t': {'human_rank': 0.1, 'valid_rate': 0.5}},
        'after': side}}

  records = [record(arm, seed, rank) for arm, ranks in (
      ('drafts', (0.2, 0.4)), ('curriculum', (0.3, 0.7)))
      for seed, rank in enumerate(ranks)]
  lines = curriculum.markdown(records).splitlines()
  assert lines[0] == '| arm | human_rank | valid_rate |'
  assert lines[3].startswith('| drafts | 0.300 ± 0.100 |')
  assert lines[5].startswith('| difference | 0.200 ± 0.100 |')
