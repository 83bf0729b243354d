"""Containers that end before their time, and images of another time."""

from __future__ import annotations

import threading
import time

import docker
import pytest

from ace_jax import types
from ace_jax.sandbox import SandboxError, SandboxSpec, containers, image
from ace_jax.sandbox import docker as backend
from ace_jax.sandbox.docker import DockerSandbox
from ace_jax.types import Status

SPEC = SandboxSpec(timeout_s=20.0)


@pytest.mark.parametrize('after_s', [0.1, 0.5, 3.0])
def test_no_program_outlives_the_sandbox(docker_daemon, public_dir, after_s):
  """Not even one whose container is only being made when it closes."""
  sandbox, ended = DockerSandbox(SPEC), []
  job = types.Job('a', 'import time; time.sleep(15)', public_dir)
  thread = threading.Thread(target=lambda: ended.append(sandbox.run(job)))
  thread.start()
  time.sleep(after_s)
  begun = time.monotonic()
  sandbox.close()
  label = f'{containers.SANDBOX}={sandbox.id}'
  assert not containers.listed(docker.from_env(), label)
  thread.join(10)
  assert time.monotonic() - begun < 10
  assert ended[0].status == Status.INFRA_ERROR


def test_memory_is_why_pid_1_is_silent(docker_daemon, monkeypatch):
  """What is left to the kernel, which may kill PID 1, is an oom all the same.
  """
  # So little beside the limit that the kernel is there before PID 1 looks.
  monkeypatch.setattr(backend, '_INTERPRETER_MB', 60)
  with DockerSandbox(SandboxSpec(timeout_s=20, memory_mb=100)) as sandbox:
    # No answer comes, whoever is killed.
    def silent(self, header, source):
      self._handed_over = True
      containers.wire.send(self._stream, header, source)
      time.sleep(3)
      raise EOFError

    monkeypatch.setattr(containers.Container, 'answer', silent)
    hog = 'x = [bytearray(1 << 20) for _ in range(500)]'
    found = sandbox.run(types.Job('hog', hog, None))
    assert (found.status, found.limit) == (Status.OOM, 'memory')
    meek = sandbox.run(types.Job('meek', 'print(1)', None))
    assert meek.status == Status.INFRA_ERROR


def test_what_is_expected_no_more_is_not_prepared(docker_daemon, public_dir):
  with DockerSandbox(SPEC, num_slots=1) as sandbox:
    sandbox.expect(types.Job('a', '', public_dir))
    sandbox.cancel('a')
    sandbox.run(types.Job('b', '', None))
    deadline = time.monotonic() + 10
    while not (stock := list(sandbox._stock)):
      assert time.monotonic() < deadline
      time.sleep(0.05)
    assert [prepared.public_dir for prepared in stock] == [None]


def test_an_image_of_another_version_is_refused(docker_daemon, monkeypatch):
  with DockerSandbox(SPEC) as sandbox:
    mine = sandbox._image
    monkeypatch.setattr(image, 'version', lambda runtime: 'of tomorrow')
    with pytest.raises(SandboxError, match='another version'):
      DockerSandbox(SPEC, image_name=mine)
