"""What runs may leave on a machine, and must not."""

from __future__ import annotations

import os
import pathlib

import docker

from ace_jax.sandbox import LocalSandbox, Sandbox


def of(sandbox: Sandbox) -> list[str]:
  """What runs left on the machine."""
  if sandbox.backend == 'docker':
    return of_docker(sandbox)
  return of_local(sandbox)


def of_docker(sandbox: Sandbox) -> list[str]:
  """Containers that are not in stock for the next runs."""
  from ace_jax.sandbox import containers
  listed = containers.listed(
      docker.from_env(), f'{containers.SANDBOX}={sandbox.id}')
  return [f'container {c["Id"]} {c["State"]}' for c in listed
          if c['Id'] not in sandbox.stock]


def of_local(sandbox: LocalSandbox) -> list[str]:
  """Processes, cgroups, files, mounts."""
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
  except (FileNotFoundError, ProcessLookupError):  # gone, or going meanwhile
    return False
