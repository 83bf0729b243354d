"""What only the docker backend has: a daemon that comes and goes, orphans."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import docker
import pytest

from ace_jax import types
from ace_jax.sandbox import Pool, SandboxError, SandboxSpec, containers
from ace_jax.sandbox.docker import DockerSandbox
from ace_jax.types import Status

SPEC = SandboxSpec(timeout_s=20.0)


def ids(label: str = containers.LABEL) -> set[str]:
  return {c['Id'] for c in containers.listed(docker.from_env(), label)}


def wait_until(what, timeout_s: float = 10.0) -> None:
  deadline = time.monotonic() + timeout_s
  while not what():
    assert time.monotonic() < deadline
    time.sleep(0.05)


@pytest.fixture
def sandbox(docker_daemon):
  with DockerSandbox(SPEC, num_slots=2) as made:
    yield made
  assert not ids(f'{containers.SANDBOX}={made.id}')


def test_nothing_is_left_when_it_closes(sandbox, public_dir):
  for i in range(3):
    job = types.Job(str(i), 'print(open("data/train.csv").read())', public_dir)
    assert sandbox.run(job).stdout.startswith('id,x')


def test_containers_are_prepared_for_what_will_come(sandbox, public_dir):
  job = types.Job('a', 'import time; print(time.monotonic())', public_dir)
  sandbox.expect(job)
  time.sleep(6)  # in which one is made
  begun = time.monotonic()
  assert float(sandbox.run(job).stdout) - begun < 0.2


def test_the_walls_are_those_we_ask_for(sandbox):
  sandbox.expect(types.Job('a', '', None))
  wait_until(lambda: sandbox.stock)
  found = docker.from_env().api.inspect_container(sandbox.stock[0])
  host = found['HostConfig']
  assert found['Config']['User'] == '10001:10001'
  assert host['NetworkMode'] == 'none' and host['ReadonlyRootfs']
  assert host['CapDrop'] == ['ALL'] and not host['CapAdd']
  assert 'no-new-privileges:true' in host['SecurityOpt']
  assert any(o.startswith('seccomp=') for o in host['SecurityOpt'])
  assert host['Memory'] == host['MemorySwap'] > SPEC.memory_mb << 20
  assert host['PidsLimit'] == SPEC.max_processes + 2
  assert set(host['Tmpfs']) == {'/home/submission', '/tmp', '/dev/shm'}
  assert all(f'size={SPEC.disk_mb}m' in o for o in host['Tmpfs'].values())
  assert host['LogConfig']['Type'] == 'none' and host['AutoRemove']
  assert not host['Privileged'] and not host['Binds']


KILLED = '''
import sys, threading, time
from ace_jax import types
from ace_jax.sandbox import SandboxSpec
from ace_jax.sandbox.docker import DockerSandbox
sandbox = DockerSandbox(SandboxSpec(timeout_s=200), num_slots=1)
threading.Thread(target=sandbox.run, args=(
    types.Job("k", "import time; time.sleep(100)", None),)).start()
time.sleep(4)
print(sandbox.id, flush=True)
time.sleep(100)
'''


@pytest.mark.threat('host: executor killed')
def test_death_of_the_executor_ends_its_containers(docker_daemon):
  """They end when nobody is attached: no other executor is needed for it."""
  process = subprocess.Popen(
      [sys.executable, '-c', KILLED], stdout=subprocess.PIPE, text=True)
  label = f'{containers.SANDBOX}={process.stdout.readline().strip()}'
  assert ids(label)
  process.send_signal(signal.SIGKILL)
  process.wait()
  wait_until(lambda: not ids(label))


@pytest.mark.threat('host: executor killed')
def test_a_start_reaps_what_the_dead_had_created(sandbox):
  """And never started; what has an owner who lives, or may, is let be."""
  host, boot, pid, start = containers.owner_label().split('/')
  ended = subprocess.Popen(['true'])
  ended.wait()
  api = docker.from_env().api

  def created(*owner):
    return api.create_container(
        sandbox._image, ['true'],
        labels={containers.LABEL: '/'.join(map(str, owner))})['Id']

  dead = {created(host, boot, ended.pid, start),
          created(host, boot, pid, int(start) - 1),  # had the same number
          created(host, 'before', pid, start)}
  alive = {created(host, boot, pid, start),
           created('elsewhere', boot, ended.pid, start)}
  assert dead | alive <= ids()
  try:
    with DockerSandbox(SPEC):
      assert ids() & (dead | alive) == alive
  finally:
    for container in alive:
      containers.remove(api, container)
  assert sandbox.run(types.Job('a', 'print(1)', None)).stdout == '1\n'


@pytest.mark.threat('host: Docker daemon stopped, hanging, answering 500')
def test_a_daemon_that_is_restarted_loses_no_run(docker_daemon, sandbox):
  program = 'import time; time.sleep(4); print(6 * 7)'
  with Pool(sandbox, num_slots=2) as pool:
    for i in range(6):
      pool.submit(types.Job(str(i), program, None))
    ended = [pool.take(60)[1] for _ in range(2)]
    docker_daemon.restart()
    ended += [pool.take(120)[1] for _ in range(4)]
    assert pool.num_infra_retries > 0
  assert [e.stdout for e in ended] == ['42\n'] * 6


@pytest.mark.threat('host: Docker daemon stopped, hanging, answering 500')
def test_a_daemon_that_stays_away_is_an_infra_error(docker_daemon):
  with DockerSandbox(SPEC, patience_s=1.0) as sandbox:
    docker_daemon.stop()
    try:
      execution = sandbox.run(types.Job('a', 'print(1)', None))
    finally:
      docker_daemon.start()
    assert execution.status == Status.INFRA_ERROR and execution.error
    wait_until(lambda: sandbox.run(
        types.Job('a', 'print(1)', None)).status == Status.OK, 30.0)


def test_no_daemon_is_one_clear_line(monkeypatch, tmp_path):
  monkeypatch.setenv('DOCKER_HOST', f'unix://{tmp_path}/none.sock')
  with pytest.raises(SandboxError, match='docker: '):
    DockerSandbox(SPEC)


HOG = '''
import ctypes, time
cuda = ctypes.CDLL("libcuda.so.1")
context, place = ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(place), ctypes.c_size_t(1 << 30)) == 0
print("has it", flush=True)
time.sleep(1000)
'''


@pytest.mark.threat('interference: GPU memory left behind')
@pytest.mark.skipif(shutil.which('nvidia-smi') is None, reason='needs a GPU')
def test_no_memory_of_a_gpu_is_left(docker_daemon):
  def used_mb():
    return int(subprocess.check_output(
        ['nvidia-smi', '--id=0', '--query-gpu=memory.used',
         '--format=csv,noheader,nounits']))

  before = used_mb()
  with DockerSandbox(SandboxSpec(timeout_s=10), gpus=('0',)) as sandbox:
    execution = sandbox.run(types.Job('a', HOG, None))
    assert execution.stdout == 'has it\n', execution
    assert execution.status == Status.TIMEOUT and execution.limit == 'wall'
    wait_until(lambda: used_mb() < before + 100, 5.0)
