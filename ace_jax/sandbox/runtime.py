"""An interpreter of their own for the programs, without any data.

Built once into the user's cache: this interpreter and its standard library,
and numpy, pandas, scipy, scikit-learn with what they need, copied from the
running environment, so in the same versions and without a network. Every data
set that comes with them is deleted, not hidden: the tasks were made from some
of them, and a program that found one would have its test labels. Packages
that tasks are made from are never in it.

  <cache>/runtime-<recipe>/python  bin/, lib/python3.X/ with the packages
  <cache>/runtime-<recipe>/root    the file tree at L3: the shared libraries
                                   of the system, and empty mount points
"""

from __future__ import annotations

import compileall
import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

from ace_jax.sandbox import base, elf
from ace_jax.sandbox.spawner import confine, tree

_VERSION = 2  # of this recipe; change it with what is built
PACKAGES = ('numpy', 'pandas', 'scipy', 'scikit-learn', 'pytz', 'tzdata')
_OPTIONAL = ('pytz', 'tzdata')
_LEFT_OUT_OF_STDLIB = frozenset((
    'test', 'tests', 'idlelib', 'ensurepip', 'tkinter', 'turtledemo',
    'lib2to3', 'site-packages', 'dist-packages', 'pydoc_data', 'distutils',
    'sitecustomize.py', 'turtle.py', '__pycache__', 'EXTERNALLY-MANAGED'))
# Of packages: everything below a directory of this name, or at this path.
_LEFT_OUT_DIRS = frozenset(('tests', 'test', 'testdata', 'test_data'))
_LEFT_OUT_PATHS = ('sklearn/datasets/data/', 'sklearn/datasets/images/',
                   'sklearn/datasets/descr/')
_LEFT_OUT_SUFFIXES = ('.pyi', '.a', '.h', '.pxd', '.pyx', '.csv', '.csv.gz',
                      '.npz', '.npy', '.dat', '.parquet', '.arff.gz')
_CHECK = """
import sys
outside = [p for p in sys.path if not p.startswith(sys.argv[1])]
assert not outside, f'the runtime would import from {outside}'
assert sys.version == sys.argv[2], f'another interpreter: {sys.version}'
import numpy, pandas, scipy.stats, sklearn.ensemble, sklearn.datasets
import ssl, sqlite3, zlib, lzma, bz2, ctypes
try:
  sklearn.datasets.load_wine()
except (ImportError, OSError):
  pass
else:
  raise AssertionError('the runtime has bundled data sets')
"""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Runtime:
  path: pathlib.Path
  libs: tuple[str, ...]  # shared libraries of the system, absolute

  @property
  def python_dir(self) -> pathlib.Path:
    return self.path / 'python'

  @property
  def python(self) -> pathlib.Path:
    return self.python_dir / 'bin' / _python_name()

  @property
  def root(self) -> pathlib.Path:
    return self.path / 'root'


def _python_name() -> str:
  return f'python{sys.version_info.major}.{sys.version_info.minor}'


def cache_dir() -> pathlib.Path:
  """Where runtimes lie: a place that a spare uid can pass through."""
  path = pathlib.Path(os.environ.get('ACE_JAX_CACHE')
                      or pathlib.Path.home() / '.cache' / 'ace_jax').absolute()
  if os.geteuid() == 0 and not _is_open(path):
    return pathlib.Path('/var/cache/ace_jax')
  return path


def _is_open(path: pathlib.Path) -> bool:
  """Whether every user may pass through all that exists of `path`."""
  return all(p.stat().st_mode & 0o001
             for p in (path, *path.parents) if p.exists())


def ensure() -> Runtime:
  """The runtime of this environment, built if it is not there.

  Raises:
    SandboxError: it cannot be built.
  """
  packages = _packages()
  recipe = json.dumps([_VERSION, sys.version, sys.base_prefix, sorted(
      (d.metadata['Name'], d.version) for d in packages)])
  digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
  path = cache_dir() / f'runtime-{digest}'
  if not (path / 'manifest.json').exists():
    _log.info('building the programs\' interpreter in %s', path)
    try:
      _build(path, packages)
    except (OSError, subprocess.SubprocessError) as error:
      raise base.SandboxError(
          f'the programs\' interpreter cannot be built: {error}') from error
  if os.geteuid() == 0 and path.stat().st_uid != 0:
    raise base.SandboxError(f'{path} belongs to another user')
  manifest = json.loads((path / 'manifest.json').read_text())
  return Runtime(path, tuple(
      lib for lib in manifest['libs'] if os.path.exists(lib)))


def _packages() -> list[importlib.metadata.Distribution]:
  """The distributions to copy, with all that they require."""
  found, queue = {}, list(PACKAGES)
  while queue:
    name = re.sub('[-_.]+', '-', queue.pop()).lower()
    if name in found:
      continue
    try:
      distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
      if name in _OPTIONAL:
        continue
      raise base.SandboxError(
          f'the programs\' interpreter needs {name}: pip install {name}'
      ) from None
    found[name] = distribution
    for requirement in distribution.requires or ():
      needed, _, marker = requirement.partition(';')
      if not re.search('extra|platform|python_version', marker):
        queue.append(re.match(r'[\w.-]+', needed)[0])
  return list(found.values())


