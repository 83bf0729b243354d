"""The system calls that Python has no name for. All raise OSError."""

from __future__ import annotations

import ctypes
import os
import platform
import signal

NEWNS, NEWUTS, NEWIPC = 0x00020000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 36, 38, 47
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ADDR_NO_RANDOMIZE = 0x0040000

MACHINE = platform.machine()
_PIVOT_ROOT = {'x86_64': 155, 'aarch64': 41}
_CAPSET = {'x86_64': 126, 'aarch64': 91}
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
  """Turns a -1 from libc into an OSError that says what was tried."""
  if result == -1:
    code = ctypes.get_errno()
    raise OSError(code, f'{what}: {os.strerror(code)}')
  return result


def syscall(number: int, *args) -> int:
  values = [
      ctypes.c_long(a) if isinstance(a, int) or a is None else a
      for a in (0 if a is None else a for a in args)
  ]
  return check(_libc.syscall(ctypes.c_long(number), *values),
               f'syscall {number}')


def unshare(flags: int) -> None:
  check(_libc.unshare(flags), f'unshare({flags:#x})')


def setns(fd: int, flags: int) -> None:
  check(_libc.setns(fd, flags), f'setns({flags:#x})')


def mount(source: str | None, target: str, fstype: str | None = None,
          flags: int = 0, data: str | None = None) -> None:
  names = [None if s is None else os.fsencode(s)
           for s in (source, target, fstype, data)]
  check(
      _libc.mount(*names[:3], ctypes.c_ulong(flags), names[3]),
      f'mount {fstype or "bind"} on {target}')


def bind(source: str, target: str, *, read_only: bool) -> None:
  """Bind-mounts a file or directory without setuid and device files."""
  mount(source, target, None, MS_BIND)
  if read_only:
    # In a user namespace a remount must repeat the flags that are locked.
    kept = os.statvfs(target).f_flag & 0xF
    noatime = os.statvfs(target).f_flag & 0x1C00
    mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID
          | MS_NODEV | kept | noatime)


def unmount(target: str) -> None:
  check(_libc.umount2(os.fsencode(target), MNT_DETACH), f'umount {target}')


def pivot_root_here() -> None:
  """Makes the working directory the root and lets go of the old one."""
  syscall(_PIVOT_ROOT[MACHINE], ctypes.c_char_p(b'.'), ctypes.c_char_p(b'.'))
  unmount('.')
  os.chdir('/')


def prctl(option: int, *args) -> int:
  values = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]
  values += [ctypes.c_ulong(0)] * (4 - len(values))
  return check(_libc.prctl(option, *values), f'prctl({option})')


def die_with_parent() -> None:
  """SIGKILL when the parent ends. A change of uid clears it: set it after."""
  prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def set_dumpable(on: bool) -> None:
  """A process that is not dumpable is closed to others of its uid."""
  prctl(_PR_SET_DUMPABLE, int(on))


def become_subreaper() -> None:
  prctl(_PR_SET_CHILD_SUBREAPER, 1)


def no_new_privileges() -> None:
  prctl(_PR_SET_NO_NEW_PRIVS, 1)


def install_filter(program: ctypes.Structure) -> None:
  prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))


def fix_addresses() -> bool:
  """Turns address randomisation off for what is exec'd next, if we may.

  The order of a set of objects follows their addresses, so that without this
  a program could print another thing after a restart of the spawner.
  """
  persona = _libc.personality(ctypes.c_ulong(0xFFFFFFFF))
  if persona == -1 or persona & _ADDR_NO_RANDOMIZE:
    return False
  wanted = ctypes.c_ulong(persona | _ADDR_NO_RANDOMIZE)
  return _libc.personality(wanted) != -1


def drop_bounding_set() -> None:
  """Root does this while it still may: no exec brings a capability back."""
  for cap in range(64):
    try:
      prctl(_PR_CAPBSET_DROP, cap)
    except OSError:  # beyond the last one, or no right to: then none is held
      break


def drop_capabilities() -> None:
  """Gives up every capability, and raises unless it worked."""
  prctl(_PR_CAP_AMBIENT, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
  header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
  none = (ctypes.c_uint32 * 6)()
  syscall(_CAPSET[MACHINE], header, none)
  if capabilities():
    raise PermissionError(f'capabilities {capabilities():#x} are still held')


def capabilities() -> int:
  """The effective and permitted capabilities of this process, as a mask."""
  mask = 0
  with open('/proc/thread-self/status') as file:
    for line in file:
      if line.startswith(('CapEff:', 'CapPrm:')):
        mask |= int(line.split()[1], 16)
  return mask


def become(uid: int) -> None:
  """Root becomes `uid`, in all of its ids and without groups."""
  os.setgroups([])
  os.setresgid(uid, uid, uid)
  os.setresuid(uid, uid, uid)
  if os.getresuid() != (uid, uid, uid):
    raise PermissionError(f'could not become uid {uid}')
