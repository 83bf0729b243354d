"""The spawner: a small, single-threaded process that forks a guard per run.

It is a parent to the guards and to the template, runs no program itself, and
never reads what a client sends to a guard. When the client goes away, by
whatever death, so does it, and everything below it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import select
import shutil
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from . import cgroups, guard, levels, linux, template, tree, wire
from .setup import Setup

_LAST_S = 3.0  # for guards to clean up after the client has gone


def main(control: socket.socket) -> None:
  """Serves one client until it closes `control`.

  The client sends {'setup', 'levels', 'cgroups'} and gets
  {'level', 'reasons', 'cgroup'}; level is '' when none works. Then it sends
  {'slot'} with a descriptor for each run.
  """
  config, _ = wire.collect(control)
  parent = os.getppid()
  linux.become_subreaper()
  setup = Setup(**{**config['setup'], 'libs': tuple(config['setup']['libs'])})
  reasons = []
  setup = dataclasses.replace(setup, scratch=_make_scratch())
  try:
    if os.geteuid() == 0:
      with _noting(reasons):
        setup = dataclasses.replace(
            setup, uids=levels.take_uids(setup.num_slots))
    setup, more = levels.choose(setup, tuple(config['levels']))
    reasons += more
    if config['cgroups'] and setup.level:
      with _noting(reasons):
        setup = dataclasses.replace(setup, cgroup=cgroups.find())
    if setup.level == 'L3' and not setup.is_root:
      tree.enter_user_namespace()
    hello = {'level': setup.level, 'reasons': reasons,
             'cgroup': setup.cgroup.version if setup.cgroup else None,
             'scratch': setup.scratch}
    if not setup.level:
      wire.post(control, hello)
      return
    requests, setup, pid = _start_template(setup)
    wire.post(control, hello)
    _serve(setup, control, requests, pid, parent)
  finally:
    shutil.rmtree(setup.scratch, ignore_errors=True)
    if setup.cgroup is not None:
      setup.cgroup.sweep(os.getpid())


@contextlib.contextmanager
def _noting(reasons: list[str]):
  """What fails in here is a reason, not the end."""
  try:
    yield
  except OSError as error:
    reasons.append(str(error))


def _make_scratch() -> str:
  """A directory that other uids can pass through, and no stale ones."""
  base = pathlib.Path('/tmp')
  for path in base.glob('ace_jax-*'):
    owner = path.name.removeprefix('ace_jax-')
    with contextlib.suppress(OSError):
      if (owner.isdigit() and path.lstat().st_uid == os.geteuid()
          and not os.path.exists(f'/proc/{owner}')):
        shutil.rmtree(path, ignore_errors=True)
  path = base / f'ace_jax-{os.getpid()}'
  path.mkdir(mode=0o711)
  path.chmod(0o711)
  return str(path)


def _start_template(setup: Setup) -> tuple[socket.socket, Setup, int]:
  ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
  if setup.level != 'L3':
    os.environ['JOBLIB_MULTIPROCESSING'] = '0'  # no /dev/shm to itself
  pid = os.fork()
  if pid == 0:
    _template(setup, theirs)
  theirs.close()
  message, _ = wire.collect(ours)
  return ours, dataclasses.replace(setup, **message), pid


def _template(setup: Setup, requests: socket.socket) -> NoReturn:
  linux.die_with_parent()
  try:
    for fd in map(int, os.listdir('/proc/self/fd')):
      if fd > 2 and fd != requests.fileno():
        with contextlib.suppress(OSError):
          os.close(fd)
    message = {'template_mb': template.warm()}
    wire.post(requests, message)
    template.serve(dataclasses.replace(setup, **message), requests)
  finally:
    sys.stderr.flush()
    os._exit(1)


def _serve(setup: Setup, control: socket.socket, requests: socket.socket,
           template_pid: int, parent: int) -> None:
  alive, alive_end = os.pipe()  # closed when we end
  wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
  signal.signal(signal.SIGCHLD, lambda *_: None)
  signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
  poller = select.poll()
  poller.register(control, select.POLLIN)
  poller.register(wake, select.POLLIN)
  guards: set[int] = set()
  number = 0
  while os.getppid() == parent:
    ready = {fd for fd, _ in poller.poll(1000)}
    if wake in ready:
      os.read(wake, 4096)
      dead = _reap()
      guards -= dead
      if template_pid in dead:
        break
    if control.fileno() not in ready:
      continue
    try:
      message, (fd,) = wire.collect(control)
    except EOFError:
      break
    number += 1
    pid = os.fork()
    if pid == 0:
      try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for mine in (alive_end, wake, wake_end, control.detach()):
          os.close(mine)
        _guard(setup, message, f'{message["slot"]}-{number}', fd, requests,
               alive)
      finally:
        os._exit(1)
    guards.add(pid)
    os.close(fd)
  control.close()  # before anything else is sent here and lost
  os.close(alive_end)  # the guards kill their programs and clean up
  deadline = time.monotonic() + _LAST_S
  while guards and time.monotonic() < deadline:
    guards -= _reap()
    time.sleep(0.002)


def _guard(setup: Setup, message: dict[str, Any], name: str, fd: int,
           requests: socket.socket, alive: int) -> NoReturn:
  with socket.socket(fileno=fd) as job:
    guard.Guard(setup, message['slot'], name, job, requests,
                alive).serve(job)
  os._exit(0)


def _reap() -> set[int]:
  dead = set()
  with contextlib.suppress(ChildProcessError):
    while (pid := os.waitpid(-1, os.WNOHANG)[0]):
      dead.add(pid)
  return dead
