"""From a config's keys to a sandbox, or to one clear line."""

from __future__ import annotations

import sys

import pytest

from ace_jax.sandbox import SandboxError, SandboxSpec, backends
from configs import default


@pytest.fixture
def config():
  return default.get_config().sandbox


def test_the_default_is_local(config):
  with backends.make(config, SandboxSpec()) as sandbox:
    assert sandbox.backend == 'local' and sandbox.num_slots == config.num_slots


def test_a_typo_is_answered_with_the_nearest(config):
  config.backend = 'dokcer'
  with pytest.raises(ValueError, match='did you mean docker'):
    backends.make(config, SandboxSpec())


def test_a_missing_package_is_named(config, monkeypatch):
  config.backend = 'ray'
  monkeypatch.delitem(sys.modules, 'ace_jax.sandbox.ray', raising=False)
  monkeypatch.delattr('ace_jax.sandbox.ray', raising=False)
  monkeypatch.setitem(sys.modules, 'ray', None)
  with pytest.raises(SandboxError, match='pip install ray'):
    backends.make(config, SandboxSpec())


def test_docker_has_as_many_gpus_as_slots(config):
  config.backend, config.gpus = 'docker', ('0', '1', '2')
  with pytest.raises(ValueError, match='3 GPUs for 2 slots'):
    backends.make(config, SandboxSpec())


def test_a_backend_without_gpus_says_so(config):
  config.gpus = ('0', '1')
  with pytest.raises(ValueError, match='gpus.* is for sandbox.backend=docker'):
    backends.make(config, SandboxSpec())


def test_docker_makes_one_with_the_configs_keys(config, docker_daemon):
  config.backend = 'docker'
  with backends.make(config, SandboxSpec()) as sandbox:
    assert sandbox.num_slots == config.num_slots
    assert 'docker' in sandbox.describe()
  config.oci_runtime = 'runsc'
  with pytest.raises(SandboxError, match='runsc'):
    backends.make(config, SandboxSpec())
