"""A whole run, by the command a user gives: trained, killed, resumed, used.

One run goes through undisturbed. Another is killed with SIGKILL in its warm
start and again between two updates, and must end with the same bits.
"""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from ace_jax.envs.mle import tasks
from ace_jax.learner import checkpoint
from ace_jax.report import metrics

ROOT = pathlib.Path(__file__).parent.parent
SMOKE = '--config=configs/smoke.py'
# The first checkpoint of the warm start is written at step 20.
FAST = ('--config.imitation.checkpoint_every=20',)


def command(workdir, *args, config=SMOKE):
  return [
      sys.executable, '-m', 'ace_jax.main', config, f'--workdir={workdir}',
      *args,
  ]


def run(workdir, *args, config=SMOKE, timeout=300):
  return subprocess.run(
      command(workdir, *args, config=config), cwd=ROOT, capture_output=True,
      text=True, timeout=timeout, check=False,
  )


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """The workdir of an undisturbed run, and what it printed."""
  workdir = tmp_path_factory.mktemp('smoke') / 'run'
  done = run(workdir, *FAST)
  assert done.returncode == 0, done.stderr[-3000:]
  return workdir, done.stdout


def arrays(workdir, step, phase='rl'):
  """Every leaf of a checkpoint's parameters, read without knowing the model."""
  import orbax.checkpoint as ocp

  path = workdir / 'checkpoints' / phase / str(step) / 'params'
  with ocp.StandardCheckpointer() as checkpointer:
    tree = checkpointer.restore(path.absolute())
  import jax

  return {
      jax.tree_util.keystr(path): np.asarray(leaf)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def test_parameters_change_and_groups_differ(finished):
  workdir, _ = finished
  first, last = (arrays(workdir, step) for step in (2, 3))
  assert any(not np.array_equal(first[k], last[k]) for k in first)
  rows = [r for r in metrics.read(workdir) if r['phase'] == 'train']
  assert [r['step'] for r in rows] == [0, 1, 2]
  assert sum(r['group/nonzero_advantage_rate'] for r in rows) > 0
  assert all(r['policy/grad_norm'] > 0 for r in rows
             if r['group/nonzero_advantage_rate'] > 0)
  # Sampler and learner are one policy.
  assert max(r['policy/logp_gap_max'] for r in rows) < 1e-3


def test_the_warm_start_learns(finished):
  workdir, _ = finished
  rows = [r for r in metrics.read(workdir) if r['phase'] == 'imitation']
  held_out = [
      r['imitation/held_out_loss'] for r in rows
      if 'imitation/held_out_loss' in r
  ]
  assert held_out[-1] < rows[0]['imitation/loss'] / 4


def test_every_attempt_is_kept(finished):
  workdir, _ = finished
  db = sqlite3.connect(workdir / 'attempts.sqlite')
  counts = dict(
      db.execute('SELECT phase, count(*) FROM attempts GROUP BY phase')
  )
  assert counts == {'train': 3 * 2 * 8, 'before': 4 + 8, 'after': 4 + 8}
  (valid,) = db.execute(
      "SELECT count(*) FROM attempts WHERE valid AND phase = 'train'"
  ).fetchone()
  assert valid > 0


def test_what_is_left_for_the_user(finished):
  workdir, printed = finished
  for name in ('report.html', 'results.json', 'config.json', 'versions.json'):
    assert (workdir / name).stat().st_size > 0, name
  assert 'L' in printed and 'report.html' in printed
  assert list((workdir / 'tensorboard').rglob('*tfevents*'))


def children(pid):
  """The numbers of the processes that a process started."""
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    try:
      _, _, rest = path.read_text().rpartition(')')
    except OSError:  # gone meanwhile
      continue
    if rest.split()[1] == str(pid):
      found.append(int(path.parent.name))
  return found


def kill_when(workdir, condition, *args, how=subprocess.Popen.kill):
  """Starts the run and kills it once `condition` holds.

  Returns its exit code, what it wrote to standard error at the end, and the
  processes that it had started.
  """
  process = subprocess.Popen(
      command(workdir, *args), cwd=ROOT, stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE, text=True,
  )
  try:
    deadline = time.monotonic() + 240
    while not condition():
      assert process.poll() is None, 'ended before it could be killed'
      assert time.monotonic() < deadline
      time.sleep(0.02)
    started = children(process.pid)
    how(process)
  except BaseException:
    process.kill()
    raise
  finally:
    _, said = process.communicate(timeout=60)
  return process.returncode, said, started


def num_rows(workdir, phase):
  return sum(row['phase'] == phase for row in metrics.read(workdir))


def test_killed_twice_it_ends_with_the_same_bits(finished, tmp_path):
  workdir = tmp_path / 'killed'
  kill_when(workdir, lambda: num_rows(workdir, 'imitation') >= 25, *FAST)
  assert checkpoint.steps(workdir / 'checkpoints' / 'imitation') == [20]
  kill_when(workdir, lambda: num_rows(workdir, 'train') >= 2, *FAST)
  assert checkpoint.steps(workdir / 'checkpoints' / 'rl')
  done = run(workdir, *FAST)
  assert done.returncode == 0, done.stderr[-3000:]
  whole, ours = arrays(finished[0], 3), arrays(workdir, 3)
  assert whole.keys() == ours.keys()
  for name, leaf in whole.items():
    assert np.array_equal(leaf, ours[name]), name
  keys = 'SELECT phase, key, program, reward FROM attempts ORDER BY phase, key'
  rows = [
      sqlite3.connect(d / 'attempts.sqlite').execute(keys).fetchall()
      for d in (finished[0], workdir)
  ]
  assert rows[0] == rows[1]


STOPPED = 'ace_jax: stopped; the same command goes on'


def terminate_twice(process):
  """The second time while it is being unwound, which cannot end."""
  started = children(process.pid)
  for pid in started:
    os.kill(pid, signal.SIGSTOP)  # those that it would wait for
  try:
    process.terminate()
    while process.stderr.readline().rstrip() != STOPPED:
      assert process.poll() is None
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()
    process.wait(3)  # it would wait longer for the spawner alone
  finally:
    process.kill()
    for pid in started:
      os.kill(pid, signal.SIGCONT)


@pytest.mark.threat('host: SIGTERM once and twice')
@pytest.mark.parametrize('how', [subprocess.Popen.terminate, terminate_twice])
def test_sigterm_leaves_nothing_running(tmp_path, how):
  workdir = tmp_path / 'run'
  code, said, started = kill_when(
      workdir, lambda: num_rows(workdir, 'imitation') >= 5, *FAST, how=how,
  )
  assert code == 143
  if how is not terminate_twice:
    assert said.splitlines()[-1] == STOPPED
  assert started  # the spawner and the grader
  deadline = time.monotonic() + 10
  while any(pathlib.Path(f'/proc/{pid}').exists() for pid in started):
    assert time.monotonic() < deadline
    time.sleep(0.05)


# Holds a lock of C's and asks for it again, which no signal interrupts.
STUCK = """
import ctypes, time
from ace_jax import main
main._listen_for_sigterm()
lock = ctypes.create_string_buffer(64)
acquire = ctypes.CDLL(None).pthread_mutex_lock
acquire(lock)
try:
  print('runs', flush=True)
  time.sleep(100)
finally:
  print('is unwound', flush=True)
  acquire(lock)
"""


@pytest.mark.threat('host: SIGTERM once and twice')
def test_a_second_sigterm_ends_what_hears_no_signal():
  process = subprocess.Popen(
      [sys.executable, '-c', STUCK], cwd=ROOT, stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL, text=True,
  )
  with process:
    try:
      assert process.stdout.readline() == 'runs\n'
      process.terminate()
      assert process.stdout.readline() == 'is unwound\n'
      with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
      process.terminate()
      assert process.wait(5) == 143
    finally:
      process.kill()


@pytest.fixture
def small_disk(tmp_path):
  """A file system of 2 MB, and `grow`, which makes it large enough."""
  path = tmp_path / 'disk'
  path.mkdir()

  def mount(options):
    return subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', path],
        capture_output=True, check=False,
    ).returncode == 0

  if not mount('size=2m'):
    pytest.skip('needs root: mounts a small disk')
  yield path, lambda: mount('remount,size=1g')
  subprocess.run(['umount', '-l', path], check=True)


