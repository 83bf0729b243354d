"""Our own system call filter, as raw BPF.

It refuses (EPERM) what a data-science program never needs and what past
escapes went through, and everything newer than we know of (ENOSYS). It is the
same at L2 and L3, with a few more refusals where a resource is shared.
"""

from __future__ import annotations

import ctypes
import errno
from typing import Any

from . import linux

# name → number on (x86_64, aarch64); None: no such call there.
_CALLS = dict(
    ptrace=(101, 117), syslog=(103, 116), personality=(135, 92),
    uselib=(134, None), sysfs=(139, None), vhangup=(153, 58),
    modify_ldt=(154, None), pivot_root=(155, 41), _sysctl=(156, None),
    adjtimex=(159, 171), chroot=(161, 51), acct=(163, 89),
    settimeofday=(164, 170), mount=(165, 40), umount2=(166, 39),
    swapon=(167, 224), swapoff=(168, 225), reboot=(169, 142),
    sethostname=(170, 161), setdomainname=(171, 162), iopl=(172, None),
    ioperm=(173, None), create_module=(174, None), init_module=(175, 105),
    delete_module=(176, 106), query_module=(178, None), quotactl=(179, 60),
    nfsservctl=(180, 42), lookup_dcookie=(212, 18), clock_settime=(227, 112),
    mbind=(237, 235), set_mempolicy=(238, 237), get_mempolicy=(239, 236),
    kexec_load=(246, 104), add_key=(248, 217), request_key=(249, 218),
    keyctl=(250, 219), migrate_pages=(256, 238), unshare=(272, 97),
    move_pages=(279, 239), perf_event_open=(298, 241),
    fanotify_init=(300, 262), fanotify_mark=(301, 263),
    name_to_handle_at=(303, 264), open_by_handle_at=(304, 265),
    clock_adjtime=(305, 266), setns=(308, 268), process_vm_readv=(310, 270),
    process_vm_writev=(311, 271), kcmp=(312, 272), finit_module=(313, 273),
    kexec_file_load=(320, 294), bpf=(321, 280), userfaultfd=(323, 282),
    io_uring_setup=(425, 425), io_uring_enter=(426, 426),
    io_uring_register=(427, 427), open_tree=(428, 428),
    move_mount=(429, 429), fsopen=(430, 430), fsconfig=(431, 431),
    fsmount=(432, 432), fspick=(433, 433), pidfd_getfd=(438, 438),
    process_madvise=(440, 440), mount_setattr=(442, 442),
    quotactl_fd=(443, 443), memfd_secret=(447, 447),
    process_mrelease=(448, 448), set_mempolicy_home_node=(450, 450),
    # Another identity. There is none to take, but the code is reachable.
    setuid=(105, 146), setgid=(106, 144), setreuid=(113, 145),
    setregid=(114, 143), setgroups=(116, 159), setresuid=(117, 147),
    setresgid=(119, 149), setfsuid=(122, 151), setfsgid=(123, 152),
    capset=(126, 91),
    # A program stays on the cores of its slot.
    sched_setaffinity=(203, 122),
)

# Where there is no IPC namespace these would outlive the run; and what they
# hold no watchdog can see.
_IPC = dict(
    shmget=(29, 194), semget=(64, 190), msgget=(68, 186),
    mq_open=(240, 180))
# Pages that need not be in any process's resident set. Shared anonymous
# mappings are such too, see `build`.
_UNMETERED = dict(memfd_create=(319, 279))
# Where the program has the user's own uid it owns the user's own files.
_SHARED_UID = dict(
    chmod=(90, None), fchmod=(91, 52), chown=(92, None), fchown=(93, 55),
    lchown=(94, None), fchmodat=(268, 53), fchownat=(260, 54),
    fchmodat2=(452, 452), utime=(132, None), utimes=(235, None),
    futimesat=(261, None), utimensat=(280, 88), setxattr=(188, 5),
    lsetxattr=(189, 6), fsetxattr=(190, 7), removexattr=(197, 14),
    lremovexattr=(198, 15), fremovexattr=(199, 16))
# Where a process of ours has the program's uid: it must not be starved.
_KIN = dict(
    setpriority=(141, 140), ioprio_set=(251, 30), sched_setparam=(142, 118),
    sched_setscheduler=(144, 119), sched_setattr=(314, 274))

_ARCH = {'x86_64': 0xC000003E, 'aarch64': 0xC00000B7}
_SOCKET = {'x86_64': 41, 'aarch64': 198}
_SOCKETPAIR = {'x86_64': 53, 'aarch64': 199}
_CLONE = {'x86_64': 56, 'aarch64': 220}
_IOCTL = {'x86_64': 16, 'aarch64': 29}
_PRLIMIT = {'x86_64': 302, 'aarch64': 261}
_MMAP = {'x86_64': 9, 'aarch64': 222}
_CLONE3 = 435
_NEWEST = 462  # mseal; what comes after it is unknown to us
_X32 = 0x40000000
_AF_UNIX = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_NEW_NAMESPACE = 0x7E020000  # CLONE_NEW*; clone() has no bit for NEWTIME

