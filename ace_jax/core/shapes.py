"""Shapes checked where arrays enter, by the letters that end their names."""

from typing import Any

import jax.numpy as jnp


def check_shapes(**arrays: Any) -> dict[str, int]:
  """Reads the dimension letters after each name's last underscore.

  Costs nothing at run time: shapes are known while tracing.

  Args:
    **arrays: arrays or None (skipped), such as `logp_BT=logp, mask_BT=mask`.

  Returns:
    letter → size, such as {'B': 16, 'T': 256}.

  Raises:
    ValueError: a rank differs from the number of letters, or two arrays
      disagree about a letter; both are named.
  """
  sizes, owners = {}, {}
  for name, array in arrays.items():
    if array is None:
      continue
    letters, shape = name.rpartition('_')[2], jnp.shape(array)
    if len(letters) != len(shape):
      raise ValueError(
          f'{name} has shape {shape}, its name says {len(letters)} dimensions'
      )
    for letter, size in zip(letters, shape, strict=True):
      if sizes.setdefault(letter, size) != size:
        raise ValueError(
            f'{letter} is {sizes[letter]} in {owners[letter]} '
            f'but {size} in {name}'
        )
      owners.setdefault(letter, name)
  return sizes
