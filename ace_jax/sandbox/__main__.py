"""Runs one script in a sandbox from the shell.

  python -m ace_jax.sandbox SCRIPT --public_dir=DIR --timeout_s=60 …
  python -m ace_jax.sandbox prepare
  python -m ace_jax.sandbox image --out=FILE

The last line of its output is the execution as one JSON object. `prepare`
builds the programs' interpreter and says what level this machine gives;
`image` writes the files of the docker backend's image as an archive.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import pathlib
import sys

from ace_jax import types
from ace_jax.sandbox import backends, base, local, runtime


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
      prog='python -m ace_jax.sandbox',
      description='Run a Python script in a sandbox.')
  parser.add_argument('script', help='path of the script, or: prepare, image')
  parser.add_argument('--backend', default='local', choices=backends.BACKENDS)
  for field in dataclasses.fields(base.SandboxSpec):
    kind = int if field.type == 'int' else float
    parser.add_argument(f'--{field.name}', type=kind, default=field.default,
                        help=f'default: {field.default}')
  parser.add_argument('--public_dir', type=pathlib.Path,
                      help='appears read-only as data/')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--out', type=pathlib.Path,
                      help='keep the files the script leaves here; for '
                           'image: the archive')
  parser.add_argument('--min_level', default='L2', choices=local.LEVELS)
  parser.add_argument('--allow_unsafe', action='store_true',
                      help='L1 is better than nothing')
  return parser


def _spec(args: argparse.Namespace) -> base.SandboxSpec:
  return base.SandboxSpec(**{
      field.name: getattr(args, field.name)
      for field in dataclasses.fields(base.SandboxSpec)})


def _sandbox(args: argparse.Namespace, spec: base.SandboxSpec
             ) -> base.Sandbox:
  return backends.make(backends.options(
      backend=args.backend, min_level=args.min_level,
      allow_unsafe=args.allow_unsafe), spec)


def as_json(execution: types.Execution) -> str:
  """The execution in one line of ASCII, with digests for files."""
  record = dataclasses.asdict(execution)
  record['status'] = execution.status.value
  record['files'] = {
      name: {'bytes': len(content),
             'sha256': hashlib.sha256(content).hexdigest()}
      for name, content in sorted(execution.files.items())}
  return json.dumps(record)


def main(argv: list[str]) -> int:
  args = _parser().parse_args(argv)
  try:
    spec = _spec(args)
    job = None
    if args.script == 'image':
      if args.out is None:
        raise ValueError('image needs --out=FILE')
      from ace_jax.sandbox import image
      image.write(runtime.ensure(), args.out)
      return 0
    if args.script != 'prepare':
      program = pathlib.Path(args.script).read_text(encoding='utf-8')
      job = types.Job(args.script, program, args.public_dir, args.seed)
    with _sandbox(args, spec) as sandbox:
      print(sandbox.describe())
      if job is None:
        return 0
      execution = sandbox.run(job)
    if args.out is not None:
      args.out.mkdir(parents=True, exist_ok=True)
      for name, content in execution.files.items():
        (args.out / name).write_bytes(content)
  except (OSError, ValueError, base.SandboxError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(as_json(execution))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
