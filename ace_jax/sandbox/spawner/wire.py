"""How the spawner and its client talk: a JSON header, then its blobs.

Never pickle: the client would run what a compromised guard sent.
"""

from __future__ import annotations

import array
import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct('>Q')
MAX_HEADER = 1 << 22
MAX_BLOB = 1 << 31


def send(sock: socket.socket, header: dict[str, Any], *blobs: bytes) -> None:
  """Sends one message over a stream."""
  text = json.dumps({**header, 'blobs': [len(b) for b in blobs]}).encode()
  sock.sendall(_LENGTH.pack(len(text)) + text)
  for blob in blobs:
    sock.sendall(blob)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
  """Receives one message; EOFError when the other side is gone."""
  (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
  if length > MAX_HEADER:
    raise EOFError(f'a header of {length} bytes')
  header = json.loads(_exactly(sock, length))
  sizes = header.pop('blobs')
  if any(not 0 <= size <= MAX_BLOB for size in sizes):
    raise EOFError('a blob of impossible size')
  return header, [_exactly(sock, size) for size in sizes]


def _exactly(sock: socket.socket, size: int) -> bytes:
  parts = bytearray()
  while len(parts) < size:
    part = sock.recv(min(1 << 20, size - len(parts)))
    if not part:
      raise EOFError('the other side is gone')
    parts += part
  return bytes(parts)


def post(sock: socket.socket, message: dict[str, Any],
         fds: tuple[int, ...] | list[int] = ()) -> None:
  """Sends a small message and descriptors in one packet (SOCK_SEQPACKET)."""
  rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))]
  sock.sendmsg([json.dumps(message).encode()], rights if fds else [])


def collect(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
  """Receives what `post` sent; EOFError when the other side is gone."""
  data, ancillary, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(16 * 4),
                                       socket.MSG_CMSG_CLOEXEC)
  fds = array.array('i')
  for level, kind, content in ancillary:
    if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
      fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
  if not data:
    raise EOFError('the other side is gone')
  return json.loads(data), list(fds)
