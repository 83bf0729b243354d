"""Competitions on disk, and submissions to them."""

import bench_data
import pytest


@pytest.fixture
def prepared(tmp_path):
  """`prepared(name)` → a directory of the competition."""
  return lambda name: bench_data.make(tmp_path, name)
