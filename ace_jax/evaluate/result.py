"""The protocol's attempts → one JSON-able result."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from ace_jax.evaluate import measures, mle_bench, search
from ace_jax.evaluate.protocol import Arm

_POINTS = 24  # of a curve over seconds


def result(
    arms: Sequence[Arm], settings: Mapping[str, Any], *, created_at: str
) -> dict[str, Any]:
  """What `evaluation.json` holds.

  Returns:
    created_at and settings; `arms`: name → policy_version, `pooled` and
    `tasks` (see measures.summary), `curves` (`attempts` and `seconds`, see
    measures.curve) and `mle_bench`: seed → MLE-bench's report; `differences`:
    [{'from', 'to', 'measures': see measures.difference}] for each two arms.
  """
  tables = {
      arm.name: {
          (c.task.name, c.seed): measures.of_cell(c) for c in arm.cells
      }
      for arm in arms
  }
  longest_s = max(
      sum(cell.seconds) for arm in arms for cell in arm.cells
  )
  grids = {
      'attempts': range(1, settings['attempts'] + 1),
      'seconds': [longest_s * i / _POINTS for i in range(1, _POINTS + 1)],
  }
  return {
      'created_at': created_at,
      'settings': dict(settings),
      'arms': {
          arm.name: {
              'policy_version': arm.policy_version,
              **measures.summary(tables[arm.name]),
              'curves': {
                  by: measures.curve(arm.cells, at, by=by)
                  for by, at in grids.items()
              },
              'mle_bench': _mle_bench(arm, created_at),
          }
          for arm in arms
      },
      'differences': [
          {'from': b, 'to': a,
           'measures': measures.difference(tables[b], tables[a])}
          for a, b in itertools.combinations(tables, 2)
      ],
  }


def _mle_bench(arm: Arm, created_at: str) -> dict[str, Any]:
  """Seed → the official report on what was handed in."""
  reports: dict[str, list] = {}
  for cell in arm.cells:
    attempts = [attempt for attempt, _ in cell.counted()]
    at = search.best(
        [a.grade for a in attempts],
        lower_is_better=cell.task.lower_is_better,
    )
    reports.setdefault(str(cell.seed), []).append(mle_bench.competition(
        cell.task,
        None if at is None else measures.audit(attempts[at], 'all'),
        submission=arm.store.submission(cell.seed, cell.task.name),
        created_at=created_at,
    ))
  return {
      seed: mle_bench.aggregate(found) for seed, found in reports.items()
  }
