"""Which level this machine gives, found out by doing it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import traceback
from collections.abc import Callable

from . import confine, files, landlock, linux, meters, stage, tree, wire
from .setup import Setup

_FIRST_UID, _LAST_UID = 60_800, 61_100  # nobody's, by systemd's list of uids
_kept: list[socket.socket] = []  # the locks on our uids, held until the end


def take_uids(num: int) -> tuple[int, ...]:
  """Root takes spare uids that no other spawner of this machine has.

  The lock is an abstract socket: it is gone with us, whatever happens.
  """
  found: list[int] = []
  for uid in range(_FIRST_UID, _LAST_UID):
    lock = socket.socket(socket.AF_UNIX)
    try:
      lock.bind(f'\0ace_jax-uid-{uid}')
    except OSError:
      lock.close()
      continue
    _kept.append(lock)
    found.append(uid)
    meters.kill_uid(uid)  # of a spawner that was killed
    if len(found) == num:
      return tuple(found)
  raise OSError(f'fewer than {num} spare uids are free')


def choose(setup: Setup, wanted: tuple[str, ...]) -> tuple[Setup, list[str]]:
  """The first level of `wanted` that works, and why others did not.

  Returns the setup without a level when none works.
  """
  reasons = []
  for level in wanted:
    candidate = dataclasses.replace(
        setup, level=level, landlock=level != 'L1', seccomp=level != 'L1')
    reason = _in_child({'L3': _try_l3, 'L2': _try_l2, 'L1': _try_l2}[level],
                       candidate)
    for place in os.scandir(setup.scratch):
      files.remove(place.path)
    if reason is None:
      return candidate, reasons
    reasons.append(f'{level}: {reason}')
  return setup, reasons


def _in_child(probe: Callable[[Setup], None], setup: Setup) -> str | None:
  """Runs a probe in a process of its own; returns what went wrong."""
  read, write = os.pipe()
  pid = os.fork()
  if pid == 0:
    os.close(read)
    try:
      probe(setup)
    except OSError as error:
      os.write(write, str(error).encode())
    except BaseException:  # noqa: BLE001, the fork must end here
      os.write(write, traceback.format_exc().encode())
    finally:
      os._exit(0)
  os.close(write)
  with open(read, 'rb') as file:
    reason = file.read().decode(errors='replace')
  os.waitpid(pid, 0)
  return reason or None


def _try_l3(setup: Setup) -> None:
  if not setup.is_root:
    tree.enter_user_namespace()
  linux.become_subreaper()
  channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
  channel.settimeout(10.0)
  init = tree.start(setup, 0, None, theirs)
  theirs.close()
  try:
    message, fds = wire.collect(channel)
  except EOFError:
    raise OSError('init died while it set up its namespaces') from None
  if 'error' in message:
    raise OSError(message['error'])
  reason = _in_child(lambda s: _check_l3(s, fds[3:]), setup)
  os.kill(init, 9)
  os.waitpid(init, 0)
  if reason:
    raise OSError(reason)


def _check_l3(setup: Setup, namespaces: list[int]) -> None:
  confine.enter_l3(setup, 0, namespaces)
  if os.path.exists('/root') or os.path.exists('/etc/passwd'):
    raise OSError('the files of the host can still be seen')
  _check_confined(setup)


def _try_l2(setup: Setup) -> None:
  if setup.landlock:
    landlock.version()
    if not setup.is_root and not landlock.scopes_signals():
      raise OSError('this kernel\'s Landlock cannot keep programs of one uid '
                    'from signalling each other')
  place, _ = stage.make(setup, 0, f'probe-{os.getpid()}', None)
  confine.enter_l2(setup, 0, place, None)
  if setup.landlock:
    with contextlib.suppress(PermissionError), open('/etc/passwd'):
      raise OSError('the files of the host can still be read')
  if setup.seccomp:
    _check_confined(setup)


def _check_confined(setup: Setup) -> None:
  if os.getuid() == 0:
    raise OSError('the program would be root')
  for family in (socket.AF_INET, socket.AF_NETLINK):
    with contextlib.suppress(PermissionError), socket.socket(family):
      raise OSError('the program would have a network')
  with contextlib.suppress(OSError):
    linux.unshare(linux.NEWUSER)
    raise RuntimeError('the program could make namespaces')


