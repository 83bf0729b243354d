"""Buffers as JSON and arrays, exactly, for checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np

from ace_jax.buffer import potential
from ace_jax.buffer.evolving import Buffer
from ace_jax.buffer.table import Table
from ace_jax.envs import lineage

_STACKED = ('cell_sums', 'noise', 'averages')  # [K, …]
_ROWS = ('cell', 'quality', 'sums', 'visits', 'weight')  # [N] or [COST, N]


def to_state(buffer: Buffer) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """(JSON-able, arrays): all of a buffer."""
  tables = buffer.tables
  arrays = {'mass': buffer.mass}
  arrays |= {
      name: np.stack([getattr(t, name) for t in tables]) for name in _STACKED
  }
  arrays |= {
      name: np.concatenate([getattr(t, name) for t in tables], -1)
      for name in _ROWS
  }
  arrays |= {f'pooled_{k}': x for k, x in buffer.pooled._asdict().items()}
  meta = {
      'tasks': [
          {
              'problems': [lineage.to_json(p) for p in t.problems],
              'hashes': t.hashes,
              'best': t.best,
          }
          for t in tables
      ],
      'version': buffer.version,
      'duplicates': buffer.duplicates,
  }
  return meta, arrays


def from_state(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Buffer:
  """The buffer that `to_state` was given."""
  sizes = [len(t['problems']) for t in meta['tasks']]
  ends = np.cumsum(sizes)[:-1]
  rows = {name: np.split(arrays[name], ends, -1) for name in _ROWS}
  tables = []
  for k, task in enumerate(meta['tasks']):
    problems = tuple(map(lineage.from_json, task['problems']))
    tables.append(Table(
        problems=problems,
        keys=tuple(p.key for p in problems),
        hashes=tuple(task['hashes']),
        roots=tuple(p.parent.root if p.parent else '' for p in problems),
        best=task['best'],
        **{name: rows[name][k] for name in _ROWS},
        **{name: arrays[name][k] for name in _STACKED},
    ))
  return Buffer(
      tables=tuple(tables),
      index={t.problems[0].task: k for k, t in enumerate(tables)},
      mass=arrays['mass'],
      pooled=potential.Pooled(
          *(arrays[f'pooled_{name}'] for name in potential.Pooled._fields)
      ),
      size=sum(sizes),
      version=meta['version'],
      duplicates=meta['duplicates'],
  )
