"""The built-in tasks: which real data set, which columns, which metric.

Every data set is a text file inside a pip package; `prepare.py` makes tasks
of them. No data set, nor a near-duplicate of one, is on both sides of the
split between training and held-out tasks (`duplicates.py` compares them).
"""

from __future__ import annotations

from ace_jax.envs.mle.catalog import (
  first,
  markets,
  nature,
  people,
  signals,
  work,
)
from ace_jax.envs.mle.catalog.spec import LOWER_IS_BETTER, Source, Spec

FAMILIES: dict[str, tuple[Spec, ...]] = {
    'first tasks': first.TRAIN + first.HELD_OUT,
    'work and schooling': work.TASKS,
    'people': people.TASKS,
    'markets, firms and states': markets.TASKS,
    'nature': nature.TASKS,
    'signals, games and patterns': signals.TASKS,
}
_ALL = tuple(s for family in FAMILIES.values() for s in family)
TRAIN = tuple(s for s in _ALL if s.split == 'train')
HELD_OUT = tuple(s for s in _ALL if s.split == 'held_out')
TASKS = TRAIN + HELD_OUT

__all__ = ['FAMILIES', 'HELD_OUT', 'LOWER_IS_BETTER', 'Source', 'Spec',
           'TASKS', 'TRAIN']
