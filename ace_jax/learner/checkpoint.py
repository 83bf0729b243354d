"""Checkpoints: Orbax for the arrays, a manifest of hashes written last.

  <root>/<step>/params/…       what Orbax writes
  <root>/<step>/optimizer/…    the same, with the step counter
  <root>/<step>/meta.json      small host state
  <root>/<step>/arrays.npz     the host's arrays: where problems come from
  <root>/<step>/manifest.json  size and sha256 of every other file

A step without a manifest was interrupted and does not count; a step whose
files disagree with their manifest is corrupted, is named, and the one before
it is used. Steps are rediscovered from disk each time.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from ace_jax.types import LearnerState

_MANIFEST = 'manifest.json'


def save(
    root: pathlib.Path,
    step: int,
    state: LearnerState,
    meta: dict,
    arrays: Mapping[str, np.ndarray] | None = None,
    *,
    keep: int,
) -> None:
  """Writes one step, then drops all but the newest `keep`.

  Args:
    root: created when missing.
    step: names the checkpoint; one that exists is replaced.
    state: what is saved.
    meta: JSON-able host state.
    arrays: the host's arrays, of numbers and texts.
    keep: at least 1.
  """
  path = root / str(step)
  shutil.rmtree(path, ignore_errors=True)
  path.mkdir(parents=True)
  with ocp.StandardCheckpointer() as checkpointer:
    for name, item in _items(state).items():
      checkpointer.save((path / name).absolute(), item)
      checkpointer.wait_until_finished()
  (path / 'meta.json').write_text(json.dumps(meta))
  np.savez(path / 'arrays.npz', **(arrays or {}))
  _write_durably(path / _MANIFEST, json.dumps(_hashes(path), indent=1))
  for old in steps(root)[:-keep]:
    shutil.rmtree(root / str(old))


def steps(root: pathlib.Path) -> list[int]:
  """The completed steps on disk, ascending."""
  return sorted(
      int(manifest.parent.name)
      for manifest in root.glob(f'*/{_MANIFEST}')
      if manifest.parent.name.isdigit()
  )


class Restored(NamedTuple):
  """What `save` was given."""

  step: int
  state: LearnerState
  meta: dict
  arrays: dict[str, np.ndarray]


def restore(
    root: pathlib.Path,
    like: LearnerState,
    *,
    note: Callable[[str], None] = print,
) -> Restored | None:
  """The newest intact checkpoint, or None where there is none.

  Args:
    root: where `save` wrote.
    like: arrays of the shapes, dtypes and shardings to restore.
    note: is told of each corrupted step that is passed over.

  Raises:
    ValueError: there are checkpoints, and all of them are corrupted.
  """
  found = _newest_intact(root, note)
  if found is None:
    return None
  path = root / str(found)
  items = {n: _read(path / n, item) for n, item in _items(like).items()}
  step, opt_state = items['optimizer']
  meta = json.loads((path / 'meta.json').read_text())
  with np.load(path / 'arrays.npz') as file:
    arrays = dict(file)
  return Restored(
      found, LearnerState(step, items['params'], opt_state), meta, arrays
  )


def restore_params(
    root: pathlib.Path, like: Any, *, note: Callable[[str], None] = print
) -> tuple[int, Any] | None:
  """As `restore`, for the parameters alone: (step, params)."""
  found = _newest_intact(root, note)
  if found is None:
    return None
  return found, _read(root / str(found) / 'params', like)


def _items(state: LearnerState) -> dict[str, Any]:
  return {
      'params': state.params,
      'optimizer': (state.step, state.opt_state),
  }


def _read(path: pathlib.Path, like: Any) -> Any:
  abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(path.absolute(), abstract)


def _newest_intact(
    root: pathlib.Path, note: Callable[[str], None]
) -> int | None:
  found = steps(root)
  for step in reversed(found):
    damage = _damage(root / str(step))
    if damage is None:
      return step
    note(
        f'checkpoint {root / str(step)} is corrupted ({damage}); falling back'
        ' to the one before it'
    )
  if found:
    raise ValueError(
        f'every checkpoint in {root} is corrupted; remove the folder to start'
        ' again from nothing'
    )
  return None


def _hashes(path: pathlib.Path) -> dict[str, str]:
  out = {}
  for file in sorted(path.rglob('*')):
    if file.is_file() and file.name != _MANIFEST:
      with file.open('rb') as f:
        digest = hashlib.file_digest(f, 'sha256').hexdigest()
      out[str(file.relative_to(path))] = digest
  return out


def _damage(path: pathlib.Path) -> str | None:
  """What disagrees with the manifest, or None."""
  try:
    expected = json.loads((path / _MANIFEST).read_text())
  except ValueError:
    return f'{_MANIFEST} does not parse'
  found = _hashes(path)
  for name in expected.keys() | found.keys():
    if name not in found:
      return f'{name} is missing'
    if found[name] != expected.get(name):
      return f'{name} has changed'
  return None


def _write_durably(path: pathlib.Path, text: str) -> None:
  partial = path.with_suffix('.partial')
  with partial.open('w') as f:
    f.write(text)
    f.flush()
    os.fsync(f.fileno())
  partial.rename(path)
