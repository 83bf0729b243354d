"""Where there is no mount namespace: a run's own directories on disk."""

from __future__ import annotations

import hashlib
import os
import shutil

from .setup import Setup


def make(setup: Setup, slot: int, name: str, public_dir: str | None
         ) -> tuple[str, str | None]:
  """Makes them; returns their path, and where the public data lies.

  Raises:
    OSError: they cannot be made.
  """
  place = f'{setup.scratch}/{name}'
  os.mkdir(place, 0o711)
  for part in ('submission', 'tmp'):
    os.mkdir(f'{place}/{part}', 0o700)
    if setup.is_root:
      os.chown(f'{place}/{part}', setup.uid(slot), setup.uid(slot))
  if public_dir is not None:
    if setup.is_root and not _is_reachable(public_dir):
      public_dir = _copy(setup, public_dir)
    os.symlink(public_dir, f'{place}/submission/data')
  return place, public_dir


def _is_reachable(path: str) -> bool:
  """Whether any user may go there."""
  path = os.path.realpath(path)
  while path != '/':
    if not os.stat(path).st_mode & 0o001:
      return False
    path = os.path.dirname(path)
  return True


def _copy(setup: Setup, public_dir: str) -> str:
  """A copy of the data that a spare uid can reach, made once per spawner."""
  digest = hashlib.sha256(os.fsencode(public_dir))
  for folder, _, names in sorted(os.walk(public_dir)):
    for name in sorted(names):
      status = os.stat(os.path.join(folder, name))
      digest.update(f'{folder}/{name} {status.st_size} {status.st_mtime_ns}'
                    .encode('utf-8', 'surrogateescape'))
  copy = f'{setup.scratch}/data-{digest.hexdigest()[:24]}'
  if not os.path.exists(copy):
    half_made = f'{copy}.{os.getpid()}'
    shutil.copytree(public_dir, half_made)
    for folder, _, names in os.walk(half_made):
      os.chmod(folder, 0o755)
      for name in names:
        os.chmod(os.path.join(folder, name), 0o644)
    try:
      os.rename(half_made, copy)
    except OSError:  # another guard was first
      shutil.rmtree(half_made)
  return copy
