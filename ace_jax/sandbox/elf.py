"""As much of ELF as it takes to move an interpreter elsewhere."""

from __future__ import annotations

import dataclasses
import glob
import os
import pathlib
import struct

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29


@dataclasses.dataclass(frozen=True)
class Elf:
  needed: tuple[str, ...]  # names of shared libraries
  interpreter: str | None  # the loader's path
  runpath_at: int | None  # offset in the file of the path's text
  runpath: str


def read(path: pathlib.Path) -> Elf:
  """Reads a little-endian 64-bit file; one of another kind needs nothing."""
  data = path.read_bytes()
  if data[:6] != b'\x7fELF\x02\x01':
    return Elf((), None, None, '')
  offset, = struct.unpack_from('<Q', data, 32)
  size, number = struct.unpack_from('<HH', data, 54)
  loads, dynamic, interpreter = [], None, None
  for i in range(number):
    kind, _, at, address, _, length = struct.unpack_from(
        '<IIQQQQ', data, offset + i * size)
    if kind == _PT_LOAD:
      loads.append((address, at, length))
    elif kind == _PT_DYNAMIC:
      dynamic = at, length
    elif kind == _PT_INTERP:
      interpreter = data[at:at + length].rstrip(b'\0').decode()
  if dynamic is None:
    return Elf((), interpreter, None, '')
  tags = list(struct.iter_unpack('<qQ', data[dynamic[0]:sum(dynamic)]))
  table = dict(tags)[_STRTAB]
  strings = next(at + table - address for address, at, length in loads
                 if address <= table < address + length)

  def text(n: int) -> str:
    return data[strings + n:data.index(b'\0', strings + n)].decode()

  run = [n for tag, n in tags if tag in (_RPATH, _RUNPATH)]
  return Elf(
      needed=tuple(text(n) for tag, n in tags if tag == _NEEDED),
      interpreter=interpreter,
      runpath_at=strings + run[0] if run else None,
      runpath=text(run[0]) if run else '')


def set_runpath(path: pathlib.Path, runpath: str) -> None:
  """Overwrites where a file looks for libraries; OSError without room."""
  elf = read(path)
  if elf.runpath == runpath:
    return
  if elf.runpath_at is None or len(elf.runpath) < len(runpath):
    raise OSError(f'{path.name} finds its libraries by {elf.runpath!r}, which '
                  f'has no room for {runpath!r}')
  with open(path, 'r+b') as file:
    file.seek(elf.runpath_at)
    file.write(runpath.encode().ljust(len(elf.runpath), b'\0'))


def system_dirs() -> list[str]:
  """Where the loader looks for libraries on this system."""
  found = []
  for name in ('/etc/ld.so.conf', *sorted(glob.glob('/etc/ld.so.conf.d/*'))):
    if os.path.isfile(name):
      with open(name) as file:
        found += [line.strip() for line in file if line.startswith('/')]
  machine = os.uname().machine
  for place in (f'lib/{machine}-linux-gnu', 'lib64', 'lib'):
    found += [f'/{place}', f'/usr/{place}']
  return [place for place in found if os.path.isdir(place)]


def find(name: str, dirs: list[str]) -> str | None:
  for place in dirs:
    if os.path.exists(f'{place}/{name}'):
      return f'{place}/{name}'
  return None
