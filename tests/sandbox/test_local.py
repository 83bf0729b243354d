"""What holds for the spawner as a whole: death, restarts, levels, speed."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import leftovers
import pytest

from ace_jax import types
from ace_jax.sandbox import (
    LocalSandbox,
    SandboxError,
    SandboxSpec,
    cores,
    runtime,
)
from ace_jax.sandbox.spawner import tree
from ace_jax.types import Status

REPO = pathlib.Path(__file__).parents[2]


def wait_until(condition, timeout_s: float = 1.0) -> bool:
  deadline = time.monotonic() + timeout_s
  while not condition() and time.monotonic() < deadline:
    time.sleep(0.01)
  return condition()


def test_importing_it_does_not_import_jax():
  subprocess.run([sys.executable, '-c', 'import sys, ace_jax.sandbox\n'
                  'assert "jax" not in sys.modules'], check=True, cwd=REPO)


def test_l1_needs_allow_unsafe():
  with pytest.raises(SandboxError, match='allow_unsafe'):
    LocalSandbox(SandboxSpec(), min_level='L1')


def test_l1_runs_when_asked_for():
  with LocalSandbox(SandboxSpec(timeout_s=5, memory_mb=200), allow_unsafe=True,
                    force_level='L1', use_cgroups=False) as sandbox:
    execution = sandbox.run(types.Job('k', 'print(6 * 7)', None))
    assert (execution.stdout, execution.level) == ('42\n', 'L1')


@pytest.mark.parametrize('fields', [
    dict(timeout_s=0), dict(memory_mb=-1), dict(disk_mb=1.5),
    dict(cpu_limit_s=float('nan'))])
def test_impossible_specs(fields):
  with pytest.raises(ValueError, match=next(iter(fields))):
    SandboxSpec(**fields)


def test_missing_public_data_is_the_callers_mistake(sandbox):
  with pytest.raises(ValueError, match='no directory'):
    sandbox.run(types.Job('k', '', pathlib.Path('/nowhere')))


def test_slots_run_side_by_side(sandbox):
  """By the clock of the programs: a container may have to be made first."""
  program = ('import time\nprint(time.monotonic())\ntime.sleep(2)\n'
             'print(time.monotonic())')
  ended = []
  threads = [threading.Thread(target=lambda: ended.append(
      sandbox.run(types.Job('k', program, None)))) for _ in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  begins, ends = zip(*(map(float, e.stdout.split()) for e in ended),
                     strict=True)
  assert max(begins) < min(ends)


@pytest.fixture
def in_flight():
  """A sandbox with a run in it, and where that run's execution will be."""
  results = []
  with LocalSandbox(SandboxSpec(timeout_s=30), num_slots=1) as sandbox:
    thread = threading.Thread(target=lambda: results.append(sandbox.run(
        types.Job('k', 'import time; time.sleep(29)', None))))
    thread.start()
    time.sleep(0.5)
    yield sandbox, thread, results
    thread.join(5)


@pytest.mark.parametrize('victim', ['spawner', 'template', 'guard'])
def test_death_of_our_own_is_an_infra_error(in_flight, victim):
  sandbox, thread, results = in_flight
  spawner = sandbox.spawner_pid
  template, guard = leftovers.children(spawner)
  (program,) = leftovers.children(template)
  os.kill({'spawner': spawner, 'template': template, 'guard': guard}[victim],
          signal.SIGKILL)
  thread.join(5)
  assert results[0].status == Status.INFRA_ERROR and results[0].error
  assert wait_until(lambda: not leftovers.is_alive(program))
  # A spawner that is still on its way out may take one more with it.
  job = types.Job('next', 'print(1)', None)
  assert Status.OK in (sandbox.run(job).status, sandbox.run(job).status)
  assert (sandbox.spawner_pid == spawner) == (victim == 'guard')


def test_close_ends_what_runs(in_flight):
  sandbox, thread, results = in_flight
  (program,) = leftovers.children(leftovers.children(sandbox.spawner_pid)[0])
  sandbox.close()
  thread.join(5)
  assert results[0].status == Status.INFRA_ERROR
  assert not leftovers.is_alive(program)
  with pytest.raises(ValueError, match='closed'):
    sandbox.run(types.Job('k', '', None))


