"""The programs' interpreter, and the ELF reader that moves it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from ace_jax.sandbox import elf, runtime


@pytest.fixture(scope='module')
def built() -> runtime.Runtime:
  return runtime.ensure()


def run(built: runtime.Runtime, code: str) -> subprocess.CompletedProcess:
  return subprocess.run([built.python, '-s', '-P', '-c', code], env={},
                        capture_output=True, text=True, cwd='/')


def test_it_is_built_once(built):
  before = os.stat(built.path / 'manifest.json').st_ino
  assert runtime.ensure() == built
  assert os.stat(built.path / 'manifest.json').st_ino == before


def test_every_user_can_read_and_none_can_write(built):
  for folder, names, files in os.walk(built.path):
    assert os.stat(folder).st_mode & 0o022 == 0
    for name in (*names, *files):
      path = os.path.join(folder, name)
      if not os.path.islink(path):
        assert os.stat(path).st_mode & 0o044 == 0o044, path
        assert os.stat(path).st_mode & 0o022 == 0, path


def test_it_imports_nothing_from_outside(built):
  result = run(built, 'import sys, numpy, sklearn, pandas\n'
               'print([m.__file__ for m in sys.modules.values() '
               'if getattr(m, "__file__", None)])')
  files = eval(result.stdout)
  assert len(files) > 500
  assert all(f.startswith(str(built.path)) for f in files)


@pytest.mark.parametrize('package', ['jax', 'flax', 'pip', 'pytest', 'ace_jax',
                                     'seaborn', 'statsmodels', 'idlelib'])
def test_what_is_not_in_it(built, package):
  assert run(built, f'import {package}').returncode == 1


def test_elf_agrees_with_the_loader():
  binary = pathlib.Path(os.path.realpath(sys.executable))
  found = elf.read(binary)
  assert 'libc.so.6' in found.needed
  assert os.path.exists(found.interpreter)
  text = subprocess.run(['ldd', binary], capture_output=True, text=True,
                        check=True).stdout
  assert all(name in text for name in found.needed)


def test_runpath_is_replaced_only_where_it_fits(tmp_path, built):
  binary = tmp_path / 'python'
  shutil.copy(built.python, binary)
  old = elf.read(binary).runpath
  if not old:
    pytest.skip('this interpreter has no path of its own')
  with pytest.raises(OSError, match='no room'):
    elf.set_runpath(binary, old + 'x')
  elf.set_runpath(binary, '$ORIGIN')
  assert elf.read(binary).runpath == '$ORIGIN'
