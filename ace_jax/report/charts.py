"""Which metrics are drawn, in which order, and what they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ace_jax.report import plots


@dataclasses.dataclass(frozen=True)
class Chart:
  """One small multiple: metrics that share an axis."""

  title: str
  keys: Mapping[str, str]  # metric → label
  y_label: str
  note: str = ''
  spread: str | None = None  # metric drawn as a band around the first
  percent: bool = False
  quiet: bool = False  # drawn only when it was ever above 0


@dataclasses.dataclass(frozen=True)
class Figure:
  title: str
  note: str
  labels: tuple[str, ...]  # legend; empty for a single line
  svg: Markup
  filled: bool = False  # the legend shows areas, not lines


GROUPS = {
    'Learning': (
        Chart('Reward', {'reward/mean': 'mean'}, 'reward',
              'mean of a step; the band is one standard deviation',
              spread='reward/std'),
        Chart('Valid programs', {'exec/valid_rate': 'valid'},
              'share of samples', 'a submission that the grader accepted',
              percent=True),
        Chart('HumanRank', {'score/human_rank_mean': 'mean',
                            'score/best': 'best'}, 'HumanRank',
              'share of the leaderboard that is tied or beaten'),
        Chart('Groups that teach', {'group/nonzero_advantage_rate': 'groups'},
              'share of groups', 'groups whose rewards differ', percent=True),
        Chart('Distinct programs', {'program/distinct': 'distinct'},
              'programs', 'in a step, after normalisation'),
    ),
    'Programs': (
        Chart('Response length', {'sampler/completion_tokens_mean': 'mean'},
              'tokens'),
        Chart('Ended by themselves', {'sampler/finished_rate': 'finished'},
              'share of samples', 'not cut off at the length limit',
              percent=True),
        Chart('Execution time', {'exec/duration_mean_s': 'mean'}, 'seconds'),
        Chart('Failures', {'exec/error_rate': 'error',
                           'exec/timeout_rate': 'time limit',
                           'exec/no_program_rate': 'no program'},
              'share of samples', percent=True),
        Chart('Failures of the machinery', {'exec/infra_errors': 'errors'},
              'executions', 'left out of the batch', quiet=True),
    ),
    'Policy': (
        Chart('Entropy', {'policy/entropy': 'entropy'}, 'nats per token'),
        Chart('Loss', {'loss/policy': 'policy'}, 'loss'),
        Chart('Divergence from the reference', {'loss/kl': 'KL'}, 'nats',
              quiet=True),
        Chart('Largest ratio', {'policy/ratio_max': 'ratio'}, 'π / π old'),
        Chart('Clipped', {'policy/clip_fraction': 'clipped'},
              'share of tokens', percent=True),
        Chart('Sampler against learner', {'policy/logp_gap_mean': 'mean',
                                          'policy/logp_gap_max': 'largest'},
              'nats', 'difference of their log-probabilities'),
        Chart('Gradient norm', {'policy/grad_norm': 'norm'}, 'before clipping'),
        Chart('Learning rate', {'policy/lr': 'rate'}, 'rate'),
    ),
    'Speed': (
        Chart('Time of a step', {'time/sample_s': 'sample',
                                 'time/execute_s': 'execute',
                                 'time/update_s': 'update',
                                 'time/step_s': 'whole'}, 'seconds'),
        Chart('Sampling', {'sampler/tokens_per_s': 'tokens'},
              'tokens per second'),
    ),
    'Warm start': (
        Chart('Imitation', {'imitation/loss': 'demonstrations',
                            'imitation/held_out_loss': 'held out'},
              'nats per token'),
        Chart('Training speed', {'imitation/tokens_per_s': 'tokens'},
              'tokens per second'),
    ),
}


def draw(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Figure]]:
  """Rows of metrics.jsonl → figures per group; a metric with no row is left
  out, one that no chart names gets a plain chart of its own at the end."""
  points: dict[str, list[tuple[float, float]]] = {}
  for row in rows:
    for key, value in row.items():
      if '/' in key and isinstance(value, (int, float)):
        points.setdefault(key, []).append((row['step'], value))
  groups = {name: [_draw(chart, points) for chart in charts
                   if _worth_drawing(chart, points)]
            for name, charts in GROUPS.items()}
  known = {key for charts in GROUPS.values() for chart in charts
           for key in (*chart.keys, chart.spread)}
  groups['Other metrics'] = [
      _draw(Chart(key, {key: key}, key.rsplit('/')[-1]), points)
      for key in sorted(points.keys() - known)]
  return {name: figures for name, figures in groups.items() if figures}


def _worth_drawing(chart: Chart, points) -> bool:
  drawn = [points[key] for key in chart.keys if key in points]
  return bool(drawn) and not (
      chart.quiet and all(y <= 0 for line in drawn for _, y in line))


def _draw(chart: Chart, points) -> Figure:
  series = [plots.Series(label, points[key])
            for key, label in chart.keys.items() if key in points]
  spread = points.get(chart.spread, ())
  if len(spread) == len(series[0].points):
    series[0] = dataclasses.replace(series[0], spread=[s for _, s in spread])
  labels = tuple(s.label for s in series) if len(series) > 1 else ()
  return Figure(chart.title, chart.note, labels, plots.line_chart(
      series, title=chart.title, y_label=chart.y_label,
      percent=chart.percent))


OUTCOMES = ('valid', 'ran, not valid', 'error', 'limit hit', 'no program')


def outcome(row: Mapping[str, Any]) -> int | None:
  """Index into OUTCOMES; None when our own machinery failed."""
  match row['status']:
    case 'infra_error':
      return None
    case None:
      return 4
    case 'ok':
      return 0 if row['valid'] else 1
    case 'error':
      return 2
    case _:
      return 3


def draw_outcomes(
    rows: Sequence[Mapping[str, Any]], *, max_columns: int = 60
) -> Figure | None:
  """What became of the training samples; neighbouring steps share a column."""
  steps = sorted({row['step'] for row in rows})
  if not steps:
    return None
  width = -(-len(steps) // max_columns)
  column = {step: i // width for i, step in enumerate(steps)}
  counts = [[0] * len(OUTCOMES) for _ in range(0, len(steps), width)]
  for row in rows:
    if (kind := outcome(row)) is not None:
      counts[column[row['step']]][kind] += 1
  svg = plots.stacked_bars(
      list(zip(steps[::width], counts, strict=True)), OUTCOMES,
      title='What became of the samples')
  return Figure('What became of the samples', '', OUTCOMES, svg, filled=True)
