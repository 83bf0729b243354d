"""L3: the namespaces of a run, and the file tree that its program sees.

One small process, the namespaces' init, sets them up, stays as their pid 1
and reaps orphans. The program is forked from the template into them. When
init is killed the kernel kills all that is left, and waiting for init returns
only when nothing is.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from . import linux, seccomp, wire
from .setup import SANDBOX_UID, Setup

HOME = '/home/submission'
# No zero: what one maps shared from it no watchdog sees.
DEVICES = ('null', 'full', 'random', 'urandom')
_NUM_INODES = 16_384
_OWN = linux.NEWNS | linux.NEWNET | linux.NEWIPC | linux.NEWUTS
NAMESPACES = ('pid', 'mnt', 'net', 'ipc', 'uts')  # in the order of the fds


def enter_user_namespace() -> None:
  """A user who is not root gets the right to make the other namespaces."""
  uid, gid = os.getuid(), os.getgid()
  linux.unshare(linux.NEWUSER)
  for name, text in (('setgroups', 'deny'),
                     ('uid_map', f'{SANDBOX_UID} {uid} 1'),
                     ('gid_map', f'{SANDBOX_UID} {gid} 1')):
    with open(f'/proc/self/{name}', 'w') as file:
      file.write(text)


def start(setup: Setup, slot: int, public_dir: str | None,
          channel: socket.socket) -> int:
  """Forks init into a new PID namespace; returns its pid.

  Through the channel come either {'error'} or {'ready'} with descriptors of
  the working directory, of /proc, and of the NAMESPACES.
  """
  linux.unshare(linux.NEWPID)
  pid = os.fork()
  if pid == 0:
    try:
      _init(setup, slot, public_dir, channel)
    except OSError as error:
      wire.post(channel, {'error': str(error)})
    finally:
      os._exit(1)
  return pid


def _init(setup: Setup, slot: int, public_dir: str | None,
          channel: socket.socket) -> NoReturn:
  os.setsid()
  signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
  linux.unshare(_OWN)
  uid = setup.uid(slot)
  fds = [os.open(f'/proc/self/ns/{name}', os.O_RDONLY) for name in NAMESPACES]
  build(setup, uid, public_dir)
  fds = [os.open(HOME, os.O_RDONLY), os.open('/proc', os.O_RDONLY), *fds]
  socket.sethostname('sandbox')
  if setup.is_root:
    linux.drop_bounding_set()
    linux.become(uid)
  linux.drop_capabilities()
  linux.set_dumpable(False)
  linux.die_with_parent()
  linux.no_new_privileges()
  seccomp.install(unix_sockets=True, shared_ipc=False, shared_uid=False,
                  kin=False, metered=True)
  wire.post(channel, {'ready': True}, fds)
  os.closerange(3, 1 << 10)
  while True:
    try:
      os.waitpid(-1, 0)
    except ChildProcessError:
      signal.sigwait({signal.SIGCHLD})


def build(setup: Setup, uid: int, public_dir: str | None) -> None:
  """Mounts the tree and makes it the root. Needs a mount namespace."""
  root = setup.root
  linux.mount(None, '/', None, linux.MS_REC | linux.MS_PRIVATE)
  linux.bind(root, root, read_only=False)
  for name in DEVICES:
    linux.bind(f'/dev/{name}', f'{root}/dev/{name}', read_only=False)

  # One file system of limited size behind all that can be written.
  no_surprises = linux.MS_NOSUID | linux.MS_NODEV
  linux.mount('tmpfs', f'{root}/mnt', 'tmpfs', no_surprises,
              f'size={setup.disk_mb}m,nr_inodes={_NUM_INODES},mode=0755,'
              f'uid={uid},gid={uid}')
  for name, place in (('work', HOME), ('tmp', '/tmp'), ('shm', '/dev/shm')):
    path = f'{root}/mnt/{name}'
    os.mkdir(path, 0o700)
    os.chown(path, uid, uid)
    linux.bind(path, root + place, read_only=False)
  # After those: the cache that holds it may itself be below /tmp.
  os.makedirs(root + setup.runtime, exist_ok=True)
  linux.bind(setup.runtime, root + setup.runtime, read_only=True)
  if public_dir is not None:
    linux.bind(public_dir, f'{root}/home/data', read_only=True)
    os.symlink('../data', f'{root}/mnt/work/data')
  linux.unmount(f'{root}/mnt')

  read_only = no_surprises | linux.MS_NOEXEC | linux.MS_RDONLY
  try:
    linux.mount('proc', f'{root}/proc', 'proc', read_only, 'subset=pid')
  except OSError:  # a kernel before 5.8 shows its own state as well
    linux.mount('proc', f'{root}/proc', 'proc', read_only)
  flags = os.statvfs(root).f_flag & 0x1C0E
  linux.mount(None, root, None, linux.MS_REMOUNT | linux.MS_BIND
              | linux.MS_RDONLY | linux.MS_NOSUID | flags)
  os.chdir(root)
  linux.pivot_root_here()


def join(namespaces: list[int]) -> None:
  """A fork of the template, already in the PID namespace, joins the rest."""
  kinds = (linux.NEWNS, linux.NEWNET, linux.NEWIPC, linux.NEWUTS)
  for fd, kind in zip(namespaces, kinds, strict=True):
    linux.setns(fd, kind)
  os.chdir(HOME)


def own_user_namespace(proc: int) -> None:
  """A user namespace for one program, so that its processes count apart.

  Args:
    proc: descriptor of /proc/self, taken where /proc can be written.
  """
  linux.unshare(linux.NEWUSER)
  for name in ('uid_map', 'gid_map'):
    fd = os.open(name, os.O_WRONLY, dir_fd=proc)
    os.write(fd, f'{SANDBOX_UID} {SANDBOX_UID} 1'.encode())
    os.close(fd)
