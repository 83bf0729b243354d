"""Containers of the docker backend: made, spoken to, removed; and orphans."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import pathlib
import socket
import struct
import threading
from typing import Any

import docker
import docker.errors
import requests

from ace_jax.sandbox.spawner import wire

LABEL = 'ace_jax.owner'  # the process
SANDBOX = 'ace_jax.sandbox'  # one of its sandboxes
# What a daemon that is away, hanging or at its end makes of a call.
TROUBLE = (docker.errors.DockerException, requests.RequestException, OSError,
           EOFError)
_READY_S = 120.0  # for PID 1 to import the libraries, on a busy machine
_TOLD_S = 2.0  # for the daemon to hear of what happened in a container
_GRACE_S = 20.0  # beyond the deadline, for PID 1's own work

_log = logging.getLogger(__name__)


class Container:
  """One container, from its making on; a context that removes it.

  What goes wrong while it is made is raised by `wait`.
  """

  def __init__(self, client: docker.DockerClient, options: dict[str, Any],
               public_dir: str | None, gpu: str | None,
               workers: concurrent.futures.Executor):
    self.public_dir, self.gpu = public_dir, gpu
    self.name: str = options['name']
    self._api, self._options = client.api, options
    self.id: str | None = None
    self.version: str | None = None  # of the image, see image.py
    self._handed_over = False  # whether it has its job
    self._stream: Stream | None = None
    self._created = threading.Event()  # or not to be created
    self._made = workers.submit(self._make)

  def _make(self) -> None:
    try:
      self.id = self._api.create_container(**self._options)['Id']
    finally:
      self._created.set()
    attached = self._api.attach_socket(
        self.id, params=dict(stdin=1, stdout=1, stderr=1, stream=1))
    self._stream = Stream(attached)
    self._api.start(self.id)
    self._stream.settimeout(_READY_S)
    hello, _ = wire.receive(self._stream)
    self.version = hello['version']

  def wait(self) -> None:
    """Until it is ready."""
    try:
      self._made.result()
    except concurrent.futures.CancelledError:
      raise ConnectionError('the container was called off') from None

  def answer(self, header: dict[str, Any], source: bytes
             ) -> tuple[dict[str, Any], list[bytes]]:
    """Runs the one job that it is for."""
    self._stream.settimeout(header['setup']['timeout_s'] + _GRACE_S)
    self._handed_over = True
    wire.send(self._stream, header, source)
    return wire.receive(self._stream)

  def ran_out_of_memory(self) -> bool:
    """Whether, since the job was handed over, the kernel has killed in it for
    memory: PID 1 too, perhaps, which then does not answer.
    """
    if not self._handed_over:
      return False
    api = self._api
    wanted = docker.utils.convert_filters(
        {'container': self.id, 'event': 'oom'})
    # The daemon tells all that it remembers, then waits for more, as we do;
    # docker's own events() would wait for ever.
    with contextlib.suppress(*TROUBLE):
      with api.get(f'{api.base_url}/v{api.api_version}/events',
                   params={'since': 1, 'filters': wanted}, stream=True,
                   timeout=_TOLD_S) as told:
        return any(told.iter_lines(chunk_size=1))
    return False

  def close(self) -> None:
    """Removes it, with all that runs in it. Never raises."""
    if self._made.cancel():
      return
    self._created.wait()
    if self.id is not None:
      with contextlib.suppress(*TROUBLE):
        remove(self._api, self.id)
    concurrent.futures.wait([self._made])  # soon: its stream has ended
    if self._stream is not None:
      self._stream.close()


class Stream:
  """An attached container as wire.py's socket: its output is in frames."""

  _FRAME = struct.Struct('>BxxxL')  # stream, size

  def __init__(self, attached: Any):
    self._attached = attached
    self._sock: socket.socket = getattr(attached, '_sock', attached)
    self._left = 0  # bytes of the current frame of standard output
    self.settimeout = self._sock.settimeout
    self.sendall = self._sock.sendall

  def recv(self, size: int) -> bytes:
    while not self._left:
      head = self._exactly(self._FRAME.size)
      if not head:
        return b''
      stream, length = self._FRAME.unpack(head)
      if stream == 1:
        self._left = length
      else:
        text = self._exactly(length).decode('utf-8', 'replace')
        _log.warning('PID 1 of a container: %s', text.strip()[-500:])
    data = self._sock.recv(min(size, self._left))
    self._left -= len(data)
    return data

  def _exactly(self, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
      part = self._sock.recv(size - len(parts))
      if not part:
        return b''
      parts += part
    return bytes(parts)

  def close(self) -> None:
    with contextlib.suppress(OSError):
      self._sock.shutdown(socket.SHUT_RDWR)
    self._attached.close()


# --- Orphans ---------------------------------------------------------------


def owner_label() -> str:
  """host/boot/pid/start of this process: names it once and for all."""
  return '/'.join([*_here(), str(os.getpid()), _start_of(os.getpid())])


def listed(client: docker.DockerClient, label: str) -> list[dict[str, Any]]:
  """All containers with a label, `name` or `name=value`, ended ones too."""
  return client.api.containers(all=True, filters={'label': label})


def reap(client: docker.DockerClient) -> int:
  """Removes the containers of owners on this host that are dead.

  Returns how many there were.
  """
  found = 0
  for entry in listed(client, LABEL):
    host, boot, pid, start = entry['Labels'][LABEL].split('/')
    if host == _here()[0] and (
        boot != _here()[1] or _start_of(int(pid)) != start):
      found += 1
      remove(client.api, entry['Id'])
  return found


def remove(api: docker.APIClient, container_id: str) -> None:
  """Kills and removes a container that may be gone, or going, already."""
  try:
    api.remove_container(container_id, v=True, force=True)
  except docker.errors.NotFound:
    pass
  except docker.errors.APIError as error:
    if error.status_code != 409:  # its removal is under way
      raise


def _here() -> tuple[str, str]:
  boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
  return socket.gethostname(), boot


def _start_of(pid: int) -> str:
  """When a process was started, in ticks; '' if there is none."""
  try:
    stat = pathlib.Path(f'/proc/{pid}/stat').read_text(errors='replace')
  except OSError:
    return ''
  return stat.rpartition(')')[2].split()[19]
