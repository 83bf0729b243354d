"""Attacks, each with a bystander beside it that must not notice.

What the conformance suite tries anyway is marked there. The fixtures `attack`
and `attack_on` assert that nothing is left on the machine.
"""

from __future__ import annotations

import pathlib
import re
import threading

import bystander
import pytest

from ace_jax import sandbox as sandbox_package
from ace_jax import types
from ace_jax.types import Status

threat = pytest.mark.threat

# --- Escape ----------------------------------------------------------------


@threat('escape: setuid files, device nodes')
def test_no_setuid_and_no_devices(attack):
  execution = attack('''
import os, stat
for name, mode, device in (
    ("disk", stat.S_IFBLK | 0o666, os.makedev(8, 0)),
    ("mem", stat.S_IFCHR | 0o666, os.makedev(1, 1))):
  try: os.mknod(name, mode, device)
  except OSError: continue
  print("made", name)
for folder, _, names in os.walk("/"):
  if folder.startswith(("/proc", "/sys")): continue
  for name in names:
    try: mode = os.lstat(os.path.join(folder, name)).st_mode
    except OSError: continue
    if mode & (stat.S_ISUID | stat.S_ISGID) and not mode & stat.S_IFDIR:
      try: open(os.path.join(folder, name), "rb").close()
      except OSError: continue
      print("setuid", folder, name)
    if stat.S_ISBLK(mode): print("disk", folder, name)
''')
  found = execution.stdout.splitlines()
  # At L2 the host's tree can be listed, but none of it opened.
  assert [line for line in found if not line.startswith('disk /')] == []
  assert execution.status in (Status.OK, Status.TIMEOUT)


