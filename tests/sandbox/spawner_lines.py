"""Line coverage of the spawner, which no coverage tool can follow.

It runs in another interpreter, forks, empties its environment, changes user
and file tree, and forbids itself most system calls. What survives all that is
memory shared with the tests: one byte per line, set by a trace function that
every fork inherits.
"""

from __future__ import annotations

import contextlib
import inspect
import pathlib

import coverage

from ace_jax.sandbox import local, spawner

DIRECTORY = pathlib.Path(spawner.__file__).resolve().parent
MAX_LINES = 1024  # of a file


def _record(path: str, files: dict[str, int]) -> None:
  """Runs in the spawner: sets byte `files[name] + n` when line n runs."""
  import mmap
  import sys

  with open(path, 'r+b') as file:
    seen = mmap.mmap(file.fileno(), 0)

  def on_call(frame, *_):
    start = files.get(frame.f_code.co_filename)
    if start is None:
      return None

    def on_line(frame, *_):
      seen[start + frame.f_lineno] = 1
      return on_line

    return on_line(frame)

  sys.settrace(on_call)


@contextlib.contextmanager
def recorded(cov: coverage.Coverage, scratch: pathlib.Path):
  """Spawners that start in here add their lines to what `cov` combines."""
  names = sorted(map(str, DIRECTORY.glob('*.py')))
  files = {name: i * MAX_LINES for i, name in enumerate(names)}
  path = scratch / 'lines'
  path.write_bytes(bytes(len(files) * MAX_LINES))
  original = local._SPAWNER
  local._SPAWNER = (
      f'{inspect.getsource(_record)}\n_record({str(path)!r}, {files!r})\n'
      + original
  )
  try:
    yield
  finally:
    local._SPAWNER = original
  seen = path.read_bytes()
  data = coverage.CoverageData(cov.get_data().base_filename(), suffix='spawner')
  data.add_lines({
      name: [n for n in range(MAX_LINES) if seen[start + n]]
      for name, start in files.items()
  })
  data.write()
