"""A sample of the mutants of core/; `python tests/mutation.py` tries all."""

import json
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'mutation.py'


def test_nine_of_ten_mutants_are_killed():
  done = subprocess.run(
      [sys.executable, str(SCRIPT), '--quick'],
      capture_output=True, text=True, timeout=500, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stdout + done.stderr
  report = json.loads(done.stdout.splitlines()[-1])
  assert report['mutants'] == 40
  assert report['rate'] >= 0.9
