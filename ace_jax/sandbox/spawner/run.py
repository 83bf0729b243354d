"""One run, as its supervisor sees it: hand over, watch, stop, report.

What every supervisor does, whichever the walls around the program are. How
they are put up, how the program is killed and what stays of it is the
subclass's: guard.py on this machine, container.py inside a container.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Any

from . import files, program, wire
from .setup import Setup

SETTLE_S = 10.0  # for our own machinery: to get ready, to see all dead
_LOOK_S = 0.1  # how often limits are looked at that the kernel keeps
_SAMPLE_S = 0.01  # and those that only we do
_OUTPUT_FACTOR = 4  # times output_kb: there a writer is stopped
_STATUS = {'cpu': 'timeout', 'wall': 'timeout', 'memory': 'oom',
           'output': 'output_limit', 'disk': 'disk_limit'}


class Run:
  """A run before, while and after its program has the processor.

  Attributes that `prepare` sets: `meter` (see meters.py), `work` (a
  descriptor of the working directory), `exit_fd` (readable when the program
  may have ended), and what `open_pipes` does.
  """

  must_sample = False  # whether the meter knows only what it has looked at

  def __init__(self, setup: Setup, callers: tuple[int, ...]):
    """`callers`: the run is called off when one of these hangs up."""
    self.setup, self._callers = setup, callers
    self.meter = self.work = self.exit_fd = None
    self.exit: int | None = None
    self._limit: str | None = None
    self._started = self._duration_s = 0.0
    self._called_off = False

  # --- What a subclass adds ----------------------------------------------

  def prepare(self, header: dict[str, Any], source: bytes) -> None:
    """Returns when the program is confined and waits at its first line."""
    raise NotImplementedError

  def take_exit(self) -> None:
    """Sets `exit` if the program has ended; `exit_fd` was readable."""
    raise NotImplementedError

  def kill(self) -> None:
    """Kills all that is left and returns when nothing is."""
    raise NotImplementedError

  def clean(self) -> None:
    """Leaves no cgroup and no file."""

  def disk_mb(self) -> float:
    """What the program has written to its disk, MiB."""
    raise NotImplementedError

  def disk_is_full(self) -> bool:
    raise NotImplementedError

  # --- Before ------------------------------------------------------------

  def serve(self, job: Any) -> None:
    """One job from the stream `job`, its reply back."""
    with contextlib.suppress(EOFError):
      header, (source,) = wire.receive(job)
      self.answer(header, source, job)

  def answer(self, header: dict[str, Any], source: bytes, job: Any) -> None:
    """Runs the job and sends the reply through the stream `job`."""
    try:
      try:
        self.prepare(header, source)
        self._hand_over()
        self._watch()
      finally:
        self.kill()
        self._duration_s = time.monotonic() - self._started
      reply, blobs = self._report()
    except OSError as error:
      reply, blobs = {'status': 'infra_error', 'error': str(error)}, []
    self.clean()
    with contextlib.suppress(OSError):  # nobody may be listening any more
      wire.send(job, reply, *blobs)

  def open_pipes(self) -> list[int]:
    """The program's ends: standard output and error, and its start."""
    out, err, go = os.pipe(), os.pipe(), os.pipe()
    size = self.setup.output_kb << 10
    self._out = files.Capture(out[0], size)
    self._err = files.Capture(err[0], size)
    self._go = go[1]
    return [out[1], err[1], go[0]]

  def _hand_over(self) -> None:
    self._started = time.monotonic()
    os.write(self._go, b'g')
    os.close(self._go)

  # --- While -------------------------------------------------------------

  def _watch(self) -> None:
    """Returns when the main program has ended or has hit a limit."""
    setup = self.setup
    poller = select.poll()
    for fd in (self.exit_fd, self._out.fd, self._err.fd):
      poller.register(fd, select.POLLIN)
    for fd in self._callers:
      poller.register(fd, select.POLLIN | select.POLLRDHUP)
    every_s = _SAMPLE_S if self.must_sample else _LOOK_S
    looked = 0.0
    while self.exit is None and self._limit is None:
      now = time.monotonic()
      wall_s = self._started + setup.timeout_s - now
      if wall_s <= 0:
        self._limit = 'wall'
      if now - looked >= _SAMPLE_S / 2:
        looked = now
        self._look()
      cpu_s = (setup.cpu_limit_s - self.meter.cpu_s()) / setup.cpus
      wait_s = max(0.001, min(wall_s, cpu_s, every_s))
      ready = {fd for fd, _ in poller.poll(wait_s * 1000)}
      if ready.intersection(self._callers):
        self._called_off = True
        return
      for stream in (self._out, self._err):
        if stream.fd in ready:
          stream.drain()
          if stream.closed:
            poller.unregister(stream.fd)
      if self.exit_fd in ready:
        self.take_exit()

  def _look(self) -> None:
    """Compares what is used with what is allowed."""
    setup = self.setup
    if self.must_sample:
      self.meter.sample()
    if self.meter.out_of_memory():
      self._limit = 'memory'
    elif self.meter.cpu_s() >= setup.cpu_limit_s:
      self._limit = 'cpu'
    elif self._written() > _OUTPUT_FACTOR * setup.output_kb << 10:
      self._limit = 'output'
    elif self.disk_mb() > setup.disk_mb:
      self._limit = 'disk'

  def _written(self) -> int:
    return self._out.total + self._err.total

  # --- After -------------------------------------------------------------

  def _report(self) -> tuple[dict[str, Any], list[bytes]]:
    setup, meter = self.setup, self.meter
    if self._called_off:
      raise ConnectionError('the run was called off')
    for stream in (self._out, self._err):
      stream.drain(max_reads=1 << 10)
    if self._limit is None:
      self._limit = self._limit_found_late()
    status = _STATUS.get(self._limit, 'ok' if self.exit == 0 else 'error')
    found = files.harvest(self.work, setup.disk_mb << 20, program.NAME)
    reply = dict(
        status=status, limit=self._limit, exit_code=self.exit,
        duration_s=self._duration_s, cpu_s=meter.cpu_s(),
        peak_memory_mb=meter.peak_mb(), names=list(found))
    return reply, [self._out.content(), self._err.content(), *found.values()]

  def _limit_found_late(self) -> str | None:
    """Limits that were hit between the last look and the end."""
    setup = self.setup
    if self.meter.out_of_memory():
      return 'memory'
    if self.meter.cpu_s() >= setup.cpu_limit_s:
      return 'cpu'
    if self._written() > setup.output_kb << 10:
      return 'output'
    if self.exit != 0 and self.disk_is_full():
      return 'disk'
    return None
