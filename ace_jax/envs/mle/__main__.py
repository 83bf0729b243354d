"""The command line: python -m ace_jax.envs.mle COMMAND …

  prepare [--root DIR] [TASK …]   make the built-in tasks
  list [--json | --markdown]      what there is
  grade TASK_DIR submission.csv   score a submission, one JSON object
  add FILE.csv --name NAME --target COLUMN --metric METRIC
                                  make a task of your own table
  ladder TASK …                   compute a leaderboard
  check                           look for near-duplicates across the split
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys

from ace_jax.envs.mle import tasks


def main(argv: list[str] | None = None) -> int:
  """Runs one command; returns the exit code, 2 for bad input."""
  args = _parser().parse_args(argv)
  try:
    args.run(args)
  except tasks.TaskError as e:
    print(f'error: {e}', file=sys.stderr)
    return 2
  return 0


def _prepare(args) -> None:
  from ace_jax.envs.mle import prepare

  prepare.prepare(args.tasks, args.root, record=args.record)


def _list(args) -> None:
  if args.markdown:
    from ace_jax.envs.mle import listing

    print(listing.markdown(args.root), end='')
    return
  rows = tasks.list_tasks(args.root)
  if args.json:
    print(json.dumps(rows))
    return
  print(f'{"name":16}{"split":10}{"metric":18}{"better":8}leaderboard rows')
  for r in rows:
    better = 'lower' if r['lower_is_better'] else 'higher'
    print(f'{r["name"]:16}{r["split"]:10}{r["metric"]:18}{better:8}'
          f'{r["leaderboard_rows"]}')


def _grade(args) -> None:
  from ace_jax.envs.mle import grading

  task = tasks.load_task(args.task, args.root)
  try:
    with open(args.submission, 'rb') as f:
      content = f.read(grading.MAX_BYTES + 1)
  except OSError as e:
    raise tasks.TaskError(
        f'cannot read {args.submission}: {e.strerror}') from e
  grade = dataclasses.asdict(grading.grade(task, content, rows=args.rows))
  print(json.dumps(grade))


def _add(args) -> None:
  from ace_jax.envs.mle import add

  add.add(args.file, name=args.name, target=args.target, metric=args.metric,
          root=args.root)


def _ladder(args) -> None:
  from ace_jax.envs.mle import ladder

  for name in args.tasks:
    ladder.update(name, args.root)


def _check(args) -> None:
  from ace_jax.envs.mle import duplicates

  if duplicates.check():
    raise tasks.TaskError('a data set is on both sides of the split')


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
      prog='python -m ace_jax.envs.mle', description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(required=True, metavar='COMMAND')

  def command(name, run):
    p = commands.add_parser(name)
    p.set_defaults(run=run)
    p.add_argument('--root', type=pathlib.Path, default=None,
                   help='directory of prepared tasks')
    return p

  p = command('prepare', _prepare)
  p.add_argument('tasks', nargs='*', metavar='TASK')
  p.add_argument('--record', action='store_true',
                 help='write hashes.json instead of obeying it')
  p = command('list', _list)
  p.add_argument('--json', action='store_true')
  p.add_argument('--markdown', action='store_true', help='as docs/tasks.md')
  p = command('grade', _grade)
  p.add_argument('task', metavar='TASK_DIR')
  p.add_argument('submission')
  p.add_argument('--rows', default='all',
                 choices=('all', 'reward', 'select', 'report'))
  p = command('add', _add)
  p.add_argument('file', metavar='FILE.csv')
  for option in ('--name', '--target', '--metric'):
    p.add_argument(option, required=True)
  p = command('ladder', _ladder)
  p.add_argument('tasks', nargs='+', metavar='TASK')
  command('check', _check)
  return parser


if __name__ == '__main__':
  sys.exit(main())
