"""The warmed interpreter: imports the libraries once, then only forks.

It has run no program and has one thread. A fork of it has scikit-learn
imported within milliseconds.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from . import confine, linux, meters, program, tree, wire
from .setup import Setup

MODULES = (
    'csv', 'json', 'pathlib', 'warnings', 'collections', 'tempfile', 'decimal',
    'multiprocessing', 'concurrent.futures', 'numpy', 'numpy.random', 'pandas',
    'scipy.sparse', 'scipy.stats', 'scipy.optimize', 'joblib',
    'sklearn.ensemble', 'sklearn.linear_model', 'sklearn.preprocessing',
    'sklearn.pipeline', 'sklearn.compose', 'sklearn.impute', 'sklearn.svm',
    'sklearn.neighbors', 'sklearn.tree', 'sklearn.naive_bayes',
    'sklearn.model_selection', 'sklearn.feature_extraction.text',
    'sklearn.feature_selection', 'sklearn.decomposition', 'sklearn.metrics',
    'sklearn.cluster', 'sklearn.discriminant_analysis', 'sklearn.dummy',
    'sklearn.neural_network', 'sklearn.gaussian_process', 'sklearn.multiclass',
    'sklearn.calibration', 'sklearn.datasets',
)


def warm() -> float:
  """Imports the libraries; returns the memory they take, in MiB."""
  for name in MODULES:
    importlib.import_module(name)
  threads = len(os.listdir('/proc/self/task'))
  if threads != 1:
    raise RuntimeError(f'the template has {threads} threads; a fork of it '
                       'would find their locks taken')
  gc.collect()
  gc.freeze()  # a collection in a fork would copy every page
  with open('/proc/self/status') as file:
    return meters.in_status_mb(file.read())


def serve(setup: Setup, requests: socket.socket) -> NoReturn:
  """Forks a program per request, until the spawner is gone.

  A request holds slot, seed, cores, threads, public_dir, work, and the
  descriptors of the channel to the guard, of both output pipes, of the source,
  of a pipe on which the program waits for its start, and at L3 of the run's
  namespaces. What comes back through the channel: {'keeper': its pid or None},
  {'forked': the program's pid}, {'ready'} from a program that is confined and
  waits, {'exit', 'cpu_s'}, or {'error'}.
  """
  read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
  signal.signal(signal.SIGCHLD, lambda *_: None)
  signal.set_wakeup_fd(write, warn_on_full_buffer=False)
  own_pids = os.open('/proc/self/ns/pid', os.O_RDONLY)
  running: dict[int, socket.socket] = {}  # pid → channel
  poller = select.poll()
  poller.register(requests, select.POLLIN)
  poller.register(read, select.POLLIN)
  while True:
    ready = {fd for fd, _ in poller.poll()}
    if read in ready:
      with contextlib.suppress(BlockingIOError):
        os.read(read, 4096)
    _reap(running)
    if requests.fileno() not in ready:
      continue
    try:
      request, fds = wire.collect(requests)
    except EOFError:
      os._exit(0)
    channel = socket.socket(fileno=fds[0])
    try:
      pid = _fork(setup, request, channel, fds[1:], own_pids)
      keeper = pid if _needs_keeper(setup) else None
      wire.post(channel, {'keeper': keeper}
                | ({} if keeper else {'forked': pid}))
    except OSError as error:
      with contextlib.suppress(OSError):
        wire.post(channel, {'error': str(error)})
      channel.close()
    else:
      if keeper is None:
        running[pid] = channel
      else:  # it is the one to report
        channel.close()
    for fd in fds[1:]:
      os.close(fd)


def _reap(running: dict[int, socket.socket]) -> None:
  with contextlib.suppress(ChildProcessError):
    while (ended := os.wait4(-1, os.WNOHANG))[0]:
      pid, status, usage = ended
      if pid in running:
        with running.pop(pid) as channel:
          _report_exit(channel, status, usage.ru_utime + usage.ru_stime)


def _report_exit(channel: socket.socket, status: int, cpu_s: float) -> None:
  with contextlib.suppress(OSError):  # the guard may be gone
    wire.post(channel, {'exit': os.waitstatus_to_exitcode(status),
                        'cpu_s': cpu_s})


def _needs_keeper(setup: Setup) -> bool:
  """Whether a process stays between us and the program.

  Without a PID namespace, to collect orphans. With one in a user namespace,
  because there we could enter it but not leave it again.
  """
  return setup.level != 'L3' or not setup.is_root


def _fork(setup: Setup, request: dict[str, Any], channel: socket.socket,
          fds: list[int], own_pids: int) -> int:
  if not _needs_keeper(setup):
    linux.setns(fds[4], linux.NEWPID)  # for children, not for us
  try:
    pid = os.fork()
    if pid == 0:
      try:
        os.sched_setaffinity(0, request['cores'])
        if _needs_keeper(setup):
          _keep(channel, fds[4] if setup.level == 'L3' else None)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _become_program(setup, request, channel, fds)
      finally:
        os._exit(1)
  finally:
    if not _needs_keeper(setup):
      linux.setns(own_pids, linux.NEWPID)
  return pid


def _keep(channel: socket.socket, pid_namespace: int | None) -> None:
  """This process stays, as the program's parent and that of orphans.

  Returns in the program's process only. The keeper reports how it ended, and
  after {'finish'}, when the guard has killed all, that nothing is left.
  """
  linux.become_subreaper()
  read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
  signal.set_wakeup_fd(write, warn_on_full_buffer=False)
  if pid_namespace is not None:
    linux.setns(pid_namespace, linux.NEWPID)
  main = os.fork()
  if main == 0:
    return
  wire.post(channel, {'forked': main})
  os.setsid()
  os.closerange(3, channel.fileno())
  poller = select.poll()
  for fd in (read, channel.fileno()):
    poller.register(fd, select.POLLIN)
  cpu_s, finishing, alive = 0.0, False, True
  while alive or not finishing:
    ready = {fd for fd, _ in poller.poll()}
    if read in ready:
      os.read(read, 4096)
    if channel.fileno() in ready:
      try:
        finishing = 'finish' in wire.collect(channel)[0]
      except EOFError:  # the guard is gone
        meters.kill_descendants(os.getpid())
        finishing = True
    try:
      while (ended := os.wait4(-1, os.WNOHANG))[0]:
        pid, status, usage = ended
        cpu_s += usage.ru_utime + usage.ru_stime
        if pid == main:
          _report_exit(channel, status, cpu_s)
    except ChildProcessError:
      alive = False
  with contextlib.suppress(OSError):
    wire.post(channel, {'empty': True, 'cpu_s': cpu_s})
  os._exit(0)


def _become_program(setup: Setup, request: dict[str, Any],
                    channel: socket.socket, fds: list[int]) -> NoReturn:
  """Confines itself, says so, waits for the guard's go, runs the source."""
  slot, work = request['slot'], request['work']
  try:
    os.setsid()
    with open(os.dup(fds[2]), 'rb') as file:
      source = file.read().decode('utf-8', 'replace')
    null = os.open('/dev/null', os.O_RDWR)
    for source_fd, fd in ((null, 0), (fds[0], 1), (fds[1], 2)):
      os.dup2(source_fd, fd)
    if setup.level == 'L3':
      home, tmp = tree.HOME, '/tmp'
      confine.enter_l3(setup, slot, fds[5:])
    else:
      home, tmp = f'{work}/submission', f'{work}/tmp'
      os.chdir(home)
      confine.enter_l2(setup, slot, work, request['public_dir'])
    with open(program.NAME, 'w', encoding='utf-8',
              errors='replace') as file:
      file.write(source)
  except OSError as error:
    wire.post(channel, {'error': str(error)})
    os._exit(1)
  wire.post(channel, {'ready': True})
  if not os.read(fds[3], 1):
    os._exit(1)
  channel.detach()
  os.closerange(3, 1 << 16)
  confine.limit_files(setup)
  sys.setrecursionlimit(1000)
  program.run(source, seed=request['seed'], home=home, tmp=tmp,
              threads=request['threads'])
