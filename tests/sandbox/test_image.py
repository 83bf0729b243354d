"""An image of one's own: the interpreter's files put onto a base.

The base is made of this machine's own shell, so that no registry is needed.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import docker
import pytest

from ace_jax import types
from ace_jax.sandbox import SandboxError, SandboxSpec, __main__, backends

DOCKER = pathlib.Path(__file__).parents[2] / 'docker'
NAMES = dict(BASE='ace_jax-test-base', tag='ace_jax-test')
COMMANDS = ('sh', 'cp', 'rm')  # what the Dockerfile's RUN needs


def write_base(path: pathlib.Path) -> None:
  """A few commands of this machine, with their libraries, and a file."""
  files = {f'/bin/{name}' for name in COMMANDS}
  for name in tuple(files):
    listed = subprocess.check_output(['ldd', name], text=True)
    files |= set(re.findall(r'(/\S+) \(', listed))
  links = [name for name in ('bin', 'lib', 'lib64')
           if os.path.islink(f'/{name}')]
  (path.parent / 'base.txt').write_text("the base's own")
  with tarfile.open(path, 'w', dereference=True) as tar:
    for file in sorted(files):
      folder, _, name = file.rpartition('/')
      tar.add(file, f'{os.path.realpath(folder)}/{name}'.lstrip('/'))
    tar.add(path.parent / 'base.txt', 'base.txt')
    tar.add(path.parent / 'base.txt', 'opt/ace_jax/python')
    for name in links:
      info = tarfile.TarInfo(name)
      info.type, info.linkname = tarfile.SYMTYPE, os.readlink(f'/{name}')
      tar.addfile(info)


@pytest.fixture(scope='module')
def image(docker_daemon, tmp_path_factory):
  """The name of one that was built as the Dockerfile says."""
  place = tmp_path_factory.mktemp('image')
  write_base(place / 'base.tar')
  context = place / 'docker'
  context.mkdir()
  shutil.copy(DOCKER / 'Dockerfile', context)
  assert __main__.main(['image', f'--out={context}/image.tar']) == 0
  client = docker.from_env(timeout=300)
  client.api.import_image_from_file(
      str(place / 'base.tar'), repository=NAMES['BASE'])
  subprocess.run(
      ['docker', 'build', '-q', '--network=none', '-t', NAMES['tag'],
       '--build-arg', f'BASE={NAMES["BASE"]}', context],
      check=True, env=os.environ | {'DOCKER_BUILDKIT': '0'})
  shutil.rmtree(place)
  yield NAMES['tag']
  for name in NAMES.values():
    client.images.remove(name, force=True)
  client.images.prune()


def make(name: str):
  return backends.make(
      backends.options(backend='docker', image=name), SandboxSpec())


def test_programs_run_in_an_image_built_by_the_dockerfile(image):
  with make(image) as sandbox:
    execution = sandbox.run(types.Job('a', '''
import os, sklearn
print(open("/base.txt").read(), open("/opt/ace_jax/python").read(), sep="\\n")
print(os.getuid(), os.access("/bin/cp", os.X_OK), sklearn.__name__)
''', None))
  assert execution.stdout == (
      "the base's own\nthe base's own\n10001 True sklearn\n"), execution


def test_an_image_that_is_not_there_is_one_clear_line(docker_daemon):
  with pytest.raises(SandboxError, match='docker: .*[Nn]o such image.*none'):
    make('ace_jax-none')
