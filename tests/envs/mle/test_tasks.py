"""The built-in tasks on disk: layout, determinism, split, errors."""

import collections
import csv
import hashlib
import json
import os
import pathlib
import random
import stat

import pytest

from ace_jax.envs.mle import (
  canary,
  catalog,
  duplicates,
  layout,
  prepare,
  sources,
  tasks,
)
from ace_jax.envs.mle.catalog.spec import rdata
from ace_jax.envs.mle.tasks import TaskError

SPECS = pytest.mark.parametrize('spec', catalog.TASKS, ids=lambda s: s.name)
FILES = {
    'task.json', 'leaderboard.csv', 'manifest.json',
    'prepared/public/train.csv', 'prepared/public/test.csv',
    'prepared/public/sample_submission.csv',
    'prepared/public/description.md', 'prepared/private/test.csv',
}


def table(path):
  with open(path, newline='', encoding='utf-8') as f:
    return list(csv.reader(f))


def column(rows, name):
  at = rows[0].index(name)
  return [r[at] for r in rows[1:]]


def tree(path: pathlib.Path) -> dict[str, str]:
  return {p.relative_to(path).as_posix():
          hashlib.sha256(p.read_bytes()).hexdigest()
          for p in path.rglob('*') if p.is_file()}


# --- The collection -------------------------------------------------------


def test_enough_tasks_on_both_sides():
  assert len(tasks.task_names('held_out')) == 24
  assert len({s.name for s in catalog.TASKS}) == len(catalog.TASKS) >= 100


def test_no_data_set_is_on_both_sides():
  sides = collections.defaultdict(set)
  for spec in catalog.TASKS:
    sides[spec.source.package, spec.source.member].add(spec.split)
  assert len(sides) >= 95
  assert all(len(side) == 1 for side in sides.values())


def test_no_row_is_on_both_sides(mle_root):
  # What near-duplicates of a data set under another name would break. Eight
  # cells: five small whole numbers agree by chance.
  seen = collections.defaultdict(set)
  for spec in catalog.TASKS:
    public = mle_root / spec.name / 'prepared' / 'public'
    for row in table(public / 'train.csv')[1:] + table(
        public / 'test.csv')[1:]:
      cells = [float(c) for c in row[1:] if layout.is_number(c)]
      if len(cells) >= 5 and len(set(cells)) >= 4:
        seen[tuple(cells[:8])].add(spec.split)
  assert all(len(sides) == 1 for sides in seen.values())


def test_kinds_and_metrics_are_covered():
  assert {s.kind for s in catalog.TASKS} == {
      'binary', 'multiclass', 'regression'}
  assert {s.metric for s in catalog.TASKS} >= {
      'accuracy', 'auc', 'log_loss', 'multi_log_loss', 'rmse', 'mae',
      'quadratic_kappa', 'macro_f1'}
  held_out = {s.metric for s in catalog.HELD_OUT}
  assert held_out & catalog.LOWER_IS_BETTER
  assert held_out - catalog.LOWER_IS_BETTER


def test_no_column_bears_its_sources_name(archives):
  """Nor any of the source's; the first tasks' names stay as they were."""
  first = {s.name for s in catalog.FAMILIES['first tasks']}
  for spec in catalog.TASKS:
    if spec.name in first:
      continue
    theirs = {c.lower().replace('.', '_')
              for c in sources.read(spec.source, archives)[0]}
    ours = set(spec.columns.values())
    assert len(ours) == len(spec.columns)
    assert not ours & theirs, spec.name
    file = pathlib.PurePath(spec.source.member).stem.lower()
    assert spec.name != file


# --- Near-duplicates --------------------------------------------------------


@pytest.fixture(scope='module')
def prints(archives):
  return {duplicates.label(source): duplicates.fingerprint(
      sources.read(source, archives)[1]) for source in duplicates.sides()}


def test_no_data_set_is_like_one_on_the_other_side(prints):
  side = {duplicates.label(source): split
          for source, split in duplicates.sides().items()}
  assert [(a, b, what) for a, b, what in duplicates.alike(prints)
          if side[a] != side[b]] == []


@pytest.mark.parametrize('table, twin, what', [
    ('car/Mroz', 'Ecdat/Mroz', 'values'),  # the same under another name
    ('COUNT/rwm5yr', 'COUNT/rwm1984', 'windows'),  # holds it
    ('MASS/Pima.te', 'pima', 'windows'),  # a part, shuffled, fewer columns
])
def test_a_near_duplicate_would_be_found(
    archives, prints, table, twin, what):
  added = duplicates.fingerprint(
      sources.read(rdata(table), archives)[1])
  (near,) = [(b, c) for b, c in prints.items() if f'/{twin}.' in b]
  assert [p[2] for p in duplicates.alike({'new': added, near[0]: near[1]})
          ] == [what]


