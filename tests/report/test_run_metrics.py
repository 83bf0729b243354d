"""metrics.jsonl: whole lines, finite numbers, each step once."""

import json

import numpy as np
import pytest

from ace_jax.report import metrics


def steps(workdir):
  return [(row['phase'], row['step']) for row in metrics.read(workdir)]


def test_rows_come_back_in_order(tmp_path):
  assert metrics.read(tmp_path) == []
  with metrics.MetricsWriter(tmp_path, tensorboard=False) as writer:
    writer.write(1, {'imitation/loss': np.float32(0.5)}, phase='imitation')
    writer.write(np.int64(1), {'loss/policy': -1, 'reward/mean': 0.25})
    first, second = metrics.read(tmp_path)  # on disk before the end
  assert first.items() >= dict(
      phase='imitation', step=1, **{'imitation/loss': 0.5}).items()
  assert second.pop('time_s') > 1e9
  assert second == {
      'phase': 'train', 'step': 1, 'loss/policy': -1.0, 'reward/mean': 0.25}
  assert not (tmp_path / 'tensorboard').exists()


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -np.inf])
def test_a_value_that_is_not_finite_stops_the_run(tmp_path, bad):
  with (metrics.MetricsWriter(tmp_path, tensorboard=False) as writer,
        pytest.raises(FloatingPointError, match='step 7: loss/policy is')):
    writer.write(7, {'reward/mean': 1.0, 'loss/policy': bad})
  assert metrics.read(tmp_path) == []


def test_rewind_takes_back_later_steps_of_this_phase_and_what_follows(
    tmp_path):
  with metrics.MetricsWriter(tmp_path, tensorboard=False) as writer:
    for step in range(3):
      writer.write(step, {}, phase='imitation')
    for step in range(4):
      writer.write(step, {})
    writer.rewind(9)
    assert len(steps(tmp_path)) == 7
    writer.rewind(2)
    writer.write(2, {})
    assert steps(tmp_path) == [
        *(('imitation', i) for i in range(3)), *(('train', i) for i in range(3))
    ]
    writer.rewind(1, phase='imitation')
    assert steps(tmp_path) == [('imitation', 0)]


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path):
  path = tmp_path / metrics.FILE_NAME
  path.write_text('{"phase": "train", "step": 1}\n{"phase": "tr')
  assert steps(tmp_path) == [('train', 1)]
  with metrics.MetricsWriter(tmp_path, tensorboard=False) as writer:
    writer.write(2, {'a/b': 1.0})
  lines = path.read_text().splitlines()
  assert [json.loads(line)['step'] for line in lines] == [1, 2]


def test_a_corrupt_line_in_the_middle_is_an_error(tmp_path):
  (tmp_path / metrics.FILE_NAME).write_text('{"step"\n{"step": 1}\n')
  with pytest.raises(ValueError):
    metrics.read(tmp_path)


def test_tensorboard_gets_the_same_numbers(tmp_path):
  loader = pytest.importorskip(
      'tensorboardX.proto.event_pb2', reason='tensorboardX is not installed')
  with metrics.MetricsWriter(tmp_path, tensorboard=True) as writer:
    writer.write(3, {'loss/policy': 0.5})
    writer.rewind(2)
    writer.write(2, {'loss/policy': 0.25})
  files = sorted((tmp_path / 'tensorboard' / 'train').iterdir())
  events = [e for f in files for e in _events(f.read_bytes(), loader.Event)]
  scalars = [(e.step, v.tag, v.simple_value)
             for e in events for v in e.summary.value]
  assert (3, 'loss/policy', 0.5) in scalars
  assert (2, 'loss/policy', 0.25) in scalars
  # The mark by which TensorBoard hides what was taken back.
  assert [e.step for e in events if e.HasField('session_log')] == [2]


def _events(data, event_type):
  """Records: length u64, its CRC u32, payload, its CRC u32."""
  while data:
    length = int.from_bytes(data[:8], 'little')
    event = event_type()
    event.ParseFromString(data[12:12 + length])
    yield event
    data = data[16 + length:]
