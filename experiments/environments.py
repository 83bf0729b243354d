"""Virtual environments for the programs that a benchmark compares with."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable

from ace_jax.policy import sources


def ensure(
    name: str, note: str, install: Callable[[Callable[..., bool]], None]
) -> pathlib.Path:
  """The Python of an environment in the user's cache, made the first time.

  Args:
    name: of the environment.
    note: said to the user before it is made.
    install: is given `pip(*arguments, check=True)`, one `pip install`, which
      returns whether it worked.

  Raises:
    RuntimeError: a package could not be installed.
  """
  directory = sources.cache_dir() / f'venv-{name}'
  python = directory / 'bin' / 'python'
  ready = directory / 'ready'
  if ready.exists():
    return python
  print(f'making {directory} for {note}', flush=True)
  subprocess.run(
      [sys.executable, '-m', 'venv', '--clear', directory], check=True
  )

  def pip(*arguments: str, check: bool = True) -> bool:
    done = subprocess.run(
        [python, '-m', 'pip', 'install', '--quiet', '--no-input',
         '--disable-pip-version-check', *arguments],
        capture_output=True, text=True, check=False,
    )
    if check and done.returncode:
      raise RuntimeError(f'pip install {" ".join(arguments)}: {done.stderr}')
    return done.returncode == 0

  install(pip)
  ready.touch()
  return python