def test_few_levels_in_order_would_be_found():
  rng = random.Random(0)
  rows = [[str(rng.randrange(5)) for _ in range(6)] for _ in range(400)]
  other = [[str(rng.randrange(5)) for _ in range(6)] for _ in range(400)]
  part = [[row[4], 'x', row[1]] for row in rows[100:300]]
  prints = {name: duplicates.fingerprint(r)
            for name, r in (('a', rows), ('b', other), ('c', part))}
  assert duplicates.alike(prints) == [('a', 'c', 'runs')]


# --- One task -------------------------------------------------------------


@SPECS
def test_layout(mle_root, spec):
  path = mle_root / spec.name
  assert set(tree(path)) == FILES
  train = table(path / 'prepared/public/train.csv')
  test = table(path / 'prepared/public/test.csv')
  answers = table(path / 'prepared/private/test.csv')
  sample = table(path / 'prepared/public/sample_submission.csv')
  assert train[0][0] == 'id' and train[0][-1] == spec.target
  assert test[0] == train[0][:-1]
  assert answers[0] == ['id', spec.target, 'rows']
  ids = column(test, 'id')
  assert column(answers, 'id') == ids == column(sample, 'id')
  everyone = [int(i) for i in ids + column(train, 'id')]
  assert sorted(everyone) == list(range(len(everyone)))
  assert 300 <= len(everyone) <= 4000
  assert 0.38 < len(ids) / len(everyone) < 0.52
  parts = collections.Counter(column(answers, 'rows'))
  assert set(parts) == {'reward', 'select', 'report'}
  assert min(parts.values()) > 0.25 * len(ids)
  assert '' not in column(train, spec.target) + column(answers, spec.target)


@pytest.mark.threat(
    'leakage: private answers through mounts, names, order, times')
@SPECS
def test_ids_and_parts_say_nothing_of_the_target(mle_root, spec):
  """|correlation| below 4 standard errors of none."""
  path = mle_root / spec.name / 'prepared'
  train, answers = (table(path / 'public/train.csv'),
                    table(path / 'private/test.csv'))
  rank = {v: i for i, v in enumerate(layout.sorted_classes(
      column(train, spec.target) + column(answers, spec.target)))}
  for rows, key in ((train, lambda r: float(r[0])),
                    (answers, lambda r: float(r[2] == 'reward'))):
    at = rows[0].index(spec.target)
    pairs = [(key(r), rank[r[at]]) for r in rows[1:]]
    assert abs(correlation(pairs)) < 4 / len(pairs) ** 0.5


def correlation(pairs) -> float:
  n = len(pairs)
  mx, my = (sum(p[i] for p in pairs) / n for i in (0, 1))
  cov = sum((x - mx) * (y - my) for x, y in pairs)
  vx = sum((x - mx) ** 2 for x, _ in pairs)
  vy = sum((y - my) ** 2 for _, y in pairs)
  return cov / (vx * vy) ** 0.5


@SPECS
def test_test_rows_are_not_in_train(mle_root, spec):
  # With its label, a test row would be an answer in plain sight.
  path = mle_root / spec.name / 'prepared'
  known = {tuple(r[1:]) for r in table(path / 'public/train.csv')[1:]}
  rows = table(path / 'public/test.csv')[1:]
  right = canary.lift(
      column(table(path / 'private/test.csv'), spec.target),
      layout.canaries(spec.name, [r[0] for r in rows]),
      json.loads((path.parent / 'task.json').read_text())['classes'])
  hits = [r for r, y in zip(rows, right, strict=True)
          if (*r[1:], y) in known]
  assert not hits


@SPECS
def test_description_names_what_a_program_needs(mle_root, spec):
  task = tasks.load_task(spec.name, mle_root)
  assert task.split == spec.split
  sample = table(task.public_dir / 'sample_submission.csv')
  for words in (spec.about, layout.TITLES[spec.metric], ','.join(sample[0]),
                'lower' if task.lower_is_better else 'higher'):
    assert words in task.description
  assert len(task.description) < 1200
  assert len(task.leaderboard['all']) == len(task.leaderboard['report'])


# --- Preparing ------------------------------------------------------------


