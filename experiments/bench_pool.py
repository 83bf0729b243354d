"""The executor pool: hand-over, throughput, utilisation, deadlines, memory.

  python -m experiments.bench_pool [--quick] [--backend=local|docker]

What is measured, all in one run:

  handover_ms      a program handed to a warm sandbox → its first line
  cold_subprocess_ratio, cold_docker_ratio, aide_ratio
                   programs a minute of a scikit-learn program of about 50 ms
                   here, over those of a new interpreter each, of a new
                   container each, and of AIDE's interpreter (aideml, in an
                   environment of its own); as many at once as here
  utilisation      a heavy-tailed mix of sleepers on 8 slots: the makespan of a
                   list schedule without overhead, over ours
  deadline_error_s worst of sleepers past their deadline, 8 slots busy
  executor_mb      resident memory of the executor after a tenth of the runs
                   and at the end
  cpu_spread       (p95 - p5) / median CPU time of one program pinned to a core
                   with a busy neighbour on another; cpu_spread_plain: of the
                   same in a plain process on that core, in turns with it,
                   which is what the machine itself does

The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import docker.errors
import numpy as np

from ace_jax import types
from ace_jax.sandbox import Pool, SandboxSpec, backends, image, runtime
from experiments import environments

FIT = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier
x = np.random.default_rng(0).normal(size=(400, 8))
RandomForestClassifier(12).fit(x, x[:, 0] > 0).predict(x)
"""
SPIN = """
total = 0
for i in range(6_000_000): total += i * i
"""
_AIDE = """
import sys, time
from aide.interpreter import Interpreter
source, seconds, folder = sys.argv[1], float(sys.argv[2]), sys.argv[3]
interpreter = Interpreter(folder, timeout=60)
done, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
  result = interpreter.run(source, reset_session=True)
  assert result.exc_type is None, result.term_out
  done += 1
interpreter.cleanup_session()
print(done)
"""


# --- Hand-over ---------------------------------------------------------------
def handover_ms(sandbox: Any, num_runs: int, refill_s: float) -> float:
  """Median, in milliseconds; both clocks are the kernel's monotonic one.

  Args:
    sandbox: warm.
    num_runs: one after the other.
    refill_s: after each, until the next one is warm.
  """
  program = 'import time; print(time.monotonic())'
  waits = []
  for i in range(num_runs):
    begun = time.monotonic()
    execution = sandbox.run(types.Job(f'handover/{i}', program, None))
    waits.append(float(execution.stdout) - begun)
    time.sleep(refill_s)
  return 1e3 * statistics.median(waits)


