"""What a test may need of the machine, and what happens where it is missing.

A test that needs something skips itself and names it in the reason: through
the fixture `require`, `pytest.importorskip` or a mark. Where the environment's
ACE_JAX_REQUIRE, a list such as `chromium,torch`, has that name, the skip is a
failure. `.ci/run` sets it, so that no check silently ceases to be made.
"""

import os
import re
import shutil

import pytest

from tests import dockerd, threat_table

_threats = threat_table.Table()


@pytest.fixture(scope='session')
def require():
  """`require('chromium', shutil.which('chromium'), 'draws the report')`."""

  def require(name: str, available: object, reason: str) -> None:
    if not available:
      pytest.skip(f'needs {name}: {reason}')

  return require


@pytest.fixture(scope='session')
def docker_daemon(tmp_path_factory):
  """A Docker daemon of the tests' own, which they may stop and restart."""
  if shutil.which('dockerd') is None or os.geteuid() != 0:
    pytest.skip('needs docker: dockerd, and root to start one')
  with dockerd.Daemon(tmp_path_factory.mktemp('dockerd')) as daemon:
    yield daemon


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
  report = (yield).get_result()
  _fail_if_required(report)
  _threats.add(item, report)


def pytest_collection_modifyitems(items):
  _threats.check(items)


def pytest_sessionfinish():
  threat_table.finish(_threats)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
  # A module that skips itself as a whole.
  _fail_if_required((yield).get_result())


def _fail_if_required(report) -> None:
  if not report.skipped or hasattr(report, 'wasxfail'):
    return
  reason = str(report.longrepr)
  if isinstance(report.longrepr, tuple):  # file, line, reason
    reason = report.longrepr[2]
  words = re.findall(r'[\w-]+', reason.lower())
  for name in filter(None, os.environ.get('ACE_JAX_REQUIRE', '').split(',')):
    if name.strip().lower() in words:
      report.outcome = 'failed'
      report.longrepr = f'ACE_JAX_REQUIRE has {name}, but: {reason}'
      return