@pytest.fixture(scope='module')
def small(tmp_path_factory):
  """Tasks of small packages, prepared a second time by the real road."""
  root = tmp_path_factory.mktemp('mle')
  lines = []
  prepare.prepare(['ozone', 'weather', 'digits'], root, say=lines.append)
  return root, lines


def test_prepared_twice_gives_the_same_bytes(small, mle_root):
  root, lines = small
  for name in ('ozone', 'weather', 'digits'):
    assert tree(root / name) == tree(mle_root / name)
  assert lines[-1] == '[3/3] digits'
  assert sorted(p.name for p in root.iterdir()) == [
      'digits', 'ozone', 'weather']  # no temporary directory is left


def test_manifest_holds_every_hash(small):
  path = small[0] / 'ozone'
  manifest = json.loads((path / 'manifest.json').read_text())
  hashes = tree(path)
  del hashes['manifest.json']
  assert manifest == hashes


def test_prepare_mends_what_is_broken_and_leaves_the_rest(small):
  root, _ = small
  (root / 'weather' / 'prepared/public/test.csv').write_text('spoilt')
  before = (root / 'ozone').stat().st_mtime_ns
  lines = []
  prepare.prepare(['ozone', 'weather'], root, say=lines.append)
  assert lines[0] == f'1 of 2 tasks are prepared in {root}'
  assert '[1/1] weather' in lines
  assert (root / 'ozone').stat().st_mtime_ns == before
  assert len(table(root / 'weather/prepared/public/test.csv')) > 100


def test_prepare_refuses_other_bytes(tmp_path, monkeypatch):
  monkeypatch.setattr(layout, 'TEST_SHARE', 0.5)
  with pytest.raises(TaskError, match='train.csv.* differs from'):
    prepare.prepare(['digits'], tmp_path / 'mle', say=lambda line: None)
  assert list((tmp_path / 'mle').iterdir()) == []


def test_prepare_names_the_nearest_task(tmp_path):
  with pytest.raises(TaskError, match="'digit', did you mean 'digits'"):
    prepare.prepare(['digit'], tmp_path / 'mle')
  assert not (tmp_path / 'mle').exists()


def test_fetch_obeys_the_hash(tmp_path, monkeypatch):
  version, _ = sources.PACKAGES['vega-datasets']
  monkeypatch.setitem(
      sources.PACKAGES, 'vega-datasets', (version, 'a' * 64))
  with pytest.raises(TaskError, match='pip download of vega-datasets fail'):
    sources.fetch(['vega-datasets'], tmp_path)


def test_an_unwritable_root_is_one_line(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(TaskError, match='cannot create'):
    prepare.prepare(['digits'], tmp_path / 'file' / 'mle')


# --- Loading --------------------------------------------------------------


def test_default_root_follows_the_environment(monkeypatch, tmp_path):
  monkeypatch.setenv('ACE_JAX_CACHE', str(tmp_path))
  assert tasks.default_root() == tmp_path / 'mle'
  monkeypatch.delenv('ACE_JAX_CACHE')
  assert tasks.default_root() == pathlib.Path.home() / '.cache/ace_jax/mle'


def test_load_by_name_and_by_directory(mle_root):
  by_name = tasks.load_task('ozone', mle_root)
  assert tasks.load_task(mle_root / 'ozone') == by_name
  assert by_name.leaderboard['all'][0] < by_name.leaderboard['all'][-1]


def test_loading_errors_are_one_clear_line(mle_root, own_task, tmp_path):
  def message(name, root=None):
    with pytest.raises(TaskError) as e:
      tasks.load_task(name, root)
    assert '\n' not in str(e.value)
    return str(e.value)

  assert "did you mean 'quakes'" in message('quake', mle_root)
  assert 'is not prepared' in message('quakes', tmp_path)
  assert 'envs.mle prepare' in message('quakes', tmp_path)
  assert 'no task directory' in message(tmp_path / 'nothing')
  assert 'no task.json' in message(tmp_path)
  path = own_task('ozone')
  (path / 'leaderboard.csv').unlink()
  assert 'no leaderboard.csv' in message(path)
  (path / 'task.json').write_text('{"name": ')
  assert 'task.json is not readable' in message(path)
  (path / 'prepared/public/test.csv').unlink()
  assert 'no prepared/public/test.csv' in message(path)
  (path / 'prepared/private/test.csv').unlink()
  assert 'no answers' in message(path)


def test_prepared_tasks_can_be_read_by_others(small):
  mode = os.stat(small[0] / 'ozone').st_mode
  assert mode & stat.S_IROTH  # the sandbox's user is not ours


def test_unknown_split():
  with pytest.raises(ValueError, match='test'):
    tasks.task_names('test')
