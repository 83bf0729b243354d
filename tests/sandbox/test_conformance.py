"""What every backend and level promises, one program per promise.

After each the fixtures assert that no process, cgroup, mount or file stays;
those that are marked run beside a bystander, which must not notice.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket

import pytest

from ace_jax.types import Status

threat = pytest.mark.threat

# --- How a program ends ----------------------------------------------------


def test_ok(run, sandbox):
  execution = run('print("hello")\nopen("submission.csv", "w").write("a\\n1")')
  assert execution.status == Status.OK
  assert execution.exit_code == 0 and execution.limit is None
  assert execution.stdout == 'hello\n' and execution.stderr == ''
  assert execution.files == {'submission.csv': b'a\n1'}
  assert execution.backend == sandbox.backend


def test_level_is_recorded(run, sandbox):
  assert run('').level == sandbox.level
  assert sandbox.level in sandbox.describe()


def test_traceback_shows_the_programs_own_lines(run):
  execution = run('def f():\n  return 1 / 0  # here\nf()\n')
  assert execution.status == Status.ERROR and execution.exit_code == 1
  assert 'File "program.py", line 2, in f' in execution.stderr
  assert '1 / 0  # here' in execution.stderr
  assert 'spawner' not in execution.stderr


@pytest.mark.parametrize('program, code', [
    ('import sys; sys.exit(3)', 3),
    ('import sys; sys.exit()', 0),
    ('import sys; sys.exit("no")', 1),
    ('import os; os._exit(5)', 5),
    ('import os; os.kill(os.getpid(), 9)', -9),
    ('import os; os.abort()', -6),
    ('def f(:', 1),
])
def test_exit_codes(run, program, code):
  execution = run(program)
  assert execution.exit_code == code
  assert execution.status == (Status.ERROR if code else Status.OK)


def test_cpu_limit(run):
  execution = run('while True: pass')
  assert execution.status == Status.TIMEOUT and execution.limit == 'cpu'
  assert 1.5 <= execution.cpu_s < 2.0


def test_cpu_limit_sums_over_processes(run):
  execution = run('''
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(3):
  if not os.fork(): break
while True: pass
''')
  assert execution.status == Status.TIMEOUT and execution.limit == 'cpu'
  assert execution.cpu_s < 2.0


@threat('exhaustion: ignoring SIGTERM, stopped trees, sleeping for ever')
def test_wall_deadline(attack):
  """It sleeps, ignores what can be ignored, and its child is stopped."""
  execution = attack('''
import os, signal, time
for number in (15, 2, 1, 14): signal.signal(number, signal.SIG_IGN)
if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(60)
''')
  assert execution.status == Status.TIMEOUT and execution.limit == 'wall'
  assert 5.0 <= execution.duration_s < 5.5
  assert execution.cpu_s < 0.5


def test_output_before_a_timeout_is_kept(run):
  assert run('print("begun")\nwhile True: pass').stdout == 'begun\n'


@threat('exhaustion: memory of one process, many, children only')
@pytest.mark.parametrize('program', [
    'x = []\nwhile True: x.append(bytearray(b"x") * (1 << 20))',
    # Only a child grows; its parent would end well.
    'import os\nif os.fork() == 0:\n'
    '  x = []\n  while True: x.append(bytearray(b"x") * (1 << 20))\n'
    'os.wait()',
    # Many, each of them small enough.
    'import os, time\nfor _ in range(8):\n  if not os.fork(): break\n'
    'x = bytearray(b"x") * (60 << 20)\ntime.sleep(9)',
])
def test_memory_limit(attack, program):
  execution = attack(program)
  assert execution.status == Status.OOM and execution.limit == 'memory'


def test_memory_is_measured(run):
  execution = run('x = bytearray(b"x") * (100 << 20)\nimport time\n'
                  'time.sleep(.1)')
  assert 95 < execution.peak_memory_mb < 160


def test_memory_limit_spares_forks_that_share(run):
  execution = run('''
import os, time
x = bytearray(b"x") * (120 << 20)
for _ in range(4):
  if not os.fork():
    time.sleep(.3)
    os._exit(0)
for _ in range(4): os.wait()
''')
  assert execution.status == Status.OK


@threat('exhaustion: endless output, endless line, invalid UTF-8')
@pytest.mark.parametrize('program', [
    'while True: print("x" * 1000)',
    'import sys\nwhile True: sys.stdout.write("x" * 100)',
    'import os\nwhile True: os.write(2, b"\\xff" * 9999)',
])
def test_endless_output(attack, program):
  execution = attack(program)
  assert execution.status == Status.OUTPUT_LIMIT
  assert execution.limit == 'output'
  assert len(execution.stdout) < 66 << 10
  assert len(execution.stderr) < 66 << 10


@threat('exhaustion: endless output, endless line, invalid UTF-8')
def test_long_output_keeps_head_and_tail(attack):
  execution = attack('print("head", "x" * 100_000, "tail")')
  assert execution.status == Status.OUTPUT_LIMIT
  assert execution.stdout.startswith('head x')
  assert execution.stdout.endswith('x tail\n')
  assert 'bytes left out' in execution.stdout


@threat('exhaustion: endless output, endless line, invalid UTF-8')
def test_invalid_utf8_is_replaced(attack):
  assert attack('import os; os.write(1, b"a\\xffb")').stdout == 'a\ufffdb'


@threat('exhaustion: disk, inodes, /dev/shm, memfd')
@pytest.mark.parametrize('program', [
    'with open("big", "wb") as f:\n  while True: f.write(bytes(1 << 20))',
    'with open("/tmp/big" if "home" in __import__("os").getcwd() else '
    '"../tmp/big", "wb") as f:\n  while True: f.write(bytes(1 << 20))',
    'for i in range(99):\n  with open(str(i), "wb") as f: '
    'f.write(bytes(1 << 20))\n__import__("time").sleep(1); 1/0',
])
def test_disk_limit(attack, program):
  execution = attack(program)
  assert execution.status == Status.DISK_LIMIT and execution.limit == 'disk'


@threat('exhaustion: disk, inodes, /dev/shm, memfd')
def test_inode_limit(attack):
  execution = attack('for i in range(10 ** 6): open(str(i), "w").close()')
  assert execution.status in (Status.DISK_LIMIT, Status.TIMEOUT)


@threat('exhaustion: fork and thread bombs')
@pytest.mark.parametrize('program', [
    'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass',
    'import threading, time\n'
    'while True: threading.Thread(target=time.sleep, args=(60,), '
    'daemon=True).start()',
])
def test_fork_and_thread_bombs(attack, program):
  execution = attack(program)
  assert execution.status in (Status.TIMEOUT, Status.ERROR)
  assert execution.limit in ('cpu', 'wall', None)


@threat('exhaustion: output held open by a daemon')
def test_daemon_that_holds_the_output_open(attack):
  execution = attack('''
import os, time
if os.fork() == 0:
  os.setsid()
  if os.fork() == 0:
    time.sleep(60)
  os._exit(0)
os.wait()
print("done")
''')
  assert execution.status == Status.OK and execution.stdout == 'done\n'
  assert execution.duration_s < 1.0


# --- What it gets ----------------------------------------------------------


def test_public_data_is_readable_and_read_only(run, sandbox, public_dir):
  execution = run('''
print(open("data/train.csv").read())
for path in ("data/train.csv", "data/new"):
  try: open(path, "a").write("x")
  except OSError as error: print(type(error).__name__)
  else: print("written")
''')
  assert 'id,x' in execution.stdout and 'written' not in execution.stdout
  assert (public_dir / 'train.csv').read_text() == 'id,x\n1,2\n'
  if sandbox.level in ('L3', 'container'):
    execution = run('import os; print(os.getcwd(), os.listdir("/home/data"))')
    assert execution.stdout == "/home/submission ['train.csv']\n"


def test_without_public_data(run):
  assert run('import os; print(os.listdir("."))',
             data=False).stdout == "['program.py']\n"


FIT = '''
import numpy as np
from sklearn.ensemble import RandomForestClassifier
rng = np.random.rand(60, 4)
model = RandomForestClassifier(20).fit(rng, rng[:, 0] > .5)
print(hash("a"), set("abcdef"), repr(model.predict_proba(rng).sum(0)))
import random; print(random.random(), np.random.rand())
print(np.random.default_rng().random(), np.random.RandomState().rand())
'''


def test_sklearn_is_warm(run):
  execution = run('import sklearn, pandas\n'
                  'from sklearn.linear_model import LogisticRegression\n'
                  'LogisticRegression().fit([[0.], [1.]], [0, 1])')
  assert execution.status == Status.OK
  assert execution.duration_s < 0.5


def test_seed_decides_everything(run):
  first, second, other = run(FIT, 1), run(FIT, 1), run(FIT, 2)
  assert first.status == Status.OK, first.stderr
  assert first.stdout == second.stdout != other.stdout


def test_children_by_exec(run):
  execution = run('import subprocess, sys\nprint(subprocess.run([sys.executa'
                  'ble, "-c", "print(6 * 7)"], capture_output=True, text=True'
                  ', check=True).stdout)')
  assert execution.stdout.strip() == '42', execution.stderr


def test_n_jobs(run):
  execution = run('''
from sklearn.ensemble import RandomForestClassifier
RandomForestClassifier(4, n_jobs=-1).fit([[0.], [1.]], [0, 1])
''')
  assert execution.status == Status.OK, execution.stderr


def test_output_is_not_buffered_over_a_thread(run):
  execution = run('import threading\n'
                  'threading.Timer(.05, print, ["late"]).start()')
  assert execution.stdout == 'late\n'


# --- What it must not get --------------------------------------------------


@threat('escape: inherited descriptors and environment')
def test_environment_is_empty(attack, monkeypatch):
  monkeypatch.setenv('API_KEY', 'secret')
  execution = attack('import json, os; print(json.dumps(dict(os.environ)))')
  assert set(json.loads(execution.stdout)) == {
      'HOME', 'LANG', 'LOKY_MAX_CPU_COUNT', 'MKL_NUM_THREADS',
      'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PYTHONHASHSEED', 'TMPDIR'}


@threat('escape: inherited descriptors and environment')
def test_no_descriptors(attack):
  execution = attack('''
import os
for fd in range(3, 300):
  try: print(fd, os.fstat(fd))
  except OSError: pass
''')
  assert execution.stdout == ''


@threat('escape: setuid files, device nodes')
def test_not_root_and_no_capabilities(attack):
  execution = attack('''
import ctypes, os
print(os.getresuid().count(0), os.getresgid().count(0), 0 in os.getgroups())
libc = ctypes.CDLL(None)
print([libc.prctl(24 - 1, c, 0, 0, 0) for c in range(41)].count(1))
print(libc.prctl(39, 0, 0, 0, 0), libc.prctl(21, 0, 0, 0, 0))
try: os.setuid(0)
except PermissionError: print("no")
''')
  assert execution.stdout == '0 0 False\n0\n1 2\nno\n', execution.stderr


SECRETS = ('/root', '/etc/shadow', '/etc/passwd', '/home', '/var/run',
           '/run/docker.sock', '/sys', '/tmp', '/boot', '/usr/bin',
           os.path.expanduser('~'), os.path.dirname(__file__))


@threat('leakage: private answers through mounts, names, order, times')
def test_no_file_of_the_host(attack, sandbox, tmp_path):
  secrets = set(SECRETS)
  if sandbox.level == 'container':
    secrets -= {'/sys'}  # without the host's files, but there
  secret = tmp_path / 'private.csv'
  secret.write_text('needle')
  execution = attack(f'''
import os
for path in {(*secrets, str(secret))!r}:
  try:
    found = os.listdir(path) if os.path.isdir(path) else open(path).read()
  except OSError: continue
  if path not in ("/home", "/tmp") or set(found) - {{"data", "submission"}}:
    print(path, found)
''', data=True)
  assert execution.stdout == '' and execution.status == Status.OK


@threat('leakage: the data files of packages')
def test_no_bundled_data(attack):
  execution = attack('from sklearn.datasets import load_wine\nload_wine()')
  assert execution.status == Status.ERROR
  execution = attack('''
import os, sys
base = os.path.dirname(os.__file__)
for folder, _, names in os.walk(base):
  for name in names:
    if name.endswith((".csv", ".csv.gz", ".npz", ".npy", ".arff", ".jpg")):
      print(os.path.join(folder, name))
''')
  assert execution.stdout == '' and execution.status == Status.OK


@threat('leakage: network')
@threat('escape: the Docker socket, metadata addresses, abstract sockets')
def test_no_network(attack):
  server = socket.create_server(('127.0.0.1', 0))
  hidden = socket.socket(socket.AF_UNIX)
  hidden.bind('\0ace_jax-test')
  hidden.listen()
  with server, hidden:
    execution = attack(f'''
import socket
def attempt(name, family, kind, address):
  try:
    with socket.socket(family, kind) as s:
      s.settimeout(1)
      s.connect(address)
  except OSError: return
  print("reached", name)
attempt("loopback", socket.AF_INET, socket.SOCK_STREAM,
        ("127.0.0.1", {server.getsockname()[1]}))
attempt("udp", socket.AF_INET, socket.SOCK_DGRAM, ("8.8.8.8", 53))
attempt("metadata", socket.AF_INET, socket.SOCK_STREAM,
        ("169.254.169.254", 80))
attempt("v6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 80))
attempt("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\\0ace_jax-test")
attempt("vsock", socket.AF_VSOCK, socket.SOCK_STREAM, (2, 80))
attempt("netlink", socket.AF_NETLINK, socket.SOCK_RAW, (0, 0))
a, b = socket.socketpair()  # what multiprocessing needs
''')
  assert execution.stdout == '' and execution.status == Status.OK


@threat('escape: new namespaces, io_uring, vsock, keyctl, ptrace, bpf')
def test_kernel_interfaces_are_refused(attack):
  execution = attack('''
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = dict(unshare_user=(272, 0x10000000), unshare_net=(272, 0x40000000),
  clone_user=(56, 0x10000011, 0, 0, 0, 0),
  ptrace=(101, 0, 0, 0, 0), bpf=(321, 0, 0, 0), keyctl=(250, 0, 0),
  io_uring=(425, 1, 0), mount=(165, 0, 0, 0, 0, 0), chroot=(161, b"/"),
  userfaultfd=(323, 0), perf=(298, 0, 0, -1, -1, 0), setns=(308, 0, 0),
  personality=(135, 0), affinity=(203, 0, 128, bytes(128)),
  handle=(304, 0, 0, 0), pidfd_getfd=(438, 0, 0, 0), reboot=(169, 0, 0, 0))
for name, args in calls.items():
  result = libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a
                          for a in args))
  if name == "clone_user" and result == 0: libc._exit(0)
  if result != -1 or ctypes.get_errno() != 1:
    print(name, result, ctypes.get_errno())
''' if os.uname().machine == 'x86_64' else '')
  assert execution.stdout == '' and execution.status == Status.OK


@threat('escape: writes to /proc/sys and sysrq')
def test_proc_and_sys_cannot_be_written(attack):
  before = pathlib.Path('/proc/sys/kernel/core_pattern').read_text()
  execution = attack('''
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
             "/sys/kernel/uevent_helper", "/proc/sys/vm/drop_caches"):
  try: open(path, "w").write("x")
  except OSError: continue
  print("wrote", path)
''')
  assert execution.stdout == '' and execution.status == Status.OK
  assert pathlib.Path('/proc/sys/kernel/core_pattern').read_text() == before


@threat('leakage: state between runs')
def test_no_state_between_runs(attack, sandbox):
  attack('''
for path in ("/tmp/x", "/dev/shm/x", "../tmp/x", "x"):
  try: open(path, "w").write("mark")
  except OSError: pass
''')
  execution = attack('''
import os
for path in ("/tmp/x", "/dev/shm/x", "../tmp/x", "x"):
  if os.path.exists(path): print(path)
import ctypes; libc = ctypes.CDLL(None)
''')
  assert execution.stdout == ''


# --- What is harvested -----------------------------------------------------


@threat('tampering: submissions that point at other files')
@pytest.mark.parametrize('program', [
    'import os; os.symlink("/etc/passwd", "submission.csv")',
    'import os; os.symlink("program.py", "submission.csv")',
    'import os; os.mkdir("submission.csv")',
    'import os; os.mkfifo("submission.csv")',
    'open("submission.csv", "w").truncate(1 << 40)',
    'import socket\n'
    'try: socket.socket(socket.AF_UNIX).bind("submission.csv")\n'
    'except OSError: pass',
])
def test_only_plain_files_are_harvested(attack, program):
  execution = attack(program)
  # At L2 the file size limit leaves an empty file of the sparse one.
  assert not execution.files.get('submission.csv')


@threat('exhaustion: submissions that are huge, sparse, special, malformed')
def test_harvest_is_bounded(attack):
  execution = attack('''
for i in range(100): open(f"{i:03}.txt", "w").write("x")
open("big.bin", "wb").write(bytes(2 << 20))
open("submission.csv", "wb").write(bytes(3 << 20))
open("bad\\nname", "w").write("x")
''')
  assert len(execution.files['submission.csv']) == 3 << 20
  assert 'big.bin' not in execution.files
  assert 'bad\nname' not in execution.files
  assert len(execution.files) == 33


def test_deep_directories_are_removed(run):
  execution = run('''
import os
for _ in range(3000):
  os.mkdir("d"); os.chdir("d")
''')
  assert execution.status in (Status.OK, Status.DISK_LIMIT)


# --- Neighbours ------------------------------------------------------------

KILLER = '''
import os, time
own = {os.getpid()}
for pid in [-1, *range(1, 40_000)]:
  if pid in own: continue
  for number in (19, 9):
    try: os.kill(pid, number)
    except OSError: pass
time.sleep(.2)
'''


@threat('interference: signalling or starving siblings or the executor')
def test_neighbours_and_bystanders_are_safe(attack_on, run, sandbox):
  usual = run(FIT).stdout
  spawner = getattr(sandbox, 'spawner_pid', None)
  victim, _ = attack_on(FIT, KILLER)
  assert victim.stdout == usual
  assert getattr(sandbox, 'spawner_pid', None) == spawner


@threat('tampering: patched clocks, early exits, shadowed modules')
def test_duration_is_not_the_programs_word(attack):
  execution = attack('''
import time
time.sleep(.3)
time.time = time.monotonic = time.perf_counter = lambda: 0.
import os; os._exit(0)
''')
  assert 0.3 <= execution.duration_s < 0.8
