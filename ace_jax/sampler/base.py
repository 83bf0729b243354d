"""What the collector asks of a sampler."""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np

from ace_jax.types import Completion


class Sampler(Protocol):
  """Prompts in, completions out. Weights arrive by `sync`."""

  version: int  # number of weight syncs, what completions are stamped with

  def generate(
      self,
      prompts: Sequence[np.ndarray],
      rng: jax.Array,
      *,
      num_samples: int,
      temperature: float | None = None,
      max_new_tokens: int | None = None,
      which: str = 'policy',
  ) -> list[list[Completion]]:
    """Samples `num_samples` completions of each prompt.

    Args:
      prompts: [T] int32 each, unpadded, of any lengths.
      rng: a key, consumed.
      num_samples: G.
      temperature: default the sampler's own; 0 is greedy.
      max_new_tokens: default the sampler's own.
      which: 'policy', or 'frozen' for the weights kept by `freeze`, which
        survive every sync.

    Returns:
      For each prompt its G completions. A finished completion ends with the
      stop token that was sampled; log-probs are under the distribution that
      was sampled from.

    Raises:
      ValueError: a prompt is empty or too long.
    """
    ...

  def freeze(self) -> None:
    """Keeps a copy of the present weights for `which='frozen'`."""
    ...

  def sync(self, params: Any, version: int) -> None:
    """Takes the policy's new weights."""
    ...
