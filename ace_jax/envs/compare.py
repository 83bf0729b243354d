"""Whether two submissions predict the same.

A submission is a stranger's: any bytes have a signature, and a file of 8 MB
costs about a second and little memory beyond its text.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zlib
from array import array
from collections.abc import Iterator

import numpy as np

MAX_ROWS = 4096  # that a signature stands for
_MAX_BYTES = 16 << 20  # of what is read as a table
_MAX_LINES = 2_000_000
_WIDTHS = (1, 8)  # bytes of a row's hash, at least and at most
_UNIQUE = 0.99  # share of distinct ids; their short hashes may collide


def signature(submission: bytes | None) -> bytes:
  """A few bytes that stand for the predictions; b'' without a submission.

  A byte that says how wide they are, then a hash for each row, by id: of at
  most MAX_ROWS rows, those whose ids hash lowest, so that two submissions to
  one task are sampled alike. The order of rows and columns does not count
  where there are ids, the digits of a number beyond the sixth never. What is
  no table, or too large for one, has the hash of its bytes.

  Returns:
    At most 4,097 bytes.
  """
  if not submission:
    return b''
  rows = _rows(submission)
  if rows is None:
    return b'\x20' + hashlib.sha256(submission).digest()
  width = min(max(MAX_ROWS // len(rows), _WIDTHS[0]), _WIDTHS[1])
  hashes = (
      hashlib.blake2b(row.encode(), digest_size=width).digest()
      for row in rows
  )
  return bytes([width]) + b''.join(hashes)


def same(one: bytes, other: bytes, share: float = 0.999) -> bool:
  """Whether two signatures agree on at least this share of their rows.

  False where either submission was missing.
  """
  if not one or len(one) != len(other) or one[0] != other[0]:
    return False
  rows = [
      np.frombuffer(x, np.uint8, offset=1).reshape(-1, x[0])
      for x in (one, other)
  ]
  return float((rows[0] == rows[1]).all(1).mean()) >= share


# --- Rows --------------------------------------------------------------------


def _rows(submission: bytes) -> list[str] | None:
  """Text that stands for each sampled row, by id; None if it is no table."""
  lines = submission.count(b'\n') + submission.count(b'\r')
  if len(submission) > _MAX_BYTES or lines > _MAX_LINES:
    return None
  text = submission.decode('utf-8-sig', 'backslashreplace')
  try:
    header = [cell.strip() for cell in next(_table(text), [])]
    at, ids = _id_column(header), array('I')
    ids.extend(_hash(row, at) for row in _body(text))
    if not header or not ids:
      return None
    hashes = np.frombuffer(ids, np.uint32)
    last = np.sort(hashes)[:MAX_ROWS][-1]
    has_ids = len(np.unique(hashes)) >= _UNIQUE * len(hashes)
    if not has_ids:
      at, last = None, None
    return _sample(text, header, at, last)
  except csv.Error:
    return None


def _sample(
    text: str, header: list[str], at: int | None, last: int | None
) -> list[str]:
  """The rows whose ids hash to `last` at most, by id; without ids the first
  rows in their order."""
  values = sorted(set(range(len(header))) - {at}, key=lambda i: header[i])
  kept = []
  for number, row in enumerate(_body(text)):
    if last is None:
      if number == MAX_ROWS:
        break
      key = (number, '')
    elif (key := (_hash(row, at), _id(row, at)))[0] > last:
      continue
    cells = [_value(row[i]) if i < len(row) else '' for i in values]
    cells += row[len(header):]
    kept.append((key, '\x1f'.join(cells)))
  names = '\x1f'.join(header[i] for i in values)
  return [f'{names}\x1e{key[1]}\x1e{row}' for key, row in sorted(kept)][
      :MAX_ROWS
  ]


def _table(text: str) -> Iterator[list[str]]:
  return (row for row in csv.reader(io.StringIO(text, newline='')) if row)


def _body(text: str) -> Iterator[list[str]]:
  rows = _table(text)
  next(rows, None)
  return rows


def _id_column(header: list[str]) -> int:
  """The first that is called an id, else the first."""
  names = [name.lower() for name in header]
  return next((i for i, name in enumerate(names) if name.endswith('id')), 0)


def _hash(row: list[str], at: int) -> int:
  return zlib.crc32(_id(row, at).encode())


def _id(row: list[str], at: int) -> str:
  """'3', '3.0' and ' 3' are one id, as they are for the grader."""
  cell = row[at].strip() if at < len(row) else ''
  try:
    value = float(cell)
  except ValueError:
    return cell
  return str(int(value)) if value.is_integer() else repr(value)


def _value(cell: str) -> str:
  cell = cell.strip()
  try:
    return f'{float(cell) + 0.0:.6g}'  # −0 is 0
  except ValueError:
    return cell
