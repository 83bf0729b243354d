"""The command line."""

from __future__ import annotations

import hashlib
import json
import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).parents[2]


def command(*args) -> subprocess.CompletedProcess:
  return subprocess.run(
      [sys.executable, '-m', 'ace_jax.sandbox', *map(str, args)], cwd=REPO,
      capture_output=True, text=True, timeout=120)


def test_prints_the_execution_last(tmp_path):
  public = tmp_path / 'public'
  public.mkdir()
  (public / 'x.csv').write_text('7')
  script = tmp_path / 'script.py'
  script.write_text('import sys\nopen("submission.csv", "w").write(open('
                    '"data/x.csv").read())\nprint("é\\n{}")\nsys.exit(4)')
  result = command(script, f'--public_dir={public}', '--timeout_s=20',
                   '--memory_mb=300', f'--out={tmp_path / "out"}')
  assert result.returncode == 0, result.stderr
  record = json.loads(result.stdout.splitlines()[-1])
  assert record['status'] == 'error' and record['exit_code'] == 4
  assert record['stdout'] == 'é\n{}\n'
  assert record['files'] == {'submission.csv': {
      'bytes': 1, 'sha256': hashlib.sha256(b'7').hexdigest()}}
  assert set(record) >= {'duration_s', 'cpu_s', 'peak_memory_mb', 'stderr',
                         'backend', 'level', 'limit'}
  assert (tmp_path / 'out' / 'submission.csv').read_text() == '7'


@pytest.mark.parametrize('args', [
    ('/nowhere.py',),
    (__file__, '--timeout_s=-1'),
    (__file__, '--timeout_s=soon'),
    (__file__, '--backend=magic'),
    (__file__, '--min_level=L9'),
    (__file__, '--public_dir=/nowhere'),
])
def test_bad_input_is_one_clear_line(args):
  result = command(*args)
  assert result.returncode != 0
  assert 'error: ' in result.stderr.splitlines()[-1]
  assert 'Traceback' not in result.stderr
