"""Memory that the kernel keeps for a program counts as the program's."""

from __future__ import annotations

import pytest

from ace_jax.types import Status

HOARD = '''
import os, socket, sys, time
try: open("/proc/self/oom_score_adj", "w").write("0")  # as its supervisor
except OSError: pass
if "-c" not in sys.orig_argv:  # a small process: others are killed before it
  source = open("program.py").read()
  os.execv(sys.executable, [sys.executable, "-S", "-c", source])
for _ in range(7):
  if os.fork() == 0: break
pairs = []
try:
  while True:
    pairs += socket.socketpair()
    for end in pairs[-2:]:
      end.setblocking(False)
      try:
        while True: end.send(bytes(1 << 16))
      except BlockingIOError: pass
except OSError: pass
time.sleep(100)
'''


@pytest.mark.threat('exhaustion: memory of one process, many, children only')
@pytest.mark.threat(
    'tampering: killing a guard to look like an infrastructure fault')
def test_full_sockets_are_memory_and_no_fault_of_ours(run, sandbox):
  execution = run(HOARD)
  assert execution.status != Status.INFRA_ERROR, execution.error
  if sandbox.backend == 'docker' or sandbox.cgroup:
    assert (execution.status, execution.limit) == (Status.OOM, 'memory')
