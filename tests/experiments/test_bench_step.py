"""The benchmark's bookkeeping, with a worker that only pretends."""

import itertools
import json
import sys

import pytest

from ace_jax.policy import weights
from experiments import bench_step

WORKER = """#!{python}
import json, sys
print('noise of a library')
print(json.dumps({{'versions': {{'trl': '9'}}}}), flush=True)
for turn, line in enumerate(sys.stdin):
  assert line == 'step\\n'
  print(json.dumps({{'total_s': 100.0 + turn, 'generation_s': 40.0,
                    'update_s': 60.0 + turn, 'shape': {shape}}}), flush=True)
"""


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
  """Runs main with both sides pretended; returns its last line."""
  monkeypatch.setattr(bench_step, 'pin_threads', lambda: None)
  monkeypatch.setattr(weights, 'load', lambda _: (None, None, None))
  monkeypatch.setattr(weights, 'export', lambda *_: None)
  turns = itertools.count()
  monkeypatch.setattr(bench_step, 'make_ours', lambda *_: lambda: {
      'total_s': 1000.0 if next(turns) == 0 else 50.0,
      'generation_s': 10.0,
      'update_s': 40.0,
  })

  def run(*args, shape=(16, 91, 165)):
    python = tmp_path / 'python'
    python.write_text(WORKER.format(python=sys.executable, shape=list(shape)))
    python.chmod(0o755)
    monkeypatch.setattr(
        sys, 'argv', ['bench_step', f'--trl_python={python}', *args]
    )
    bench_step.main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])

  return run


def test_ratios_are_of_medians_without_the_first_step(bench):
  result = bench('--repeats=3')
  assert result['ours']['total_s'] == 50
  assert result['ours']['warm_up_s'] == 1000
  assert result['trl']['total_s'] == 102  # of 101, 102, 103
  assert result['trl_ratio'] == pytest.approx(102 / 50)
  assert result['trl_ratio_generation'] == pytest.approx(4)
  assert result['trl_ratio_update'] == pytest.approx(62 / 40)
  assert result['versions']['trl'] == '9'
  assert result['threads'] == 2


def test_quick_is_one_repeat(bench):
  result = bench('--quick')
  assert result['repeats'] == len(result['trl']['steps']) == 1


def test_a_batch_of_another_shape_is_no_comparison(bench):
  with pytest.raises(ValueError, match='another shape'):
    bench('--quick', shape=(16, 91, 164))