@threat('escape: malicious artefacts opened by the host')
def test_artefacts_come_as_bytes(attack, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  execution = attack('''
import io, os, pickle, tarfile, zlib
class Bomb:
  def __reduce__(self): return os.mkdir, ("exploded",)
pickle.dump(Bomb(), open("model.pkl", "wb"))
with tarfile.open("x.tar", "w") as tar:
  info = tarfile.TarInfo("../../escaped"); info.size = 1
  tar.addfile(info, io.BytesIO(b"x"))
open("submission.csv", "wb").write(zlib.compress(bytes(50_000_000)))
open("numpy.py", "w").write("raise SystemExit")
print("\\033]0;owned\\007<script>alert(1)</script>")
''')
  assert execution.status == Status.OK, execution.stderr
  assert {'model.pkl', 'x.tar', 'numpy.py', 'submission.csv'} == set(
      execution.files) - {'program.py'}
  assert all(isinstance(c, bytes) for c in execution.files.values())
  assert len(execution.files['submission.csv']) < 1 << 20
  assert list(tmp_path.glob('*')) in ([], [tmp_path / 'public'])


# --- Exhaustion ------------------------------------------------------------


@threat('exhaustion: disk, inodes, /dev/shm, memfd')
@pytest.mark.parametrize('first, take', [
    pytest.param('fd = os.memfd_create("x")', 'os.write(fd, MIB)', id='memfd'),
    pytest.param('file = open("/dev/shm/x", "wb")', 'file.write(MIB)',
                 id='/dev/shm'),
    pytest.param('shared = mmap.mmap(-1, 1 << 32)', 'shared.write(MIB)',
                 id='shared mapping'),
    pytest.param('shared = mmap.mmap(os.open("/dev/zero", os.O_RDWR), 1 << 32)',
                 'shared.write(MIB)', id='/dev/zero'),
    pytest.param(
        'libc = ctypes.CDLL(None); libc.shmat.restype = ctypes.c_void_p',
        'key = libc.shmget(0, 1 << 20, 0o1600)\n  '
        'if key < 0: raise OSError("no segment")\n  '
        'at = ctypes.c_void_p(libc.shmat(key, None, 0))\n  '
        'ctypes.memset(at, 1, 1 << 20); libc.shmdt(at)',
        id='detached segments'),
    pytest.param(  # a page of them for every 2 MiB of zeros
        'zeros = mmap.mmap(-1, 1 << 43, prot=mmap.PROT_READ, '
        'flags=mmap.MAP_PRIVATE | 0x4000)  # MAP_NORESERVE',
        'for n in range(256): zeros[(256 * mb + n) << 21]',
        id='page tables'),
])
def test_memory_that_is_in_no_heap(attack, sandbox, first, take):
  execution = attack(f'''
import ctypes, mmap, os
MIB = bytes(1 << 20)
{first}
for mb in range(1 << 12):
  {take}
  print(mb, flush=True)
''')
  assert execution.status in (Status.OOM, Status.DISK_LIMIT, Status.ERROR)
  if execution.status == Status.ERROR:  # it was refused, not ill written
    error = execution.stderr.splitlines()[-1]
    assert re.match('PermissionError|FileNotFoundError|OSError', error), error
  taken_mb = int((execution.stdout.split() or ['0'])[-1])
  assert taken_mb <= 2 * sandbox.spec.memory_mb


@threat('exhaustion: thread oversubscription')
def test_many_threads_are_still_one_core(attack, sandbox):
  execution = attack('''
import os, subprocess, sys
many = dict(os.environ, OMP_NUM_THREADS="8", OPENBLAS_NUM_THREADS="8")
subprocess.run([sys.executable, "-c",
  "import numpy as np; x = np.ones((900, 900)); [x @ x for _ in range(9)]"],
  env=many)
''')
  cores = len(sandbox.cores.of(0))
  assert execution.cpu_s <= 1.15 * cores * execution.duration_s + 0.1


@threat('exhaustion: ignoring SIGTERM, stopped trees, sleeping for ever')
def test_a_tree_that_stops_itself(attack):
  execution = attack('''
import os, signal, time
for _ in range(3):
  if os.fork() == 0: os.setsid()
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(1000)
''')
  assert execution.status == Status.TIMEOUT and execution.limit == 'wall'


# --- Tampering -------------------------------------------------------------


@threat('tampering: late writes')
def test_nothing_is_harvested_while_a_daemon_lives(attack):
  """Its lease turns away all who open the file before it is dead."""
  execution = attack('''
import fcntl, os, signal, time
told, tell = os.pipe()
if os.fork() == 0:
  os.setsid()
  signal.signal(signal.SIGIO, signal.SIG_IGN)  # somebody wants to open it
  submission = os.open("submission.csv", os.O_RDWR | os.O_CREAT)
  os.write(submission, b"written in time")
  fcntl.fcntl(submission, fcntl.F_SETLEASE, fcntl.F_WRLCK)
  os.write(tell, b"leased")
  time.sleep(1000)
os.close(tell)
assert os.read(told, 9) == b"leased"
try: os.open("submission.csv", os.O_RDONLY | os.O_NONBLOCK)
except BlockingIOError: print("turned away")
''')
  assert execution.status == Status.OK, execution
  assert execution.stdout == 'turned away\n'
  assert execution.files['submission.csv'] == b'written in time'


@threat('tampering: killing a guard to look like an infrastructure fault')
@pytest.mark.parametrize('target', ['os.getppid()', '1', '-1', '0'])
def test_killing_its_keepers_is_its_own_failure(attack, target):
  execution = attack(f'''
import os, signal, time
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT,
               signal.SIGSEGV, signal.SIGHUP, signal.SIGCHLD):
  try: os.kill({target}, number)
  except OSError: pass
time.sleep(.05)
''')
  assert execution.status != Status.INFRA_ERROR


@threat('tampering: patched clocks, early exits, shadowed modules')
def test_shadowed_modules_shadow_nothing_later(attack, run):
  attack('''
for name in ("numpy", "pandas", "sklearn", "csv", "json", "sitecustomize"):
  open(name + ".py", "w").write("raise SystemExit(7)")
import os; os._exit(0)
''')
  execution = run(bystander.PROGRAM)
  assert execution.stdout == bystander.USUAL and execution.exit_code == 0


@threat('tampering: editing the evaluator')
def test_the_interpreter_cannot_be_edited(attack):
  execution = attack('''
import os, sys, sklearn
for path in (sys.executable, sklearn.__file__, os.__file__, "/etc/ld.so.cache",
             os.path.dirname(os.__file__) + "/sitecustomize.py"):
  for change in (lambda: open(path, "a").close(), lambda: os.remove(path),
                 lambda: os.chmod(path, 0o777), lambda: os.rename(path, "x")):
    try: change()
    except OSError: continue
    print("changed", path)
''')
  assert execution.stdout == '' and execution.status == Status.OK


@threat('tampering: work outside the budget')
def test_cpu_time_of_orphans_counts(attack):
  execution = attack('''
import os
for _ in range(2):
  if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
      while True: pass
    os._exit(0)
  os.wait()
import time; time.sleep(60)
''')
  assert execution.status == Status.TIMEOUT and execution.limit == 'cpu'


# --- Leakage ---------------------------------------------------------------


@threat('leakage: one sample reading another')
def test_a_neighbours_files_and_memory_are_out_of_reach(attack_on):
  needle = 'a5f2' * 8
  _, execution = attack_on(f'''
open("submission.csv", "w").write("{needle}")
open("/tmp/x" if "home" in __import__("os").getcwd() else "x", "w").write(
    "{needle}")
print("{needle}")
''', f'''
import glob, os
needle = "{needle[:16]}" + "{needle[16:]}"
own = os.getpid()
try: pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
except OSError: pids = range(max(own - 300, 1), own + 50)  # none is shown
def look(path):
  try:
    f = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe
    try: text = os.read(f, 1 << 22)
    finally: os.close(f)
  except (OSError, ValueError): return
  if needle.encode() in text and path != "program.py": print(path)
for pid in pids:
  if pid == own: continue
  for name in ("environ", "cmdline", "root/tmp/x", "cwd/submission.csv",
               "fd/1", "fd/2"):
    look(f"/proc/{{pid}}/{{name}}")
  try: os.close(os.open(f"/proc/{{pid}}/mem", os.O_RDONLY))
  except OSError: continue
  print("memory of", pid)
for pattern in ("/tmp/*", "/tmp/*/*", "/tmp/*/*/*", "/dev/shm/*", "/home/*/*",
                "../*", "../../*/*/*"):
  for path in glob.glob(pattern):
    if not path.endswith("program.py"): look(path)
''')
  assert execution.stdout == '' and execution.status == Status.OK


# --- Interference ----------------------------------------------------------


@threat('interference: poisoning a warmed interpreter')
def test_a_poisoned_interpreter_is_thrown_away(attack, run):
  attack('''
import builtins, numpy, sklearn.linear_model, sys
numpy.random.rand = lambda *a: None
sklearn.linear_model.LinearRegression.fit = lambda self, *a: self
builtins.print = lambda *a, **k: None
sys.modules["sklearn"] = None
import gc, ctypes
ctypes.memset(id(0) + 24, 1, 1)
''')
  assert run(bystander.PROGRAM).stdout == bystander.USUAL


@threat('interference: signalling or starving siblings or the executor')
def test_no_priority_is_to_be_had(attack):
  execution = attack('''
import os
for name, take in dict(
    nice=lambda: os.nice(-5),
    fifo=lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(9)),
    cores=lambda: os.sched_setaffinity(0, range(os.cpu_count())),
    others=lambda: os.setpriority(os.PRIO_USER, 0, 19),
).items():
  before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)
  try: take()
  except OSError: continue
  if (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)) != before:
    print(name)
''')
  assert set(execution.stdout.split()) <= {'others'}  # its own, downwards


# --- Host faults -----------------------------------------------------------


@threat('host: 200 programs that each fork a daemon (docker: 50)')
def test_hundreds_of_daemons(sandbox, run):
  total = 50 if sandbox.backend == 'docker' else 200
  program = ('import os, time\nif os.fork() == 0:\n  os.setsid()\n'
             '  if os.fork() == 0: time.sleep(1000)\n  os._exit(0)\nos.wait()')
  def work(start):
    ended.extend(sandbox.run(types.Job(f'daemon/{i}', program, None))
                 for i in range(start, total, 2))

  ended = []
  threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(300)
  assert len(ended) == total
  assert {execution.status for execution in ended} == {Status.OK}
  run('')


@threat('host: wall clock jumping')
def test_no_clock_that_jumps_is_read():
  package = pathlib.Path(sandbox_package.__file__).parent
  for path in package.rglob('*.py'):
    assert not re.search(r'\btime\.time\(|datetime\.', path.read_text()), path
