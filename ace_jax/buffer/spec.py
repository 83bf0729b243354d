"""The evolving buffer's choices, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ace_jax.buffer import potential
from ace_jax.types import Attempt

COSTS: dict[str, Callable[[Attempt], float]] = {
    'tokens': lambda a: float(
        len(a.prompt.tokens) + len(a.completion.tokens())
    ),
    'seconds': lambda a: a.duration_s,
    'none': lambda a: 1.0,
}


@dataclasses.dataclass(frozen=True)
class Spec:
  """The choices of configs/default.py under `buffer`."""

  potential: str = 'learnability'  # a key of potential.POTENTIALS
  temperature: float = 0.25  # τ
  epsilon: float = 0.1  # share of draws that are uniform
  capacity: int = 256  # Problems of a task
  lineage_share: float = 0.1  # of the buffer, from one root
  decay: float = 0.98  # of what was observed, per policy version
  cost: str = 'tokens'  # a key of COSTS

  def __post_init__(self):
    for name, known in (('potential', potential.POTENTIALS), ('cost', COSTS)):
      if (value := getattr(self, name)) not in known:
        raise ValueError(
            f'buffer.{name}={value!r} is none of {", ".join(known)}'
        )
    if not 0 < self.epsilon <= 1:
      raise ValueError(f'buffer.epsilon={self.epsilon} is not in (0, 1]: at 0 '
                       'a task might never be drawn')
    if self.temperature <= 0 or self.capacity < 2:
      raise ValueError(
          f'buffer.temperature={self.temperature} must be positive, and '
          f'buffer.capacity={self.capacity} at least 2'
      )
    for name in ('lineage_share', 'decay'):
      if not 0 < (value := getattr(self, name)) <= 1:
        raise ValueError(f'buffer.{name}={value} is not in (0, 1]')