PARENT = '''
import threading, time
from ace_jax import types
from ace_jax.sandbox import LocalSandbox, SandboxSpec
sandbox = LocalSandbox(SandboxSpec(timeout_s=60), {options})
job = types.Job("k", "import os, time\\nif os.fork() == 0: os.setsid()\\n"
                "time.sleep(50)", None)
threading.Thread(target=sandbox.run, args=(job,)).start()
time.sleep(.6)
print(sandbox.spawner_pid, flush=True)
time.sleep(60)
'''


@pytest.mark.parametrize('options', [
    '', 'force_level="L2", use_cgroups=False'])
def test_death_of_the_parent_leaves_nothing(options):
  with subprocess.Popen(
      [sys.executable, '-c', PARENT.format(options=options)],
      stdout=subprocess.PIPE, cwd=REPO, text=True) as parent:
    spawner = int(parent.stdout.readline())
    below = [spawner]
    for pid in below:
      below += leftovers.children(pid)
    assert len(below) >= 5
    parent.kill()
  assert wait_until(lambda: not any(map(leftovers.is_alive, below)))
  assert not os.path.exists(f'/tmp/ace_jax-{spawner}')
  assert not leftovers.cgroups_of(spawner)


AS_USER = '''
import contextlib, glob, json, os, time
from ace_jax import types
from ace_jax.sandbox import LocalSandbox, SandboxSpec
out = {}
def others():
  """What is left of the last sandbox would be counted as a bystander's."""
  uids = []
  for path in glob.glob("/proc/[0-9]*/status"):
    with contextlib.suppress(OSError):
      uids += open(path).read().partition("Uid:")[2].split()[:1]
  return uids.count(str(os.getuid())) - 1
for level in ("L3", "L2"):
  while others(): time.sleep(0.01)
  try:
    sandbox = LocalSandbox(SandboxSpec(timeout_s=10, max_processes=8),
                           force_level=level)
  except Exception as error:
    out[level] = repr(error)
    continue
  with sandbox:
    program = """
import os
try: open("/etc/passwd"); print("leak")
except OSError: pass
print(os.getuid())
pids = 0
try:
  while os.fork(): pids += 1
  import time; time.sleep(5)
except OSError: print(pids < 9)
"""
    out[level] = sandbox.run(types.Job("k", program, None)).stdout
print(json.dumps(out))
'''


@pytest.mark.skipif(os.getuid() != 0, reason='only root can become another')
def test_as_a_user_who_is_not_root(tmp_path):
  """The runtime is a Python that every user can read; it builds another."""
  uid = 61_500
  home = pathlib.Path('/var/tmp/ace_jax-test-user')
  shutil.rmtree(home, ignore_errors=True)
  home.mkdir(mode=0o755)
  try:
    shutil.copytree(REPO / 'ace_jax', home / 'ace_jax')
    os.chown(home, uid, uid)
    result = subprocess.run(
        [runtime.ensure().python, '-c', AS_USER], cwd=home, user=uid,
        group=uid, extra_groups=[], capture_output=True, text=True,
        timeout=120, env={'HOME': str(home), 'PYTHONPATH': str(home)})
    assert result.returncode == 0, result.stderr
    levels = json.loads(result.stdout.splitlines()[-1])
  finally:
    shutil.rmtree(home)
  assert levels['L3'] == f'{tree.SANDBOX_UID}\nTrue\n', result.stderr
  assert levels['L2'] == f'{uid}\nTrue\n', result.stderr


def test_hand_over_is_fast(sandbox):
  """A floor for the best of several: other tests may be running."""
  times = []
  for _ in range(10):
    begun = time.monotonic()
    sandbox.run(types.Job('k', 'print(1)', None))
    times.append(time.monotonic() - begun)
  assert min(times) < 0.15


THREADS = """
import os, numpy, threadpoolctl
print(os.environ["OMP_NUM_THREADS"], len(os.sched_getaffinity(0)),
      {lib["num_threads"] for lib in threadpoolctl.threadpool_info()})
"""


@pytest.mark.parametrize('num_slots', [1, 99])
def test_threads_match_the_cores(monkeypatch, num_slots):
  """A slot with cores of its own has as many threads, one that shares one."""
  # Other tests' sandboxes have leases too.
  monkeypatch.setattr(cores, '_LEASE', '\0ace_jax-test-{}')
  every = len(os.sched_getaffinity(0))
  with LocalSandbox(SandboxSpec(cpus=every), num_slots=num_slots) as sandbox:
    execution = sandbox.run(types.Job('threads', THREADS, None))
  assert execution.pinned == (num_slots == 1)
  threads = every if execution.pinned else 1
  assert execution.stdout == f'{threads} {every} {{{threads}}}\n'