@pytest.mark.threat('host: disk full')
def test_a_full_disk_is_told_and_resumed_from(finished, small_disk):
  path, grow = small_disk
  done = run(path / 'run', *FAST)
  # Libraries' threads may have had their say before.
  line = done.stderr.splitlines()[-1]
  assert done.returncode == 2 and line.startswith('ace_jax: error: '), line
  assert 'space' in line or 'full' in line, line
  assert grow()
  done = run(path / 'run', *FAST)
  assert done.returncode == 0, done.stderr[-3000:]
  assert np.array_equal(
      *(arrays(d, 3)["['embed']"] for d in (finished[0], path / 'run'))
  )


def test_a_corrupted_checkpoint_falls_back(finished, tmp_path):
  workdir = tmp_path / 'copy'
  shutil.copytree(finished[0], workdir)
  (workdir / 'checkpoints' / 'rl' / '3' / 'meta.json').write_text('')
  done = run(workdir, *FAST)
  assert done.returncode == 0, done.stderr[-3000:]
  assert 'corrupted' in done.stdout
  assert np.array_equal(
      *(arrays(d, 3)["['embed']"] for d in (finished[0], workdir))
  )


EVALUATE = (
    '--mode=evaluate', "--config.eval.tasks=('pendigits',)",
    "--config.eval.arms=('trained/scratch_improve','frozen/aide')",
    '--config.eval.attempts=4', '--config.eval.aide_drafts=2',
    '--config.eval.seeds=(0,1)', '--config.eval.temperature=0.3',
    '--config.eval.max_prompt_tokens=512',
)


