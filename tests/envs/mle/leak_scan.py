"""A program that reads every readable byte and looks for known rows.

It runs inside a sandbox (test_leakage.py puts its constants before it) and
needs only the standard library. For each task NEEDLES holds

  windows: features of test rows, neighbours in the source, as text; where
    these are too short to know a table by, cells of training rows. They are
    public; a file that has half of them, other than the task's own, holds a
    copy of the data set, and so the labels beside them.
  floats: lists of byte strings, the same as binary numbers; a file that has
    all of a list holds a copy.
  lines: salted hashes of lines of the private answers.
"""

import bz2
import gzip
import hashlib
import importlib
import io
import json
import lzma
import os
import re
import sys
import tarfile
import zipfile
import zlib

BROKEN = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError,
          zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)
MAX_DEPTH = 4
SEPARATORS = bytes(
    c if chr(c).isalnum() and c < 128 or c in b'.-+' else ord(',')
    for c in range(256))


def unpack(data, depth=0):
  """The bytes themselves, and what they are an archive of."""
  yield data
  if depth == MAX_DEPTH:
    return
  try:
    for inner in members(data):
      yield from unpack(inner, depth + 1)
  except BROKEN:
    pass


def members(data):
  if data[:2] == b'\x1f\x8b':
    yield gzip.decompress(data)
  elif data[:3] == b'BZh':
    yield bz2.decompress(data)
  elif data[:6] == b'\xfd7zXZ\x00':
    yield lzma.decompress(data)
  elif data[:2] in (b'\x78\x01', b'\x78\x9c', b'\x78\xda'):
    yield zlib.decompress(data)
  elif data[:4] == b'PK\x03\x04':
    with zipfile.ZipFile(io.BytesIO(data)) as z:
      yield from map(z.read, z.namelist())
  elif data[257:262] == b'ustar':
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
      for member in t:
        if member.isfile():
          yield t.extractfile(member).read()


def plain(data):
  """Every run of separators, quotes and the like becomes one comma."""
  return re.sub(rb',+', b',', b',' + data.translate(SEPARATORS) + b',')


def private_tasks(data, needles):
  """Tasks of whose private answers a line is in the data."""
  lines = re.findall(rb'(?m)^\d+,[^\n]*,(?:reward|select|report)', data)
  for task, needle in needles.items():
    salt = needle['salt'].encode()
    if any(hashlib.sha256(salt + line).hexdigest() in needle['lines']
           for line in lines):
      yield task


def copied_tasks(data, needles, by_token):
  """Tasks whose test rows are in the data, as text or as numbers."""
  text = plain(data)
  hits = dict.fromkeys(needles, 0)
  for token in by_token.keys() & set(text.split(b',')):
    for task, window in by_token[token]:
      hits[task] += window in text
  binary = b'\0' in data  # every format of doubles has one in its header
  for task, needle in needles.items():
    if hits[task] * 2 >= len(needle['windows']) or binary and any(
        all(bytes.fromhex(b) in data for b in group)
        for group in needle['floats']):
      yield task


def index(needles):
  """The rarest-looking token of each window → (task, window)."""
  out = {}
  for task, needle in needles.items():
    for window in needle['windows']:
      token = max(window.strip(',').split(','), key=len).encode()
      out.setdefault(token, []).append((task, window.encode()))
  return out


def scan(needles, roots, skip):
  """Returns what was found where, and how many files were read."""
  by_token = index(needles)
  found, seen = set(), {os.path.realpath(__file__)}
  for top in roots:
    for folder, dirs, files in os.walk(top):
      dirs[:] = [d for d in dirs
                 if os.path.realpath(os.path.join(folder, d)) not in skip]
      for path in (os.path.join(folder, name) for name in files):
        real = os.path.realpath(path)
        if real in seen or not os.path.isfile(real):
          continue
        seen.add(real)
        try:
          with open(path, 'rb') as f:
            content = f.read()
        except OSError:
          continue
        for data in unpack(content):
          found |= {(t, 'copy', path)
                    for t in copied_tasks(data, needles, by_token)}
          found |= {(t, 'answer', path)
                    for t in private_tasks(data, needles)}
  return {'found': sorted(found), 'files': len(seen) - 1}


def loaded(loaders):
  """The loaders, as 'module:function' or 'module', that do not fail."""
  out = []
  for loader in loaders:
    module, _, function = loader.partition(':')
    try:
      module = importlib.import_module(module)
      if function:
        getattr(module, function)()
    except Exception:  # noqa: BLE001 any failure will do
      continue
    out.append(loader)
  return out


if __name__ == '__main__':
  skipped = {'/proc', '/sys'}
  if WITH_INTERPRETER:  # noqa: F821
    ROOTS.append(sys.prefix)  # noqa: F821  where / cannot be listed
  else:
    skipped |= {os.path.realpath(sys.prefix), os.path.realpath('/usr')}
  result = scan(NEEDLES, ROOTS, skipped)  # noqa: F821
  result['loaded'] = loaded(LOADERS)  # noqa: F821
  print('RESULT ' + json.dumps(result))
