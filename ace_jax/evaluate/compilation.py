"""How long XLA compiled: the first call's time, and no policy's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Self

import jax

_EVENTS = '/jax/core/compile/'  # tracing, lowering, compiling


class CompileClock:
  """Counts while it is open; use as a context manager."""

  def __init__(self):
    self._spans: list[tuple[float, float]] = []

  def seconds(self) -> float:
    """So far."""
    return covered(self._spans)

  def _listen(self, event: str, duration_s: float, **_: Any) -> None:
    if event.startswith(_EVENTS):
      end = time.monotonic()
      self._spans.append((end - duration_s, end))

  def __enter__(self) -> Self:
    jax.monitoring.register_event_duration_secs_listener(self._listen)
    return self

  def __exit__(self, *_: Any) -> None:
    jax.monitoring.unregister_event_duration_listener(self._listen)


def covered(spans: Sequence[tuple[float, float]]) -> float:
  """Seconds in at least one span: a trace may hold others."""
  total, reached = 0.0, float('-inf')
  for start, end in sorted(spans):
    total += max(end - max(start, reached), 0.0)
    reached = max(reached, end)
  return total
