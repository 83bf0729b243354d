"""What a workdir holds, and whose it is.

  config.json            the run's configuration; another one is refused
  versions.json          of Python, the packages and the devices
  demonstrations.jsonl   the warm start's verified programs
  attempts.sqlite        every attempt, see buffer/ledger.py
  metrics.jsonl          numbers per step; tensorboard/ holds the same
  checkpoints/           imitation/ and rl/, see learner/checkpoint.py
  results.json, report.html
  evaluation.json        of --mode=evaluate; evaluation/ has the submissions
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections

from ace_jax.agent import Agent
from ace_jax.buffer.ledger import Ledger
from ace_jax.envs import programs

# Changing these does not change what a run learns.
_FREE = ('report', 'checkpoint')
_PACKAGES = (
    'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'transformers',
    'numpy', 'scikit-learn', 'pandas',
)


def check(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Is `workdir` free for this config, or already its own? Writes nothing.

  Raises:
    ValueError: it belongs to a run with another configuration.
  """
  path = workdir / 'config.json'
  if not path.exists():
    return
  changed = [
      f'{key}={b!r} (there: {a!r})'
      for key, a, b in _differences(
          json.loads(path.read_text()), json.loads(config.to_json())
      )
      if key.split('.')[0] not in _FREE
  ]
  if changed:
    more = f' and {len(changed) - 3} more' if len(changed) > 3 else ''
    raise ValueError(
        f'workdir {workdir} belongs to a run of another configuration: '
        f'{"; ".join(changed[:3])}{more}; choose another --workdir, or give '
        'it the same configuration'
    )


def claim(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
  """Makes `workdir` this config's.

  Raises:
    OSError: it cannot be made or written to.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    _write(workdir / 'config.json', json.loads(config.to_json()))
    _write(workdir / 'versions.json', versions())
  except OSError as error:
    raise OSError(
        f'workdir {workdir} cannot be written to: {error.strerror or error}'
    ) from error


def load_config(
    workdir: pathlib.Path,
    config: ml_collections.ConfigDict,
    *,
    keep: Sequence[str] = (),
) -> None:
  """Puts the configuration of a run's workdir into `config`.

  Args:
    workdir: of the run.
    config: changed in place.
    keep: sections that stay as they are.

  Raises:
    ValueError: `workdir` holds no run.
  """
  path = workdir / 'config.json'
  if not path.exists():
    raise ValueError(f'{workdir} holds no run: there is no {path.name} in it')
  stored = json.loads(path.read_text())
  stored = {key: stored[key] for key in stored if key not in keep}
  with config.unlocked():
    config.update(ml_collections.ConfigDict(stored))


def versions() -> dict[str, str]:
  """What the run ran on."""
  out = {'python': platform.python_version(), 'cpus': str(os.cpu_count())}
  for name in _PACKAGES:
    out[name] = importlib.metadata.version(name)
  devices = jax.devices()
  out['devices'] = f'{len(devices)} × {devices[0].device_kind}'
  return out


def open_ledger(agent: Agent, workdir: pathlib.Path) -> Ledger:
  """The run's record of attempts, with text as this policy's tokenizer has it.
  """
  return Ledger(
      workdir / 'attempts.sqlite',
      decode=agent.tokenizer.decode,
      normalize=lambda program: programs.normalise(program) or program,
  )


def _differences(a: Any, b: Any, key: str = '') -> list[tuple[str, Any, Any]]:
  if isinstance(a, dict) and isinstance(b, dict):
    out = []
    for name in sorted(a.keys() | b.keys()):
      path = f'{key}.{name}'.strip('.')
      out += _differences(a.get(name), b.get(name), path)
    return out
  return [] if a == b else [(key, a, b)]


def _write(path: pathlib.Path, content: Any) -> None:
  partial = path.with_suffix('.partial')
  partial.write_text(json.dumps(content, indent=1) + '\n')
  partial.rename(path)