# --- Throughput --------------------------------------------------------------
def per_minute(run: Callable[[], None], seconds: float, at_once: int) -> float:
  """How often `run` ends in a minute, in `at_once` threads."""
  counts = [0] * at_once
  begun = time.monotonic()

  def work(i: int) -> None:
    while time.monotonic() < begun + seconds:
      run()
      counts[i] += 1

  threads = [threading.Thread(target=work, args=(i,)) for i in range(at_once)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return 60 * sum(counts) / (time.monotonic() - begun)


def in_sandbox(sandbox: Any) -> Callable[[], None]:
  keys = iter(range(1 << 30))

  def run() -> None:
    execution = sandbox.run(types.Job(f'fit/{next(keys)}', FIT, None))
    if execution.status is not types.Status.OK:
      raise RuntimeError(f'{execution.status}: {execution.stderr}')

  return run


def in_subprocess() -> None:
  subprocess.run(
      [sys.executable, '-c', FIT], check=True,
      env=os.environ | {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'},
  )


def in_docker() -> Callable[[], None] | None:
  """None where no daemon answers."""
  made = runtime.ensure()
  try:
    name, python = image.ensure(docker.from_env(), made), str(made.python)
  except docker.errors.DockerException as error:
    print(f'no cold_docker_ratio: {error}', flush=True)
    return None
  command = ['docker', 'run', '--rm', '--network=none', '--cap-drop=ALL',
             '--security-opt=no-new-privileges', '--user=10001:10001',
             '--log-driver=none', name, python, '-c', FIT]
  return lambda: subprocess.run(command, check=True)


def aide_environment() -> str:
  """A Python with AIDE and what it imports; its other 40 packages are left
  out, PyTorch with CUDA among them.
  """

  def install(pip) -> None:
    pip('anthropic', 'backoff', 'black', 'coolname', 'dataclasses_json',
        'funcy', 'genson', 'humanize', 'igraph', 'jsonschema', 'numpy',
        'omegaconf', 'openai', 'pandas', 'rich', 'scikit-learn', 'shutup')
    pip('--no-deps', 'aideml==0.2.2')

  return str(environments.ensure('aide', 'AIDE (600 MB, once)', install))


def aide_per_minute(python: str, seconds: float, at_once: int) -> float:
  """AIDE's interpreter, one process of it for each that runs at once."""
  with contextlib.ExitStack() as stack:
    folders = [stack.enter_context(tempfile.TemporaryDirectory())
               for _ in range(at_once)]
    running = [
        subprocess.Popen(
            [python, '-c', _AIDE, FIT, str(seconds), folder],
            stdout=subprocess.PIPE, text=True,
        )
        for folder in folders
    ]
    done = sum(int(p.communicate()[0].splitlines()[-1]) for p in running)
  return 60 * done / seconds


# --- Slots -------------------------------------------------------------------
def list_schedule_s(durations: list[float], num_slots: int) -> float:
  """The makespan when a slot that gets free takes the next at once."""
  free = [0.0] * num_slots
  for duration in durations:
    heapq.heappush(free, heapq.heappop(free) + duration)
  return max(free)


def utilisation(pool: Pool, durations: list[float], num_slots: int) -> float:
  begun = time.monotonic()
  for i, duration in enumerate(durations):
    program = f'import time; time.sleep({duration})'
    pool.submit(types.Job(f'sleep/{i}', program, None))
  for _ in durations:
    _, execution = pool.take()
    if execution.status is not types.Status.OK:
      raise RuntimeError(f'{execution.status}: {execution.stderr}')
  took_s = time.monotonic() - begun
  return list_schedule_s(durations, num_slots) / took_s


def deadline_error_s(sandbox: Any, num_slots: int) -> float:
  """The worst |duration - limit| of programs that would sleep for ever."""
  program = 'import time; time.sleep(1000)'
  found: list[types.Execution] = []
  threads = [
      threading.Thread(target=lambda i=i: found.append(
          sandbox.run(types.Job(f'late/{i}', program, None))))
      for i in range(num_slots)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  if any(run.limit != 'wall' for run in found):
    raise RuntimeError('a program that sleeps did not hit its deadline')
  return max(abs(run.duration_s - sandbox.spec.timeout_s) for run in found)


# --- Memory, CPU time --------------------------------------------------------
def resident_mb() -> float:
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * os.sysconf('SC_PAGE_SIZE') / (1 << 20)


def memory_mb(pool: Pool, num_runs: int) -> tuple[float, float]:
  """Of this process after a tenth of the runs, and after all of them."""
  program = 'print("x" * 20_000); open("submission.csv", "w").write("1" * 9999)'
  early = 0.0
  for done in range(num_runs):
    pool.submit(types.Job(f'memory/{done}', program, None))
    if done >= 8:
      pool.take()
    if done == num_runs // 10:
      early = resident_mb()
  for _ in range(min(8, num_runs)):
    pool.take()
  return early, resident_mb()


def cpu_spread(sandbox: Any, num_runs: int) -> dict[str, float]:
  """With another process spinning on every core but the slot's."""
  first = sandbox.run(types.Job('cpu', SPIN, None))
  if not first.pinned:
    raise RuntimeError('one slot, and yet it shares its core')
  mine = sandbox.cores.of(0)
  others = os.sched_getaffinity(0) - mine
  neighbour = subprocess.Popen(
      [sys.executable, '-c', f'import os\nos.sched_setaffinity(0, {others})\n'
       'while True: pass'])
  plain = (f'import os, time\nos.sched_setaffinity(0, {set(mine)})\n{SPIN}\n'
           'print(time.process_time())')
  used: dict[str, list[float]] = {'cpu_spread': [], 'cpu_spread_plain': []}
  try:
    for i in range(num_runs):
      used['cpu_spread'].append(
          sandbox.run(types.Job(f'cpu/{i}', SPIN, None)).cpu_s)
      done = subprocess.run([sys.executable, '-S', '-c', plain], check=True,
                            capture_output=True, text=True)
      used['cpu_spread_plain'].append(float(done.stdout))
  finally:
    neighbour.kill()
    neighbour.wait()
  return {name: round(_spread(seconds), 4) for name, seconds in used.items()}


def _spread(values: list[float]) -> float:
  low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
  return float((high - low) / middle)


# --- All ---------------------------------------------------------------------
def sandboxes(backend: str, num_slots: int, **limits: Any) -> Any:
  options = backends.options(backend=backend, num_slots=num_slots)
  return backends.make(options, SandboxSpec(**limits))


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
  quick = args.quick
  at_once = min(2, len(os.sched_getaffinity(0)))
  seconds = 5.0 if quick else 20.0
  aide = aide_environment()
  with sandboxes(args.backend, at_once, timeout_s=60) as sandbox:
    print(sandbox.describe(), flush=True)
    # A container takes a second or so to prepare, an interpreter less.
    refill_s, num_runs = (0.05, 100) if args.backend == 'local' else (3.0, 30)
    time.sleep(refill_s)
    wait_ms = handover_ms(sandbox, 10 if quick else num_runs, refill_s)
    yield {'handover_ms': round(wait_ms, 1)}
    # Taking turns, so that what else the machine does hits all alike.
    ways = {'ours': in_sandbox(sandbox), 'cold_subprocess': in_subprocess}
    if (cold := in_docker()) is not None:
      ways['cold_docker'] = cold
    speed: dict[str, list[float]] = {name: [] for name in [*ways, 'aide']}
    for _ in range(1 if quick else 3):
      for name, run in ways.items():
        speed[name].append(per_minute(run, seconds, at_once))
      speed['aide'].append(aide_per_minute(aide, seconds, at_once))
    found = {k: statistics.median(v) for k, v in speed.items()}
    yield {'per_minute': {k: round(v, 1) for k, v in found.items()}}
    yield {f'{k}_ratio': round(found['ours'] / v, 2)
           for k, v in found.items() if k != 'ours'}
  rng = np.random.default_rng(0)
  durations = rng.lognormal(0.0, 1.0, 40 if quick else 200)
  with sandboxes(args.backend, 8, timeout_s=60) as sandbox:
    with Pool(sandbox, num_slots=8) as pool:
      share = utilisation(pool, durations.clip(0.1, 30).tolist(), 8)
      yield {'utilisation': round(share, 4)}
      early, late = memory_mb(pool, 200 if quick else 2000)
      yield {'executor_mb': [round(early, 1), round(late, 1)]}
  with sandboxes(args.backend, 8, timeout_s=1) as sandbox:
    worst = max(deadline_error_s(sandbox, 8) for _ in range(1 if quick else 5))
    yield {'deadline_error_s': round(worst, 3)}
  with sandboxes(args.backend, 1, timeout_s=60) as sandbox:
    yield cpu_spread(sandbox, 10 if quick else 50)


def main() -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--quick', action='store_true', help='a minute or two')
  parser.add_argument('--backend', default='local', choices=backends.BACKENDS)
  args = parser.parse_args()
  result = {'bench': 'pool', 'backend': args.backend, 'quick': args.quick,
            'cores': len(os.sched_getaffinity(0)),
            'python': platform.python_version()}
  for part in measure(args):
    print(textwrap.shorten(json.dumps(part), 300), flush=True)
    result |= part
  print(json.dumps(result))


if __name__ == '__main__':
  main()
