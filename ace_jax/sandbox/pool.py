"""The executor pool: jobs in, results out in the order they finish."""

from __future__ import annotations

import collections
import dataclasses
import queue
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from ace_jax import types
from ace_jax.sandbox import base

Finish = Callable[[types.Job, types.Execution], Any]
T = TypeVar('T')


class Pool:
  """Worker threads over a sandbox.

  A run that our own machinery failed is repeated, up to `max_infra_retries`
  times. So is, once, a run that hit the wall deadline without having used its
  CPU time: perhaps the machine was busy, and it is marked `noisy`.

  Args:
    num_slots: threads; as many as the sandbox has slots.
    max_queued: jobs that may be in the pool, running and finished ones that
      were not taken included; beyond, `submit` raises queue.Full.
    finish: applied in the worker, so that grading overlaps too; what it
      returns takes the place of the execution.
  """

  def __init__(self, sandbox: base.Sandbox, *, num_slots: int,
               max_infra_retries: int = 2, max_queued: int = 4096,
               finish: Finish | None = None):
    self._sandbox, self._finish = sandbox, finish
    self._max_infra_retries, self._max_queued = max_infra_retries, max_queued
    self._queued: collections.deque[types.Job] = collections.deque()
    self._running: set[str] = set()  # keys
    self._cancelled: set[str] = set()  # of them
    self._done: collections.deque[tuple[types.Job, Any]] = collections.deque()
    self._changed = threading.Condition()
    self._error: BaseException | None = None
    self._closed = False
    self.num_pending = 0  # submitted and not taken
    self.num_infra_retries = 0
    self.num_noisy = 0
    self._threads = [
        threading.Thread(target=self._work, name=f'sandbox-{i}', daemon=True)
        for i in range(num_slots)
    ]
    for thread in self._threads:
      thread.start()

  def submit(self, job: types.Job) -> None:
    """Queues a job.

    Raises:
      queue.Full: max_queued jobs are here already.
      RuntimeError: the pool is closed.
    """
    with self._changed:
      self._check()
      if self.num_pending >= self._max_queued:
        raise queue.Full(f'{self.num_pending} jobs are in the pool')
      self._sandbox.expect(job)  # before it can be run: then no one does
      self.num_pending += 1
      self._queued.append(job)
      self._changed.notify_all()

  def take(self, timeout_s: float | None = None) -> tuple[types.Job, Any]:
    """The next (job, execution) to have finished, or (job, finish(…)).

    Raises:
      TimeoutError: none finished in time.
      LookupError: there is nothing to wait for.
      Exception: what a worker died of.
    """
    with self._changed:
      if not self._done and not self.num_pending:
        self._check()
        raise LookupError('nothing was submitted that is not taken')
      ended = self._changed.wait_for(
          lambda: (self._done or self._error or self._closed
                   or not self.num_pending), timeout_s)
      if self._done:
        self.num_pending -= 1
        return self._done.popleft()
      self._check()
      if not ended:
        raise TimeoutError(f'no job finished within {timeout_s} s')
      raise LookupError('what there was to wait for was cancelled')

  def _check(self) -> None:
    if self._error is not None:
      raise self._error
    if self._closed:
      raise RuntimeError('the pool is closed')

  def cancel(self, keys: Collection[str]) -> int:
    """Drops these jobs, queued, running or finished: they are not taken.

    Returns how many there were.
    """
    keys = set(keys)
    with self._changed:
      self._queued, queued = _without(self._queued, keys, lambda job: job.key)
      self._done, done = _without(self._done, keys, lambda pair: pair[0].key)
      running = keys & self._running - self._cancelled
      self._cancelled |= running
      found = len(queued) + len(done) + len(running)
      self.num_pending -= found
      self._changed.notify_all()
    for key in (*running, *(job.key for job in queued)):
      self._sandbox.cancel(key)
    return found

  def close(self) -> None:
    """Drops what is queued, closes the sandbox, ends the workers."""
    with self._changed:
      self._closed = True
      self._queued.clear()
      self._changed.notify_all()
    self._sandbox.close()
    for thread in self._threads:
      thread.join(timeout=10.0)

  def __enter__(self) -> Pool:
    return self

  def __exit__(self, *_) -> None:
    self.close()

  # --- In the workers ----------------------------------------------------

  def _work(self) -> None:
    while (job := self._next()) is not None:
      try:
        result = self._run(job)
        if self._finish is not None and not self._dropped(job):
          result = self._finish(job, result)
      except BaseException as error:  # noqa: BLE001, it reaches take()
        with self._changed:
          self._running.discard(job.key)
          if not self._closed:
            self._error = self._error or error
          self._changed.notify_all()
        return
      with self._changed:
        if not self._dropped(job):
          self._done.append((job, result))
        self._running.discard(job.key)
        self._cancelled.discard(job.key)
        self._changed.notify_all()

  def _next(self) -> types.Job | None:
    """The next job, or None at the end."""
    with self._changed:
      self._changed.wait_for(lambda: self._queued or self._closed)
      if self._closed:
        return None
      job = self._queued.popleft()
      self._running.add(job.key)
      return job

  def _dropped(self, job: types.Job) -> bool:
    return self._closed or job.key in self._cancelled

  def _run(self, job: types.Job) -> types.Execution:
    execution = self._retried(job)
    if execution.limit == 'wall' and not self._dropped(job):
      with self._changed:
        self.num_noisy += 1
      execution = dataclasses.replace(self._retried(job), noisy=True)
    return execution

  def _retried(self, job: types.Job) -> types.Execution:
    for _ in range(self._max_infra_retries):
      execution = self._run_once(job)
      if (execution.status != types.Status.INFRA_ERROR
          or self._dropped(job)):
        return execution
      with self._changed:
        self.num_infra_retries += 1
    return self._run_once(job)

  def _run_once(self, job: types.Job) -> types.Execution:
    return self._sandbox.run(job, lambda: self._dropped(job))


def _without(items: Iterable[T], keys: set[str], key_of: Callable[[T], str]
             ) -> tuple[collections.deque[T], list[T]]:
  """The items whose keys are not named, and those whose are."""
  kept, named = collections.deque(), []
  for item in items:
    (named if key_of(item) in keys else kept).append(item)
  return kept, named
