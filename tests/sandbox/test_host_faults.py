"""What the machine does to us: a typed outcome, no leak, and it goes on."""

from __future__ import annotations

import http.server
import os
import signal
import socketserver
import subprocess
import threading
import time

import docker
import leftovers
import pytest
from kinds import SPEC, make

from ace_jax import types
from ace_jax.sandbox import LocalSandbox, Pool, SandboxError, SandboxSpec
from ace_jax.sandbox import docker as docker_sandbox
from ace_jax.types import Status

threat = pytest.mark.threat
EITHER = {Status.OK, Status.INFRA_ERROR}


def answer(sandbox, key='a') -> types.Execution:
  return sandbox.run(types.Job(key, 'print(6 * 7)', None))


def assert_clean(sandbox) -> None:
  deadline = time.monotonic() + 5.0
  while (left := leftovers.of(sandbox)) and time.monotonic() < deadline:
    time.sleep(0.05)
  assert not left


# --- Disk full -------------------------------------------------------------


@threat('host: disk full')
def test_a_full_disk_at_l2():
  """Where the working directories are made on disk."""
  with make('L2-watched') as sandbox:
    scratch = f'/tmp/ace_jax-{sandbox.spawner_pid}'
    mounted = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', 'size=64k,nr_inodes=2,mode=711',
         'tmpfs', scratch], capture_output=True, check=False)
    if mounted.returncode:
      pytest.skip('needs root: mounts a small disk')
    try:
      execution = answer(sandbox)
      assert execution.status == Status.INFRA_ERROR
      assert 'No space' in execution.error
    finally:
      subprocess.run(['umount', '-l', scratch], check=True)
    assert answer(sandbox).stdout == '42\n'
    assert_clean(sandbox)


@threat('host: disk full')
def test_a_full_disk_of_the_docker_daemon(docker_daemon):
  with docker_sandbox.DockerSandbox(
      SPEC, num_slots=2, patience_s=1.0) as sandbox:
    with docker_daemon.full():
      seen = {answer(sandbox, str(i)).status for i in range(6)}
      assert Status.INFRA_ERROR in seen and seen <= EITHER
    for i in range(4):
      assert answer(sandbox, f'after/{i}').stdout == '42\n'
    assert_clean(sandbox)


# --- A daemon that is there, and is none ------------------------------------


@threat('host: Docker daemon stopped, hanging, answering 500')
def test_a_daemon_that_hangs(docker_daemon, monkeypatch):
  monkeypatch.setattr(docker_sandbox, '_CALL_S', 2.0)
  spec = SandboxSpec(timeout_s=20)
  with docker_sandbox.DockerSandbox(spec, num_slots=2) as sandbox:
    with Pool(sandbox, num_slots=2) as pool:
      with docker_daemon.hanging():
        for i in range(6):
          pool.submit(types.Job(str(i), 'print(6 * 7)', None))
        time.sleep(5)
      ended = [pool.take(60)[1] for _ in range(6)]
      assert {e.status for e in ended} <= EITHER
      pool.submit(types.Job('after', 'print(6 * 7)', None))
      assert pool.take(60)[1].stdout == '42\n'
      assert_clean(sandbox)


class _Broken(http.server.BaseHTTPRequestHandler):

  def do_GET(self):
    self.send_response(500)
    self.end_headers()
    self.wfile.write(b'{"message": "out of order"}')

  do_POST = do_DELETE = do_GET

  def log_message(self, *_):
    """Not to standard error."""

  def address_string(self):
    return 'local'


@pytest.fixture
def broken_daemon(tmp_path, monkeypatch):
  """The address of one that answers 500."""
  monkeypatch.chdir(tmp_path)  # socket paths are short
  server = socketserver.ThreadingUnixStreamServer('sock', _Broken)
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  yield f'unix://{tmp_path}/sock'
  server.shutdown()
  thread.join()
  server.server_close()


@threat('host: Docker daemon stopped, hanging, answering 500')
def test_a_daemon_that_answers_500(docker_daemon, broken_daemon, monkeypatch):
  with docker_sandbox.DockerSandbox(
      SPEC, num_slots=1, patience_s=1.0) as sandbox:
    working, sandbox._client = sandbox._client, docker.DockerClient(
        broken_daemon, version='1.40')
    seen = [answer(sandbox, str(i)) for i in range(3)]  # some were prepared
    assert seen[-1].status == Status.INFRA_ERROR
    assert 'out of order' in seen[-1].error
    sandbox._client = working
    assert answer(sandbox, 'after').stdout == '42\n'
    assert_clean(sandbox)
  monkeypatch.setenv('DOCKER_HOST', broken_daemon)
  with pytest.raises(SandboxError, match='docker: .*500'):
    docker_sandbox.DockerSandbox(SPEC)


# --- Exits ------------------------------------------------------------------


@threat('host: a lost child exit')
def test_many_exits_at_once_lose_none(run):
  """Signals of the same number become one; every exit counts all the same."""
  for seed in range(10):
    execution = run('''
import os
gate = os.pipe()
for _ in range(12):
  if os.fork() == 0:
    os.close(gate[1])
    os.read(gate[0], 1)
    os._exit(3)
os.close(gate[1])
''', seed=seed)
    assert execution.status == Status.OK


@threat('host: executor killed')
def test_a_spawner_that_is_killed_under_load():
  with LocalSandbox(SPEC, num_slots=2) as sandbox:
    with Pool(sandbox, num_slots=2) as pool:
      for i in range(20):
        pool.submit(types.Job(str(i), 'import time; time.sleep(.1)', None))
      ended = [pool.take(120) for _ in range(3)]
      for _ in range(2):
        killed = sandbox.spawner_pid
        os.kill(killed, signal.SIGKILL)
        while sandbox.spawner_pid == killed:  # until a run needs another
          time.sleep(0.05)
      ended += [pool.take(120) for _ in range(17)]
    assert {e.status for _, e in ended} == {Status.OK}
    assert len({job.key for job, _ in ended}) == 20