def _build(path: pathlib.Path,
           packages: list[importlib.metadata.Distribution]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
  made = path.with_name(f'{path.name}.{os.getpid()}')
  shutil.rmtree(made, ignore_errors=True)
  try:
    python = made / 'python'
    library = python / sys.platlibdir / _python_name()
    _copy_stdlib(library)
    for distribution in packages:
      _copy_package(distribution, library)
    binary = python / 'bin' / _python_name()
    binary.parent.mkdir()
    shutil.copy2(os.path.realpath(sys._base_executable), binary)
    for name in ('python', 'python3'):
      (binary.parent / name).symlink_to(binary.name)
    libs = _libraries(python, binary)
    _make_root(made / 'root', path / 'python', libs)
    compileall.compile_dir(python, quiet=2, stripdir=str(made),
                           prependdir=str(path), workers=1)
    _open_to_all(made)
    subprocess.run(
        [binary, '-s', '-P', '-B', '-c', _CHECK, str(python), sys.version],
        check=True, env=confine.ENVIRONMENT, timeout=120)
    (made / 'manifest.json').write_text(json.dumps({'libs': libs}))
    os.chmod(made / 'manifest.json', 0o644)
    try:
      made.rename(path)
    except OSError:
      if not (path / 'manifest.json').exists():
        raise  # else another process was first
  finally:
    shutil.rmtree(made, ignore_errors=True)


def _copy_stdlib(target: pathlib.Path) -> None:
  def leave_out(folder: str, names: list[str]) -> list[str]:
    del folder
    return [n for n in names if n in _LEFT_OUT_OF_STDLIB
            or n.startswith(('config-3', '_tkinter', '_test', 'xxlimited'))]

  # Debian links sitecustomize.py and more into /etc: follow, do not dangle.
  shutil.copytree(os.path.dirname(os.__file__), target, ignore=leave_out,
                  ignore_dangling_symlinks=True)


def _copy_package(distribution: importlib.metadata.Distribution,
                  target: pathlib.Path) -> None:
  """Copies what its RECORD names, into the standard library's directory.

  That is on every interpreter's path; where site-packages is differs.
  """
  name = distribution.metadata['Name']
  if not distribution.files:
    raise base.SandboxError(
        f'{name} has no list of its files; install it with pip')
  for file in distribution.files:
    text = str(file)
    if ('..' in file.parts or _LEFT_OUT_DIRS & set(file.parts[:-1])
        or text.startswith(_LEFT_OUT_PATHS) or file.is_absolute()
        or text.endswith(_LEFT_OUT_SUFFIXES)):
      continue
    source = pathlib.Path(distribution.locate_file(file))
    if source.is_file():
      place = target / text
      place.parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(source, place)


def _libraries(python: pathlib.Path, binary: pathlib.Path) -> list[str]:
  """Makes the tree find its shared libraries; returns those of the system.

  A library that lies beside the interpreter (libpython, say) is copied.
  """
  base_lib = pathlib.Path(sys.base_prefix) / 'lib'
  own = python / 'lib'
  provided = {p.name for p in python.rglob('*.so*')}
  system = elf.system_dirs()
  loader = elf.read(binary).interpreter
  if loader is None:
    raise base.SandboxError('the interpreter is not dynamically linked')
  libs = {loader}
  queue = [binary, *(p for p in python.rglob('*.so*') if not p.is_symlink())]
  seen: set[str] = set()
  while queue:
    for name in elf.read(queue.pop()).needed:
      if name in provided or name in seen:
        continue
      seen.add(name)
      # The interpreter's own first: the system may have another libpython.
      if str(base_lib) not in system and (base_lib / name).exists():
        own.mkdir(exist_ok=True)
        shutil.copy2(base_lib / name, own / name)
        queue.append(own / name)
        elf.set_runpath(binary, '$ORIGIN/../lib')
      elif (found := elf.find(name, system)) is not None:
        libs.add(found)
        queue.append(pathlib.Path(found))
  return sorted(libs)


def _make_root(root: pathlib.Path, python_dir: pathlib.Path, libs: list[str]
               ) -> None:
  """The tree that becomes / at L3, apart from what is mounted into it."""
  for place in ('dev/shm', 'proc', 'tmp', 'mnt', 'home/data',
                tree.HOME.lstrip('/'), str(python_dir).lstrip('/')):
    (root / place).mkdir(parents=True, exist_ok=True)
  for name in tree.DEVICES:
    (root / 'dev' / name).touch()
  for name, target in (('fd', '/proc/self/fd'), ('stdin', '/proc/self/fd/0'),
                       ('stdout', '/proc/self/fd/1'),
                       ('stderr', '/proc/self/fd/2')):
    (root / 'dev' / name).symlink_to(target)
  for name in ('lib', 'lib64', 'usr/lib64'):  # links where /usr is merged
    host = pathlib.Path('/') / name
    if host.is_symlink() and not (root / name).exists():
      (root / name).parent.mkdir(parents=True, exist_ok=True)
      (root / name).symlink_to(os.readlink(host))
      (root / name).parent.joinpath(os.readlink(host)).mkdir(
          parents=True, exist_ok=True)
  for lib in (*libs, '/etc/ld.so.cache'):
    if os.path.exists(lib):
      place = root / lib.lstrip('/')
      place.parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(os.path.realpath(lib), place)


def _open_to_all(path: pathlib.Path) -> None:
  """Readable by every user, writable by none but its owner."""
  for folder, _, names in os.walk(path):
    os.chmod(folder, 0o755)
    for name in names:
      file = os.path.join(folder, name)
      if not os.path.islink(file):
        executable = os.stat(file).st_mode & stat.S_IXUSR
        os.chmod(file, 0o755 if executable else 0o644)
