"""What a ledger gives back is what a search had seen."""

import dataclasses

import numpy as np
import pytest

from ace_jax.buffer.ledger import Ledger
from ace_jax.envs import lineage
from ace_jax.evaluate import history
from ace_jax.types import Grade, Problem, Status
from tests.evaluate.records import attempt, child


def plain(value):
  """Arrays as lists, records as dicts: what == can compare."""
  if dataclasses.is_dataclass(value):
    return {f.name: plain(getattr(value, f.name))
            for f in dataclasses.fields(value)}
  if isinstance(value, tuple):
    return [plain(v) for v in value]
  return value.tolist() if isinstance(value, np.ndarray) else value


def test_recorded_attempts_come_back(tmp_path):
  draft = attempt('a', 0.5, 0.6, medal='gold', above_median=True)
  draft = dataclasses.replace(draft, milestones=4, reward=None, grade=Grade(
      True, 0.5, 'silver', True, 0.25, rows='select'))
  seen = [
      draft, attempt('b', status=Status.TIMEOUT), attempt('c', program=None),
      child(history.bare(draft), 'd', 0.7, 0.8)]
  with Ledger(tmp_path / 'ledger.sqlite') as ledger:
    ledger.insert(3, 'p', seen)
    rows = list(ledger.attempts('p'))
  got = [history.restore(row, a.problem)
         for row, a in zip(rows, seen, strict=True)]
  assert [plain(a) for a in got] == [plain(history.bare(a)) for a in seen]
  assert got[0].execution.files == {}
  # … so the next question is the same, too.
  for a, b in zip(got, seen, strict=True):
    assert lineage.child(a) == lineage.child(history.bare(b))


def test_another_problem_is_refused(tmp_path):
  with Ledger(tmp_path / 'ledger.sqlite') as ledger:
    ledger.insert(0, 'p', [attempt('a', 0.5)])
    (row,) = ledger.attempts('p')
  for problem in (Problem('u'), lineage.child(attempt('z', 0.5))):
    with pytest.raises(ValueError, match="'a'"):
      history.restore(row, problem)
