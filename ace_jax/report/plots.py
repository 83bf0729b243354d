"""Small charts as inline SVG: no scripts, no styles of their own.

Colours, fonts and what hovering shows come from `report.css` by class. Every
text is escaped, so a task may be called anything.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from ace_jax.report import source

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 50, 10, 24, 34
# A chart's size stays bounded, however long the run.
MAX_POINTS = 480
MAX_HOVERS = 120
SMOOTH_FROM = 24  # points from which on a running mean is drawn


@dataclasses.dataclass(frozen=True)
class Series:
  label: str
  points: Sequence[tuple[float, float]]  # (x, y), x rising
  spread: Sequence[float] | None = None  # half height of a band around y


def element(name: str, *content: object, **attributes: object) -> Markup:
  """`class_` and `stroke_width` become `class` and `stroke-width`."""
  text = ''.join(
      f' {key.rstrip("_").replace("_", "-")}="{_safe(value)}"'
      for key, value in attributes.items() if value is not None)
  return Markup(f'<{name}{text}>{"".join(map(_safe, content))}</{name}>')


def _safe(value: object) -> Markup:
  if isinstance(value, Markup):
    return value
  if isinstance(value, float):
    return Markup(f'{value:.2f}'.rstrip('0').rstrip('.'))
  return escape(source.visible(value))


def number(value: float | None, *, percent: bool = False) -> str:
  """Three significant digits, 12,345, 42 %, or – for None."""
  if value is None:
    return '–'
  if percent:
    return f'{100 * value:.3g} %'
  if abs(value) >= 1000:
    return f'{value:,.0f}'
  return f'{value + 0.0:.3g}'.replace('e-0', 'e-')


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
  """Round numbers, a step of 1, 2 or 5 × 10ⁿ apart, that enclose the range."""
  if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
    margin = abs(low) * 0.1
    low, high = low - margin, high + (margin or 1.0)
  rough = (high - low) / count
  size = 10.0 ** math.floor(math.log10(rough))
  step = next(size * m for m in (1, 2, 5, 10) if size * m >= rough * 0.999)
  first = math.floor(low / step + 1e-9)
  last = math.ceil(high / step - 1e-9)
  # Not i * step, which would print 0.30000000000000004.
  return [float(f'{i * step:.12g}') for i in range(first, last + 1)]


def smooth(values: Sequence[float]) -> list[float]:
  """A centred mean, so without lag, over about a tenth of the run."""
  half = max(1, len(values) // 20)
  windows = (values[max(0, i - half):i + half + 1] for i in range(len(values)))
  return [math.fsum(window) / len(window) for window in windows]


def thin(s: Series) -> Series:
  """At most MAX_POINTS points: means of neighbours, each at its last x."""
  width = math.ceil(len(s.points) / MAX_POINTS)
  if width <= 1:
    return s

  def means(values: Sequence[float]) -> list[float]:
    parts = (values[i:i + width] for i in range(0, len(values), width))
    return [math.fsum(part) / len(part) for part in parts]

  xs = [x for x, _ in s.points]
  ends = [xs[min(i + width, len(xs)) - 1] for i in range(0, len(xs), width)]
  points = list(zip(ends, means([y for _, y in s.points]), strict=True))
  return Series(s.label, points, s.spread and means(s.spread))


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    y_label: str,
    x_label: str = 'step',
    percent: bool = False,
) -> Markup:
  """Lines over steps, with the values of a step shown while hovering it."""
  series = [thin(s) for s in series]
  points = [point for s in series for point in s.points]
  if not points:
    raise ValueError(f'{title}: no points')
  x_low, x_high = (f(x for x, _ in points) for f in (min, max))
  values = [y for _, y in points]
  for s in series:
    if s.spread is not None:
      values += [y + sign * d for (_, y), d in zip(
          s.points, s.spread, strict=True) for sign in (-1, 1)]
  if percent:  # the whole range, unless that would hide small shares
    y_ticks = ticks(0.0, max(values) if max(values) <= 0.5 else 1.0)
  else:
    y_ticks = ticks(min(values), max(values))

  def x_at(x: float) -> float:
    share = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
    return LEFT + share * (WIDTH - LEFT - RIGHT)

  def y_at(y: float) -> float:
    share = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

  parts = _axes(x_low, x_high, x_at, y_ticks, y_at, x_label, y_label, percent)
  for i, s in enumerate(series):
    parts += _line(s, i, x_at, y_at)
  parts += _hovers(series, x_at, y_at, x_label, percent)
  return element(
      'svg', *parts, viewBox=f'0 0 {WIDTH} {HEIGHT}', role='img',
      class_='chart', aria_label=_summary(series, title, x_label, percent))


def _axes(x_low, x_high, x_at, y_ticks, y_at, x_label, y_label, percent):
  bottom = HEIGHT - BOTTOM
  parts = [element('text', y_label, x=2, y=11, class_='axis')]
  for y in y_ticks:
    parts += [
        element('line', x1=LEFT, x2=WIDTH - RIGHT, y1=y_at(y), y2=y_at(y),
                class_='zero' if y == 0 else 'grid'),
        element('text', number(y, percent=percent), x=LEFT - 6,
                y=y_at(y) + 3.5, class_='tick end')]
  inside = [x for x in ticks(x_low, x_high)
            if x_low <= x <= x_high and (x == int(x) or x_high - x_low < 1)]
  for x in inside or [x_low]:
    parts.append(element('text', number(x), x=x_at(x), y=bottom + 14,
                         class_='tick middle'))
  parts.append(element('text', x_label, x=WIDTH - RIGHT, y=HEIGHT - 4,
                       class_='axis end'))
  return parts


def _path(points) -> str:
  return 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points)


def _line(s: Series, index: int, x_at, y_at) -> list[Markup]:
  xs, ys = [x_at(x) for x, _ in s.points], [y for _, y in s.points]
  raw = [(x, y_at(y)) for x, y in zip(xs, ys, strict=True)]
  parts = []
  if s.spread is not None:
    edge = [(x, y_at(y + d)) for x, y, d in zip(xs, ys, s.spread, strict=True)]
    edge += [(x, y_at(y - d)) for x, y, d in zip(
        xs[::-1], ys[::-1], s.spread[::-1], strict=True)]
    parts.append(element('path', d=_path(edge) + 'Z', class_=f'band s{index}'))
  if len(raw) == 1:
    (x, y), = raw
    return [element('circle', cx=x, cy=y, r=3, class_=f'dot s{index}')]
  if len(raw) < SMOOTH_FROM:
    return [*parts, element('path', d=_path(raw), class_=f'line s{index}')]
  mean = [(x, y_at(y)) for x, y in zip(xs, smooth(ys), strict=True)]
  return [*parts, element('path', d=_path(raw), class_=f'raw s{index}'),
          element('path', d=_path(mean), class_=f'line s{index}')]


def _hovers(series, x_at, y_at, x_label, percent) -> list[Markup]:
  """A column per step, from halfway to its neighbours, with its values."""
  values: dict[float, list[tuple[int, float]]] = {}
  for i, s in enumerate(series):
    for x, y in s.points:
      values.setdefault(x, []).append((i, y))
  xs = sorted(values)
  xs = xs[::math.ceil(len(xs) / MAX_HOVERS)]
  at = [x_at(x) for x in xs]
  edges = [LEFT, *((a + b) / 2 for a, b in itertools.pairwise(at)),
           WIDTH - RIGHT]
  parts = []
  for x, here, left, right in zip(xs, at, edges, edges[1:], strict=False):
    shown = ' · '.join(
        (f'{series[i].label} ' if len(series) > 1 else '')
        + number(y, percent=percent) for i, y in values[x])
    parts.append(element(
        'g',
        element('rect', x=left, y=0, width=right - left, height=HEIGHT),
        element('line', x1=here, x2=here, y1=TOP, y2=HEIGHT - BOTTOM),
        *(element('circle', cx=here, cy=y_at(y), r=3, class_=f'dot s{i}')
          for i, y in values[x]),
        element('text', f'{x_label} {number(x)}: {shown}', x=WIDTH - RIGHT,
                y=11, class_='value end'),
        class_='hover'))
  return parts


def _summary(series, title, x_label, percent) -> str:
  """What a screen reader says instead of the picture."""
  parts = []
  for s in series:
    ys = [y for _, y in s.points]
    figures = ', '.join(
        f'{name} {number(y, percent=percent)}' for name, y in (
            ('first', ys[0]), ('last', ys[-1]), ('lowest', min(ys)),
            ('highest', max(ys)))) if ys else 'no values'
    parts.append(f'{s.label}: {figures}')
  return f'{title} by {x_label}. {". ".join(parts)}.'


def dumbbells(
    rows: Sequence[tuple[str, tuple, tuple]], *, title: str
) -> Markup:
  """Before (hollow) and after (solid) in [0, 1], ± one standard error.

  Args:
    rows: (label, (mean, error), (mean, error)); either may be None.
    title: what is shown, for the label.
  """
  width, height, left, right, top = 400, 24, 132, 16, 8
  bottom = top + height * len(rows)

  def x_at(value: float) -> float:
    return left + min(max(value, 0.0), 1.0) * (width - left - right)

  parts, said = [], []
  for value in (0, 0.25, 0.5, 0.75, 1):
    parts += [
        element('line', x1=x_at(value), x2=x_at(value), y1=top, y2=bottom,
                class_='grid'),
        element('text', f'{value:g}', x=x_at(value), y=bottom + 14,
                class_='tick middle')]
  for i, (label, *sides) in enumerate(rows):
    y = top + height * (i + 0.5)
    name = label if len(label) <= 18 else label[:17] + '…'
    means = [side[0] for side in sides]
    told = f'{label}: before {number(means[0])}, after {number(means[1])}'
    said.append(told)
    shapes = [element('title', told),
              element('rect', x=0, y=y - height / 2, width=width,
                      height=height),
              element('text', name, x=left - 10, y=y + 4, class_='label end')]
    if None not in means:
      shapes.append(element('line', x1=x_at(means[0]), x2=x_at(means[1]), y1=y,
                            y2=y, class_='link'))
    for (mean, error), kind in zip(sides, ('before', 'after'), strict=True):
      if mean is None:
        continue
      if error:
        shapes.append(element(
            'line', x1=x_at(mean - error), x2=x_at(mean + error), y1=y, y2=y,
            class_=f'error {kind}'))
      shapes.append(element('circle', cx=x_at(mean), cy=y, class_=kind,
                            r=5 if kind == 'before' else 4))
    parts.append(element('g', *shapes, class_='row'))
  return element(
      'svg', *parts, viewBox=f'0 0 {width} {bottom + 20}', role='img',
      class_='chart dumbbells',
      aria_label=f'{title}, before and after RL. {". ".join(said)}.')


def stacked_bars(
    columns: Sequence[tuple[float, Sequence[int]]],
    labels: Sequence[str],
    *,
    title: str,
) -> Markup:
  """Shares per step, one colour per label.

  Args:
    columns: (x, counts [len(labels)]) in the order of x.
    labels: bottom first.
    title: what is counted, for the label.
  """
  step = (WIDTH - LEFT - RIGHT) / len(columns)
  size = HEIGHT - TOP - BOTTOM
  parts = []
  for share in (0.0, 0.5, 1.0):
    y = HEIGHT - BOTTOM - share * size
    parts += [
        element('line', x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_='grid'),
        element('text', f'{100 * share:.0f} %', x=LEFT - 6, y=y + 3.5,
                class_='tick end')]
  every = math.ceil(len(columns) / 6)
  for i, (x, counts) in enumerate(columns):
    y, left = float(HEIGHT - BOTTOM), LEFT + i * step
    total = max(sum(counts), 1)
    bars = []
    for k, count in enumerate(counts):
      tall = size * count / total
      y -= tall
      if count:
        bars.append(element(
            'rect', x=left, y=y, width=max(step - 1, 0.6 * step), height=tall,
            class_=f'outcome o{k}'))
    shown = ', '.join(f'{label} {count}' for label, count in zip(
        labels, counts, strict=True) if count)
    bars.append(element('text', f'{number(x)}: {shown}', x=WIDTH - RIGHT,
                        y=11, class_='value end'))
    parts.append(element('g', *bars, class_='hover'))
    if i % every == 0:
      parts.append(element('text', number(x), x=left + step / 2,
                           y=HEIGHT - BOTTOM + 14, class_='tick middle'))
  parts.append(element('text', 'step', x=WIDTH - RIGHT, y=HEIGHT - 4,
                       class_='axis end'))
  sums = [sum(counts[k] for _, counts in columns) for k in range(len(labels))]
  said = ', '.join(f'{label} {n}' for label, n in zip(
      labels, sums, strict=True))
  return element('svg', *parts, viewBox=f'0 0 {WIDTH} {HEIGHT}', role='img',
                 class_='chart', aria_label=f'{title} by step. In all: {said}.')
