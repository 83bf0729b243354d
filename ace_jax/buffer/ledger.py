"""The record of every Attempt: one SQLite file that survives a SIGKILL.

A run writes from one thread, one transaction per step, in WAL mode, so that a
report can read (`read_only=True`) while the run goes on. What a step wrote is
on disk when `insert` returns; `rewind` takes back the steps after the
checkpoint that a run resumes from, so that each step is recorded once.

Everything is stored by value. Token ids and log-probs are little-endian
blobs, the sampler's own numbers: never re-tokenised text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from ace_jax import types

VERSION = 3
_SCHEMA = """CREATE TABLE attempts (
  phase TEXT NOT NULL,            -- train | before | after | imitation | …
  step INTEGER NOT NULL, key TEXT NOT NULL,
  task TEXT NOT NULL, kind TEXT NOT NULL, parent TEXT,
  policy_version INTEGER NOT NULL, prompt TEXT, completion TEXT,
  finished INTEGER NOT NULL, num_tokens INTEGER NOT NULL, -- of the completion
  program TEXT, program_hash TEXT, -- NULL: the completion held no program
  status TEXT,                    -- NULL from here on: nothing was run
  limit_hit TEXT, exit_code INTEGER, duration_s REAL, cpu_s REAL,
  peak_memory_mb REAL, backend TEXT, level TEXT, noisy INTEGER,
  pinned INTEGER,
  infra_error TEXT, stdout TEXT, stderr TEXT,             -- the tails
  milestones INTEGER NOT NULL, valid INTEGER NOT NULL, score REAL, medal TEXT,
  above_median INTEGER NOT NULL, human_rank REAL NOT NULL,
  graded_rows TEXT NOT NULL, grade_error TEXT,
  audits TEXT NOT NULL,           -- JSON: the grades on other rows
  reward REAL,                    -- NULL: infra_error
  recorded_s REAL NOT NULL,       -- Unix time
  prompt_tokens BLOB NOT NULL, completion_tokens BLOB NOT NULL,
  behavior_logp BLOB NOT NULL, action_mask BLOB NOT NULL,
  PRIMARY KEY (phase, key))"""
_BLOBS = {'prompt_tokens': '<i4', 'completion_tokens': '<i4',
          'behavior_logp': '<f4', 'action_mask': 'u1'}


class Ledger:
  """Use from the thread that made it; readers open the file for themselves.

  Args:
    path: the file; created unless `read_only`.
    decode: token ids [T] → text. Without it the text columns are NULL.
    normalize: program → the form in which two programs count as the same.
    max_output_chars: how much of the end of stdout and of stderr is kept.
    read_only: for a report, also on a run that is still going.

  Raises:
    sqlite3.Error: the file cannot be opened or is no database.
    ValueError: it was written with another schema.
  """

  def __init__(
      self,
      path: str | pathlib.Path,
      *,
      decode: Callable[[np.ndarray], str] | None = None,
      normalize: Callable[[str], str] | None = None,
      max_output_chars: int = 4000,
      read_only: bool = False,
  ):
    self._decode = decode or (lambda tokens: None)
    self._normalize = normalize or (lambda program: program)
    self._tail = slice(-max_output_chars, None)
    uri = pathlib.Path(path).absolute().as_uri()
    self._db = sqlite3.connect(f'{uri}?mode={"ro" if read_only else "rwc"}',
                               uri=True, timeout=30.0, isolation_level=None)
    self._db.row_factory = sqlite3.Row
    try:
      if not read_only:
        self._db.execute('PRAGMA journal_mode=WAL')
        self._db.execute('PRAGMA synchronous=FULL')
        if not self._db.execute('SELECT 1 FROM sqlite_master').fetchone():
          with self._transaction():
            self._db.execute(_SCHEMA)
            self._db.execute(f'PRAGMA user_version={VERSION}')
      version, = self._db.execute('PRAGMA user_version').fetchone()
      if version != VERSION:
        raise ValueError(f'{path}: schema {version}, this is {VERSION}')
    except BaseException:
      self._db.close()
      raise

  def _transaction(self) -> sqlite3.Connection:
    self._db.execute('BEGIN IMMEDIATE')
    return self._db  # as a context manager: commit, or roll back on error

  def insert(
      self, step: int, phase: str, attempts: Sequence[types.Attempt]
  ) -> None:
    """Records `attempts`, all or none; the same (phase, key) is replaced."""
    rows = [self._row(step, phase, attempt) for attempt in attempts]
    with self._transaction():
      for row in rows:
        self._db.execute(
            f'INSERT OR REPLACE INTO attempts ({", ".join(row)})'
            f' VALUES ({", ".join("?" * len(row))})', tuple(row.values()))

  def rewind(self, step: int) -> int:
    """Takes back training steps ≥ `step`; returns how many rows that were."""
    with self._transaction():
      return self._db.execute("DELETE FROM attempts WHERE phase = 'train'"
                              ' AND step >= ?', (step,)).rowcount

  def attempts(
      self, phase: str | None = None, *, columns: Sequence[str] = ('*',)
  ) -> Iterator[sqlite3.Row]:
    """Rows (read as mappings) in the order in which they were recorded."""
    return self._db.execute(
        f'SELECT {", ".join(columns)} FROM attempts'
        ' WHERE phase = coalesce(?, phase) ORDER BY rowid', (phase,))

  def attempt(self, phase: str, key: str) -> sqlite3.Row:
    """One row, whole. Raises KeyError."""
    row = self._db.execute('SELECT * FROM attempts WHERE phase = ? AND key = ?',
                           (phase, key)).fetchone()
    if row is None:
      raise KeyError((phase, key))
    return row

  def close(self) -> None:
    self._db.close()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exc_info: object) -> None:
    self.close()

  def _row(
      self, step: int, phase: str, attempt: types.Attempt
  ) -> dict[str, Any]:
    problem, done, grade = attempt.problem, attempt.completion, attempt.grade
    tokens, program = done.tokens(), attempt.program
    row = dict(
        phase=phase, step=step, key=attempt.key, task=problem.task,
        kind=problem.kind, parent=problem.parent and problem.parent.key,
        policy_version=done.policy_version, finished=done.finished,
        num_tokens=len(tokens), prompt=self._decode(attempt.prompt.tokens),
        completion=self._decode(tokens), program=program,
        milestones=attempt.milestones, valid=grade.valid, score=grade.score,
        medal=grade.medal, above_median=grade.above_median,
        human_rank=grade.human_rank, graded_rows=grade.rows,
        grade_error=grade.error, reward=attempt.reward,
        audits=json.dumps([dataclasses.asdict(g) for g in attempt.audits]),
        recorded_s=time.time(), prompt_tokens=attempt.prompt.tokens,
        completion_tokens=tokens, behavior_logp=done.behavior_logp(),
        action_mask=done.mask())
    if program is not None:
      normal = self._normalize(program).encode(errors='replace')
      row['program_hash'] = hashlib.sha256(normal).hexdigest()
    if (run := attempt.execution) is not None:
      row |= dict(
          status=types.Status(run.status).value, limit_hit=run.limit,
          exit_code=run.exit_code, duration_s=run.duration_s, cpu_s=run.cpu_s,
          peak_memory_mb=run.peak_memory_mb, backend=run.backend,
          level=run.level, noisy=run.noisy, pinned=run.pinned,
          infra_error=run.error,
          stdout=run.stdout[self._tail], stderr=run.stderr[self._tail])
    return {name: _sql(name, value) for name, value in row.items()}


def arrays(row: sqlite3.Row) -> dict[str, np.ndarray]:
  """The blobs of a row: tokens [T] int32, log-probs [T] float32, mask [T]."""
  return {name: np.frombuffer(row[name], dtype)
          for name, dtype in _BLOBS.items()}


def _sql(name: str, value: Any) -> Any:
  if name in _BLOBS:
    return np.asarray(value).astype(_BLOBS[name]).tobytes()
  if isinstance(value, str):  # lone surrogates have no UTF-8 form
    return value.encode(errors='replace').decode()
  return value.item() if isinstance(value, np.generic) else value