def evaluated(workdir):
  """(phase, key) of the protocol's attempts → what came of each, and when."""
  db = sqlite3.connect(workdir / 'attempts.sqlite')
  return {
      row[:2]: row[2:] for row in db.execute(
          'SELECT phase, key, program, score, audits, recorded_s FROM attempts'
          " WHERE phase LIKE 'evaluate@%'")
  }


def test_an_evaluation_is_killed_and_goes_on(finished, tmp_path):
  workdir = tmp_path / 'copy'
  shutil.copytree(finished[0], workdir)
  code, _, _ = kill_when(workdir, lambda: evaluated(workdir), *EVALUATE)
  assert code == -signal.SIGKILL
  before = evaluated(workdir)
  assert 0 < len(before) < 16
  done = run(workdir, *EVALUATE)
  assert done.returncode == 0, done.stderr[-3000:]
  after = evaluated(workdir)
  assert len(after) == 2 * 2 * 4
  assert {key: after[key] for key in before} == before
  assert {phase.rsplit('/', 1)[0] for phase, _ in after} == {
      'evaluate@3/trained/scratch_improve', 'evaluate@0/frozen/aide'}

  found = json.loads((workdir / 'evaluation.json').read_text())
  for arm in found['arms'].values():
    assert arm['pooled']['attempts']['mean'] == 4
    for seed in '01':
      (report,) = arm['mle_bench'][seed]['competition_reports']
      submission = pathlib.Path(report['submission_path'])
      assert report['submission_exists'] == submission.is_file()
      assert report['valid_submission'] == (report['score'] is not None)
  scores = {
      grade['rows']: grade['score']
      for *_, audits, _ in after.values() for grade in json.loads(audits)
  }
  # So good a policy that something was handed in, and graded on other rows.
  assert set(scores) == {'report', 'all'}
  assert 'HumanRank, selected' in done.stdout
  assert 'Best so far by attempts' in (workdir / 'report.html').read_text()


