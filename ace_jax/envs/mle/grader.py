"""The grader as a process of its own, and the client that talks to it.

It parses what strangers wrote, so it is given little: isolated mode and an
environment without anybody's keys, no file to write, a bound on its memory,
and bytes that were copied out of the sandbox after all in it was dead.

One JSON object a line, both ways:

  → {"task": DIR, "rows": "reward", "submission": BASE64 | null}
  ← {"grade": {…}} or {"error": "…"}
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import subprocess
import sys
import threading
from typing import TextIO

from ace_jax.envs.mle import tasks
from ace_jax.envs.mle.bench import directory
from ace_jax.types import Grade, Task

_START = """
import sys
sys.path.insert(0, sys.argv[1])
from ace_jax.envs.mle import grader
grader.main()
"""
_ENVIRONMENT = {'LC_ALL': 'C.UTF-8', 'OMP_NUM_THREADS': '1',
                'OPENBLAS_NUM_THREADS': '1',
                'JOBLIB_MULTIPROCESSING': '0'}
_LIMITS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0,
           resource.RLIMIT_NOFILE: 64, resource.RLIMIT_AS: 4 << 30}
MAX_SENT = (8 << 20) + 1  # one byte past what the grader accepts


class GraderError(RuntimeError):
  """The grader itself failed: never the submission's fault."""


def main() -> None:
  """What the process runs."""
  for what, most in _LIMITS.items():
    resource.setrlimit(what, (most, most))
  # A grade.py that prints must not speak in our place.
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  serve(sys.stdin, answers)


def serve(requests: TextIO, answers: TextIO) -> None:
  """Answers requests until the end of input."""
  # Here, so that the client's process does not load scikit-learn.
  from ace_jax.envs.mle import grading

  cache: dict[tuple[str, int], Task] = {}
  for line in requests:
    try:
      request = json.loads(line)
      path = pathlib.Path(request['task'])
      key = str(path), _modified(path)
      if key not in cache:
        cache[key] = tasks.load_task(path)
      submission = request['submission']
      if submission is not None:
        submission = base64.b64decode(submission)
      grade = grading.grade(cache[key], submission, request['rows'])
      answer = {'grade': dataclasses.asdict(grade)}
    except (ValueError, KeyError, OSError) as e:  # incl. TaskError
      answer = {'error': f'{type(e).__name__}: {e}'}
    answers.write(json.dumps(answer) + '\n')
    answers.flush()


def _modified(path: pathlib.Path) -> int:
  """A new leaderboard, or a task prepared anew, is read again."""
  try:
    return (path / 'leaderboard.csv').stat().st_mtime_ns
  except OSError:
    return 0


class GraderProcess:
  """Grades in milliseconds through one persistent grader process.

  Threads may share it. A grader that dies or hangs is replaced and asked once
  more; if that fails too, `GraderError` says so.
  """

  def __init__(self, timeout_s: float = 60.0):
    self._timeout_s = timeout_s
    self._lock = threading.Lock()
    self._process: subprocess.Popen | None = None

  def grade(
      self, task: Task, submission: bytes | None, rows: str = 'reward'
  ) -> Grade:
    """As `grading.grade`; raises GraderError when the grader fails."""
    if submission is not None:
      most = MAX_SENT
      if directory.is_prepared(task.path):
        most = directory.MAX_BYTES + 1
      submission = base64.b64encode(submission[:most]).decode()
    request = json.dumps({
        'task': str(task.path.resolve()), 'rows': rows,
        'submission': submission})
    with self._lock:
      answer = self._ask(request)
      if answer is None:  # dead or hanging: a fresh one gets one more try
        self._stop()
        answer = self._ask(request)
      if answer is None:
        self._stop()
        raise GraderError(
            f'the grader gave no answer on {task.name!r}, twice')
    if 'error' in answer:
      raise GraderError(f'the grader failed on {task.name!r}: '
                        f'{answer["error"]}')
    return Grade(**answer['grade'])

  def close(self) -> None:
    """Ends the process; a later `grade` starts another."""
    with self._lock:
      self._stop()

  def __enter__(self) -> GraderProcess:
    return self

  def __exit__(self, *exc) -> None:
    self.close()

  def _ask(self, request: str) -> dict | None:
    if self._process is None:
      self._start()
    process = self._process
    # Killing it is what ends a write or a read that hangs.
    deadline = threading.Timer(self._timeout_s, process.kill)
    deadline.start()
    try:
      process.stdin.write(request + '\n')
      process.stdin.flush()
      line = process.stdout.readline()
      return json.loads(line) if line else None
    except (OSError, json.JSONDecodeError):
      return None
    finally:
      deadline.cancel()

  def _start(self) -> None:
    package = pathlib.Path(__file__).resolve().parents[3]
    self._process = subprocess.Popen(
        [sys.executable, '-I', '-B', '-c', _START, str(package)],
        env=_ENVIRONMENT, cwd='/', text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

  def _stop(self) -> None:
    process, self._process = self._process, None
    if process is None:
      return
    process.kill()
    process.wait()
    with contextlib.suppress(BrokenPipeError):  # a request half sent
      process.stdin.close()
    process.stdout.close()
