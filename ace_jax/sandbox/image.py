"""The image of the docker backend: the programs' interpreter, nothing else.

Made of the runtime (see runtime.py) by `docker import`, so that no registry
is needed. docker/Dockerfile puts the same files onto a base image.
"""

from __future__ import annotations

import hashlib
import io
import pathlib
import tarfile
import tempfile

import docker

from ace_jax.sandbox import runtime as runtime_lib
from ace_jax.sandbox import spawner
from ace_jax.sandbox.spawner import container

REPOSITORY = 'ace_jax-sandbox'
OURS = '/opt/ace_jax'  # where the spawner package lies in an image
_SPAWNER = pathlib.Path(spawner.__file__).parent


def ensure(client: docker.DockerClient, runtime: runtime_lib.Runtime) -> str:
  """The id of the image for a runtime, imported if it is not there."""
  tag = f'{REPOSITORY}:{version(runtime)}'
  try:
    return client.images.get(tag).id
  except docker.errors.ImageNotFound:
    pass
  with tempfile.NamedTemporaryFile(suffix='.tar') as file:
    write(runtime, pathlib.Path(file.name))
    repository, _, name = tag.partition(':')
    client.api.import_image_from_file(
        file.name, repository=repository, tag=name,
        changes=[f'LABEL {REPOSITORY}={name}'])
  return client.images.get(tag).id


def write(runtime: runtime_lib.Runtime, path: pathlib.Path) -> None:
  """Writes the image's files as an archive."""
  python = str(runtime.python_dir).lstrip('/')

  def without_python(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The tree has an empty directory there, to mount upon."""
    return None if info.name == python else _owned_by_root(info)

  with tarfile.open(path, 'w') as tar:
    for entry in sorted(runtime.root.iterdir()):
      tar.add(entry, entry.name, filter=without_python)
    tar.add(runtime.python_dir, python, filter=_owned_by_root)
    for source in _sources():
      tar.add(source, f'{OURS.lstrip("/")}/spawner/{source.name}',
              filter=_owned_by_root)
    text = version(runtime).encode()
    info = tarfile.TarInfo(f'{OURS.lstrip("/")}/{container.VERSION}')
    info.size, info.mode = len(text), 0o644
    tar.addfile(info, io.BytesIO(text))


def _sources() -> list[pathlib.Path]:
  return sorted(_SPAWNER.glob('*.py'))


def version(runtime: runtime_lib.Runtime) -> str:
  """Changes with all that is in the image."""
  digest = hashlib.sha256(runtime.path.name.encode())
  for source in _sources():
    digest.update(source.name.encode() + b'\0' + source.read_bytes())
  return digest.hexdigest()[:16]


def _owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
  info.uid = info.gid = 0
  info.uname = info.gname = ''
  info.mode |= 0o444 | (0o111 if info.isdir() or info.mode & 0o100 else 0)
  return info