def test_an_evaluation_says_what_it_lacks(finished, tmp_path):
  workdir = tmp_path / 'copy'
  shutil.copytree(finished[0], workdir)
  line = refused(run(workdir, '--mode=evaluate', '--config.eval.seeds=()'))
  assert 'eval.seeds=()' in line
  shutil.rmtree(workdir / 'checkpoints' / 'rl')
  line = refused(run(workdir, *EVALUATE))
  assert 'holds no trained policy yet: no checkpoint of rl' in line


def test_export_loads_in_transformers(finished, tmp_path):
  torch = pytest.importorskip('torch', reason='needs torch to load the export')
  import transformers

  out = tmp_path / 'hf'
  done = run(finished[0], '--mode=export', f'--out={out}')
  assert done.returncode == 0, done.stderr[-3000:]
  model = transformers.AutoModelForCausalLM.from_pretrained(out)
  embed = model.get_input_embeddings().weight.detach()
  assert torch.equal(
      embed, torch.tensor(arrays(finished[0], 3)["['embed']"])
  )
  transformers.AutoTokenizer.from_pretrained(out)


def test_solve_writes_a_submission(finished, tmp_path):
  name = 'pendigits'
  done = run(
      finished[0], '--mode=solve', f'--task={name}', f'--out={tmp_path}',
      '--num_samples=16',
  )
  if done.returncode:  # so small a policy may fail; then it must say so
    assert 'none of 16 programs' in done.stderr
    return
  result = json.loads(done.stdout.splitlines()[-1])
  assert result['valid'] >= 1
  assert (tmp_path / 'submission.csv').read_text().startswith('id,')


# --- Bad input: one line, not zero, nothing half-written ---------------------


def refused(done):
  assert done.returncode not in (0, -9), done.stdout
  (line,) = [x for x in done.stderr.splitlines() if x.startswith('ace_jax')]
  assert 'Traceback' not in done.stderr
  return line


def test_unknown_key_names_the_nearest(tmp_path):
  line = refused(run(tmp_path / 'w', '--config.learner.lrr=1'))
  assert 'unknown key \'lrr\'; Did you mean "lr"' in line
  assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize(
    'flag, said',
    [
        ('--config.model.source=/nowhere/model', '/nowhere/model'),
        ("--config.env.train_tasks=('wyne',)", 'wyne'),
        ('--config.loss.advantage=best', 'best'),
        ('--config.learner.num_epochs=2', 'proximal'),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(
    tmp_path, flag, said
):
  line = refused(run(tmp_path / 'w', flag))
  assert said in line
  assert not (tmp_path / 'w').exists()


def test_task_without_answers(tmp_path):
  name = tasks.task_names('train')[0]
  root = tmp_path / 'mle'
  shutil.copytree(tasks.default_root() / name, root / name)
  shutil.rmtree(root / name / 'prepared' / 'private')
  line = refused(
      run(
          tmp_path / 'w', f'--config.env.root={root}',
          f"--config.env.train_tasks=('{name}',)",
          f"--config.env.held_out_tasks=('{name}',)",
      )
  )
  assert name in line


def test_unwritable_workdir(tmp_path):
  (tmp_path / 'file').write_text('')
  line = refused(run(tmp_path / 'file' / 'w'))
  assert f'workdir {tmp_path}/file/w cannot be written to' in line


def test_workdir_of_another_config(finished):
  line = refused(run(finished[0], *FAST, '--config.learner.lr=0.5'))
  assert 'learner.lr' in line and '0.5' in line
  assert 'another configuration' in line


def test_missing_flags_and_modes_without_a_run(tmp_path):
  done = subprocess.run(
      [sys.executable, '-m', 'ace_jax.main', SMOKE], cwd=ROOT,
      capture_output=True, text=True, timeout=100, check=False,
  )
  assert '--workdir is missing' in refused(done)
  line = refused(run(tmp_path, '--mode=report'))
  assert 'holds no run' in line
