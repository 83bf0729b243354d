"""What a program wrote: its output while it runs, its files when it is dead.

Files are opened relative to a descriptor of their directory and never through
a link; what is not a plain file, or too large, is not there.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat

SUBMISSION = 'submission.csv'
MAX_OTHER_FILES = 32
MAX_OTHER_BYTES = 1 << 20  # each; the submission may fill the disk limit
FULL_BYTES = 64 << 10  # less than this free: the disk is full
_MAX_ENTRIES = 20_000
_MAX_DEPTH = 32


class Capture:
  """Head and tail of a stream, in bounded memory."""

  def __init__(self, fd: int, max_bytes: int):
    os.set_blocking(fd, False)
    self.fd, self.total, self.closed = fd, 0, False
    self._half = max(1, max_bytes // 2)
    self._head, self._tail = bytearray(), bytearray()

  def drain(self, max_reads: int = 16) -> None:
    """Takes what is there, up to a bound: other things need watching too."""
    for _ in range(max_reads):
      try:
        data = os.read(self.fd, 1 << 16)
      except BlockingIOError:
        return
      if not data:
        self.closed = True
        return
      self.total += len(data)
      room = self._half - len(self._head)
      self._head += data[:max(0, room)]
      self._tail += data[max(0, room):]
      del self._tail[:-self._half]

  def content(self) -> bytes:
    """All of it, or its two ends around a note of what is missing."""
    missing = self.total - len(self._head) - len(self._tail)
    note = f'\n[… {missing} bytes left out …]\n'.encode() if missing else b''
    return bytes(self._head + note + self._tail)


def harvest(directory: int, max_bytes: int, skip: str) -> dict[str, bytes]:
  """The plain files directly in `directory`, the submission first.

  Args:
    directory: a descriptor.
    max_bytes: of all files together.
    skip: a name to leave out.
  """
  with os.scandir(directory) as entries:
    names = [e.name for e in itertools.islice(entries, _MAX_ENTRIES)]
  names = [n for n in names if _is_text(n) and n not in (skip, SUBMISSION)]
  found: dict[str, bytes] = {}
  for name in (SUBMISSION, *sorted(names)):
    if len(found) > MAX_OTHER_FILES:
      break
    limit = max_bytes if name == SUBMISSION else MAX_OTHER_BYTES
    content = _read(directory, name, min(limit, max_bytes))
    if content is not None:
      found[name] = content
      max_bytes -= len(content)
  return found


def _is_text(name: str) -> bool:
  """Whether it can be named in JSON and printed."""
  return name.isprintable() and len(name) <= 255


def _read(directory: int, name: str, max_bytes: int) -> bytes | None:
  flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
  try:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
      return None
    fd = os.open(name, flags, dir_fd=directory)
  except OSError as error:
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO):
      return None
    raise
  with open(fd, 'rb') as file:
    content = file.read(max_bytes + 1)
  return content if len(content) <= max_bytes else None


def is_full(directory: int) -> bool:
  """Whether nothing more can be written to the file system of a directory."""
  disk = os.fstatvfs(directory)
  return disk.f_bavail * disk.f_frsize < FULL_BYTES or disk.f_favail == 0


def usage_mb(path: str) -> float:
  """Disk blocks below a directory; infinite when there is too much to see."""
  total, seen, queue = 0, 0, [(path, 0)]
  while queue:
    place, depth = queue.pop()
    if depth > _MAX_DEPTH:
      return float('inf')
    with contextlib.suppress(FileNotFoundError, NotADirectoryError,
                             PermissionError), os.scandir(place) as entries:
      for entry in entries:
        seen += 1
        if seen > _MAX_ENTRIES:
          return float('inf')
        with contextlib.suppress(FileNotFoundError):
          total += entry.stat(follow_symlinks=False).st_blocks * 512
          if entry.is_dir(follow_symlinks=False):
            queue.append((entry.path, depth + 1))
  return total / (1 << 20)


def remove(path: str) -> None:
  """Removes a directory that nothing writes to any more, however deep.

  Directories are moved up instead of being descended into: paths, recursion
  and descriptors stay bounded whatever a program has built.
  """
  with contextlib.suppress(FileNotFoundError):
    number = 0
    while entries := _entries(path):
      for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
          os.unlink(entry.path)
          continue
        for below in _entries(entry.path):
          if below.is_dir(follow_symlinks=False):
            number += 1
            os.chmod(below.path, 0o700)  # its own owner cannot move it else
            os.rename(below.path, f'{path}/.{os.getpid()}-{number}')
          else:
            os.unlink(below.path)
        os.rmdir(entry.path)
    os.rmdir(path)


def _entries(path: str) -> list[os.DirEntry[str]]:
  os.chmod(path, 0o700)
  with os.scandir(path) as entries:
    return list(entries)
