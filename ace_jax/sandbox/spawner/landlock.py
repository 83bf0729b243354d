"""Landlock: which files a program may open, without any privilege."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from . import linux

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2


class _Ruleset(ctypes.Structure):
  _fields_ = [('fs', ctypes.c_uint64), ('net', ctypes.c_uint64),
              ('scoped', ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
  _pack_ = 1
  _fields_ = [('access', ctypes.c_uint64), ('fd', ctypes.c_int32)]


def version() -> int:
  """The kernel's Landlock ABI; OSError where there is none."""
  return linux.syscall(_CREATE, None, 0, _VERSION_FLAG)


def scopes_signals() -> bool:
  """Whether a program can be kept from signalling processes outside."""
  return version() >= 6


def restrict(*, read: Iterable[str], write: Iterable[str]) -> None:
  """From now on this process opens only what lies beneath these paths.

  Args:
    read: files and directories to read and execute from.
    write: files and directories to do anything with, except making devices.
  """
  abi = version()
  everything = (1 << 13) - 1
  everything |= _REFER if abi >= 2 else 0
  everything |= _TRUNCATE if abi >= 3 else 0
  everything |= _IOCTL_DEV if abi >= 5 else 0
  attributes = _Ruleset(everything, 3 if abi >= 4 else 0,
                        3 if abi >= 6 else 0)
  size = 8 if abi < 4 else 16 if abi < 6 else 24
  ruleset = linux.syscall(_CREATE, ctypes.byref(attributes), size, 0)
  devices = (1 << 6) | (1 << 11)  # MAKE_CHAR, MAKE_BLOCK
  for paths, access in ((read, _READ), (write, everything & ~devices)):
    for path in paths:
      _allow(ruleset, path, access & everything)
  linux.syscall(_RESTRICT, ruleset, 0)
  os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
  fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
  if not stat.S_ISDIR(os.fstat(fd).st_mode):
    access &= _OF_FILES
  rule = _PathBeneath(access, fd)
  linux.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
  os.close(fd)