_LD, _AND, _JEQ, _JGE, _JSET, _RET = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_EPERM = 0x00050000 | errno.EPERM
_ENOSYS = 0x00050000 | errno.ENOSYS
_NR, _ARCH_AT, _ARG0, _ARG1, _ARG3 = 0, 4, 16, 24, 40


class _Instruction(ctypes.Structure):
  _fields_ = [('code', ctypes.c_uint16), ('jt', ctypes.c_uint8),
              ('jf', ctypes.c_uint8), ('k', ctypes.c_uint32)]


class Filter(ctypes.Structure):
  """struct sock_fprog."""

  _fields_ = [('len', ctypes.c_uint16),
              ('filter', ctypes.POINTER(_Instruction))]


def build(*, unix_sockets: bool, shared_ipc: bool, shared_uid: bool,
          kin: bool, metered: bool) -> Filter:
  """The filter. Every test is local: if it hits, return, else fall through.

  Args:
    unix_sockets: whether AF_UNIX sockets may be made and so connected. Only
      where a network namespace keeps the abstract ones of the host away.
    shared_ipc: System V IPC and message queues are the host's.
    shared_uid: the uid is the user's, who has files.
    kin: a process that is not the program's has its uid.
    metered: a cgroup counts memory that no process has mapped.
  """
  denied = dict(_CALLS)
  for applies, more in ((shared_ipc or not metered, _IPC),
                        (shared_uid, _SHARED_UID), (kin, _KIN),
                        (not metered, _UNMETERED)):
    denied.update(more if applies else {})
  machine = linux.MACHINE
  column = ('x86_64', 'aarch64').index(machine)
  numbers = sorted(n[column] for n in denied.values() if n[column] is not None)

  load_nr = (_LD, 0, 0, _NR)
  code = [(_LD, 0, 0, _ARCH_AT), (_JEQ, 1, 0, _ARCH[machine]),
          (_RET, 0, 0, _EPERM), load_nr,
          (_JGE, 0, 1, _X32), (_RET, 0, 0, _EPERM),
          (_JGE, 0, 1, _NEWEST + 1), (_RET, 0, 0, _ENOSYS),
          # Its flags lie in memory, out of a filter's sight; libc falls back.
          (_JEQ, 0, 1, _CLONE3), (_RET, 0, 0, _ENOSYS)]
  for number in numbers:
    code += [(_JEQ, 0, 1, number), (_RET, 0, 0, _EPERM)]
  # Calls that depend on an argument: load it, test it, answer for good.
  code += _on(_CLONE[machine], _ARG0, (_JSET, 0, 1, _NEW_NAMESPACE))
  code += _on(_PRLIMIT[machine], _ARG0, (_JEQ, 1, 0, 0))
  code += _on(_SOCKETPAIR[machine], _ARG0, (_JEQ, 1, 0, _AF_UNIX))
  if unix_sockets:
    code += _on(_SOCKET[machine], _ARG0, (_JEQ, 1, 0, _AF_UNIX))
  else:
    code += [(_JEQ, 0, 1, _SOCKET[machine]), (_RET, 0, 0, _EPERM)]
  if not metered:
    both = _MAP_SHARED | _MAP_ANONYMOUS
    code += _on(_MMAP[machine], _ARG3, (_JEQ, 0, 1, both), mask=both)
  for request in (_TIOCSTI, _TIOCLINUX):
    code += _on(_IOCTL[machine], _ARG1, (_JEQ, 0, 1, request), more=True)
  code.append((_RET, 0, 0, _ALLOW))
  instructions = (_Instruction * len(code))(*(_Instruction(*c) for c in code))
  result = Filter(len(code), instructions)
  result.kept = instructions  # the pointer alone would not keep them alive
  return result


def docker_profile() -> dict[str, Any]:
  """The same refusals as a profile of Docker's, for all of a container.

  Less what PID 1 needs; it gives that up before a program's first line.
  """
  needed = {'personality', 'sched_setaffinity', 'capset'}
  return {
      'defaultAction': 'SCMP_ACT_ALLOW',
      'syscalls': [{
          'names': sorted(set(_CALLS) - needed),
          'action': 'SCMP_ACT_ERRNO',
      }],
  }


def _on(number: int, arg: int, test: tuple[int, int, int, int], *,
        mask: int = 0xFFFFFFFF, more: bool = False
        ) -> list[tuple[int, int, int, int]]:
  """If the call is `number` and the test on its argument falls: EPERM.

  `test` sees the bits of `mask` and must skip one instruction when the call
  is fine. With `more` other tests of the same call follow.
  """
  last = (_LD, 0, 0, _NR) if more else (_RET, 0, 0, _ALLOW)
  return [(_JEQ, 0, 5, number), (_LD, 0, 0, arg), (_AND, 0, 0, mask), test,
          (_RET, 0, 0, _EPERM), last]


def install(**kwargs: bool) -> None:
  """Filters this process and its children for good."""
  linux.install_filter(build(**kwargs))
