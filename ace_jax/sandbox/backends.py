"""From a config to a sandbox."""

from __future__ import annotations

import difflib
import types
from typing import Any

import ml_collections

from ace_jax.sandbox import base

BACKENDS = ('local', 'docker', 'ray')


def options(**changes: Any) -> types.SimpleNamespace:
  """What `make` takes, for who has no config: its defaults, and changes."""
  ray = types.SimpleNamespace(address='', backend='local')
  return types.SimpleNamespace(**dict(
      backend='local', num_slots=1, reserved_cores=0, min_level='L2',
      allow_unsafe=False, image='', oci_runtime='', gpus=(), ray=ray,
  ) | changes)


def make(
    config: ml_collections.ConfigDict | types.SimpleNamespace,
    spec: base.SandboxSpec,
) -> base.Sandbox:
  """The sandbox that `config.sandbox` asks for.

  Raises:
    ValueError: there is no such backend, or it has no GPUs.
    SandboxError: this machine cannot give it.
  """
  if config.gpus and config.backend != 'docker':
    raise ValueError(
        f'sandbox.gpus={tuple(config.gpus)} is for sandbox.backend=docker, not '
        f'{config.backend}: leave it empty'
    )
  shared = dict(
      num_slots=config.num_slots, reserved_cores=config.reserved_cores
  )
  if config.backend == 'local':
    from ace_jax.sandbox import local

    return local.LocalSandbox(
        spec,
        min_level=config.min_level,
        allow_unsafe=config.allow_unsafe,
        **shared,
    )
  if config.backend == 'docker':
    from ace_jax.sandbox import docker

    return docker.DockerSandbox(
        spec,
        image_name=config.image,
        oci_runtime=config.oci_runtime,
        gpus=tuple(config.gpus),
        **shared,
    )
  if config.backend == 'ray':
    try:
      from ace_jax.sandbox import ray
    except ModuleNotFoundError as error:
      raise base.SandboxError(
          "sandbox.backend='ray' needs a package that is not here: pip install"
          f' {error.name}'
      ) from None

    names = ('reserved_cores', 'min_level', 'allow_unsafe', 'image',
             'oci_runtime')
    node = {name: getattr(config, name) for name in names}
    return ray.RaySandbox(
        spec,
        num_slots=config.num_slots,
        address=config.ray.address,
        node=node | {'backend': config.ray.backend},
    )
  close = difflib.get_close_matches(config.backend, BACKENDS, n=1)
  hint = f', did you mean {close[0]}?' if close else ''
  raise ValueError(
      f'sandbox.backend={config.backend!r} is none of {BACKENDS}{hint}'
  )
