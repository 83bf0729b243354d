"""A Docker daemon for the length of some tests, beside any that runs.

Its data lie on a small disk in memory, which can be filled.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import docker
import docker.errors

DISK_MB = 3000


class Daemon:
  """A context; DOCKER_HOST names it meanwhile.

  Args:
    path: where its output goes.
  """

  def __init__(self, path: pathlib.Path):
    self._log = path / 'dockerd.log'
    # Socket paths are short, and its data too many for a test's directory.
    self._root = pathlib.Path(tempfile.mkdtemp(prefix='dockerd-'))
    self._host = f'unix://{self._root}/sock'
    self._data = self._root / 'data'
    self._data.mkdir()
    subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={DISK_MB}m', 'tmpfs',
         self._data], check=True)
    self._process: subprocess.Popen | None = None
    self._before = os.environ.get('DOCKER_HOST')

  def start(self) -> None:
    with open(self._log, 'ab') as log:
      self._process = subprocess.Popen(
          ['dockerd', f'--host={self._host}', f'--data-root={self._data}',
           f'--exec-root={self._root}/exec', f'--pidfile={self._root}/pid',
           '--bridge=none', '--iptables=false', '--ip6tables=false'],
          stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while True:
      try:
        docker.DockerClient(self._host).ping()
        return
      except docker.errors.DockerException:
        if self._process.poll() is not None or time.monotonic() > deadline:
          raise RuntimeError(
              f'dockerd: {self._log.read_text()[-2000:]}') from None
      time.sleep(0.1)

  def stop(self) -> None:
    self._process.send_signal(signal.SIGTERM)
    self._process.wait(60)

  def restart(self) -> None:
    self.stop()
    self.start()

  @contextlib.contextmanager
  def hanging(self):
    """It takes calls, and does not answer."""
    self._process.send_signal(signal.SIGSTOP)
    try:
      yield
    finally:
      self._process.send_signal(signal.SIGCONT)

  @contextlib.contextmanager
  def full(self):
    """Its disk has no space left."""
    file = self._data / 'filling'
    try:
      with open(file, 'wb') as out, contextlib.suppress(OSError):
        while True:
          out.write(bytes(1 << 20))
      yield
    finally:
      file.unlink()

  def __enter__(self) -> Daemon:
    self.start()
    os.environ['DOCKER_HOST'] = self._host
    return self

  def __exit__(self, *_) -> None:
    os.environ.pop('DOCKER_HOST')
    if self._before is not None:
      os.environ['DOCKER_HOST'] = self._before
    self.stop()
    subprocess.run(['umount', '-l', self._data], check=True)
    shutil.rmtree(self._root, ignore_errors=True)
