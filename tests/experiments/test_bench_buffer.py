"""The buffer's benchmark in small: every insert evicts one Problem."""

from experiments import bench_buffer


def test_figures_of_a_small_buffer(monkeypatch):
  monkeypatch.setattr(bench_buffer, 'CALLS', 20)
  result = bench_buffer.measure(5, 50, 2)
  assert result['problems'] == 250
  for name in ('insert', 'sample', 'hash', 'refresh'):
    assert 0 < result[f'{name}_ms']
    assert 0 < result[f'{name}_wall_ms']
