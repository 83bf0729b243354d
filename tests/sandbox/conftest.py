"""Sandboxes shared by the tests: starting one takes seconds, a run does not."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

from ace_jax import types
from ace_jax.sandbox import LocalSandbox, SandboxError, SandboxSpec

SPEC = SandboxSpec(timeout_s=5.0, cpu_limit_s=0.5, memory_mb=300, disk_mb=16,
                   output_kb=64, max_processes=16)
KINDS = {
    'L3': dict(force_level='L3'),
    'L3-watched': dict(force_level='L3', use_cgroups=False),
    'L2-watched': dict(force_level='L2', use_cgroups=False),
}


@pytest.fixture(scope='session', params=KINDS)
def sandbox(request):
  """One per kind, with two slots."""
  try:
    made = LocalSandbox(SPEC, num_slots=2, **KINDS[request.param])
  except SandboxError as error:
    pytest.skip(str(error))
  with made:
    yield made


@pytest.fixture
def public_dir(tmp_path) -> pathlib.Path:
  path = tmp_path / 'public'
  path.mkdir()
  (path / 'train.csv').write_text('id,x\n1,2\n')
  return path


@pytest.fixture
def run(sandbox, public_dir):
  """Runs a program and asserts that nothing of it stays behind."""

  def run_one(program: str, seed: int = 0, data: bool = True):
    job = types.Job('test', program, public_dir if data else None, seed)
    execution = sandbox.run(job)
    deadline = time.monotonic() + 1.0
    while (left := leftovers(sandbox)) and time.monotonic() < deadline:
      time.sleep(0.01)
    assert not left
    return execution

  return run_one


def leftovers(sandbox: LocalSandbox) -> list[str]:
  """What runs left on the machine: processes, cgroups, files, mounts."""
  found = []
  spawner = sandbox.spawner_pid
  (template,) = children(spawner)[:1]
  for pid in (*children(spawner)[1:], *children(template)):
    found.append(f'process {pid}')
  found += [f'cgroup {path}' for path in cgroups_of(spawner)]
  for path in pathlib.Path(f'/tmp/ace_jax-{spawner}').glob('*'):
    if not path.name.startswith('data-'):
      found.append(f'file {path}')
  mounts = pathlib.Path(f'/proc/{spawner}/mounts').read_text()
  found += [line for line in mounts.splitlines() if 'ace_jax' in line]
  return found


def cgroups_of(spawner: int) -> list[str]:
  return [f'{folder}/{name}' for folder, names, _ in os.walk('/sys/fs/cgroup')
          for name in names if name.startswith(f'ace_jax-{spawner}-')]


def children(pid: int) -> list[int]:
  with open(f'/proc/{pid}/task/{pid}/children') as file:
    return sorted(int(n) for n in file.read().split())


def is_alive(pid: int) -> bool:
  try:
    with open(f'/proc/{pid}/stat') as file:
      return file.read().rpartition(')')[2].split()[0] not in 'ZX'
  except FileNotFoundError:
    return False
