"""Where arrays live: one mesh, one path table, one axis mapping.

A parameter's path gives its logical axes (`PATH_TABLE`), a logical axis gives
the mesh axes it is split over (`AXIS_MAPPING`). Activations name their logical
axes at the call of `constrain`. On one device, or without a mesh, everything
here is the identity.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

MESH_AXES = ('data', 'fsdp', 'tensor')

# Logical axis → the mesh axes that split it.
AXIS_MAPPING = {
    'batch': ('data', 'fsdp'),  # every device that is not a tensor peer
    'embed': ('fsdp',),  # parameters only: gathered layer by layer
    'heads': ('tensor',),  # kv groups: a query never leaves its keys
    'ff': ('tensor',),
    'vocab': ('tensor',),
}

# Path → logical axes, the first match counts. A leading L axis (stacked
# layers) is never split: every device runs every layer.
PATH_TABLE = (
    (r'^embed$', ('vocab', 'embed')),
    (r'^unembed$', ('embed', 'vocab')),
    (r'^layers/qkv/kernel$', (None, 'embed', 'heads', None, None)),
    (r'^layers/qkv/bias$', (None, 'heads', None, None)),
    (r'^layers/out$', (None, 'heads', None, None, 'embed')),
    (r'^layers/gate_up$', (None, 'embed', None, 'ff')),
    (r'^layers/down$', (None, 'ff', 'embed')),
    (r'^value/hidden/kernel$', ('embed', 'ff')),
    (r'', ()),  # norms and biases: replicated
)


def make_mesh(
    *,
    data: int = -1,
    fsdp: int = 1,
    tensor: int = 1,
    devices: Sequence[Any] | None = None,
) -> jax.sharding.Mesh:
  """The device mesh with axes (data, fsdp, tensor).

  Args:
    data: size of the axis; -1 is all devices that the other axes leave.
    fsdp: the same, for the axis that also splits parameters.
    tensor: the same, for the axis that splits heads and feed-forward.
    devices: default all.

  Raises:
    ValueError: the sizes do not multiply to the number of devices.
  """
  devices = jax.devices() if devices is None else devices
  sizes = [data, fsdp, tensor]
  if sizes.count(-1) == 1:
    rest = math.prod(size for size in sizes if size != -1)
    sizes[sizes.index(-1)] = len(devices) // max(rest, 1)
  if min(sizes) < 1 or math.prod(sizes) != len(devices):
    raise ValueError(
        f'mesh data={data}, fsdp={fsdp}, tensor={tensor} does not fit '
        f'{len(devices)} device(s)'
    )
  # Auto: the default, Explicit, wants a sharding in every operation's type.
  axis_types = (AxisType.Auto,) * len(sizes)
  return jax.make_mesh(
      tuple(sizes), MESH_AXES, axis_types=axis_types, devices=devices
  )


def spec_for(
    mesh: Any, shape: tuple[int, ...], axes: Sequence[str | None]
) -> PartitionSpec:
  """Logical axes → PartitionSpec; what does not divide is not split."""
  entries = []
  for size, axis in zip(shape, axes, strict=False):
    names = [n for n in AXIS_MAPPING.get(axis, ()) if mesh.shape[n] > 1]
    while names and size % math.prod(mesh.shape[n] for n in names):
      names.pop()
    entries.append(tuple(names) or None)
  return PartitionSpec(*entries)


def is_sharded() -> bool:
  """Whether the code being traced runs on several devices."""
  return jax.sharding.get_abstract_mesh().size > 1


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
  """Pins `x` to its logical axes; the identity without a mesh."""
  if not is_sharded():
    return x
  spec = spec_for(jax.sharding.get_abstract_mesh(), x.shape, axes)
  return jax.lax.with_sharding_constraint(x, spec)


def path_of(path: tuple) -> str:
  """A pytree key path as 'layers/qkv/kernel'."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def param_shardings(params: Any, mesh: jax.sharding.Mesh) -> Any:
  """The tree of NamedShardings of `params` (arrays or ShapeDtypeStructs)."""

  def sharding(path, leaf):
    name = path_of(path)
    axes = next(axes for rule, axes in PATH_TABLE if re.search(rule, name))
    return NamedSharding(mesh, spec_for(mesh, leaf.shape, axes))

  return jax.tree_util.tree_map_with_path(sharding, params)


def shard(params: Any, mesh: jax.sharding.Mesh) -> Any:
  """Places `params` on the mesh."""
  return jax.device_put(params, param_shardings(params, mesh))
