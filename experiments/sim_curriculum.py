"""Does the buffer's sampling save groups? A learner whose skill is known.

  python -m experiments.sim_curriculum [--quick] [--seeds=20] [--out=FOLDER]

The learner. 200 problems, each a task of its own; problem i is solved with
probability p_i = σ(skill_i − difficulty_i), difficulty ~ N(0, 1.5), all skills
0 at first. A group is 8 tries of one problem, rewards 0 or 1. As GRPO learns,
its gain is the expected step of the policy gradient with advantages
r − mean (Dr.GRPO): with a share q of the group solved,

  gain = RATE · q (1 − q),

nothing of a group with equal rewards. It is added to skill_i, and TRANSFER of
it to the skill of every other problem. Skills follow after each version of the
policy, which is 8 groups; sampling sees groups alone, through the real
buffer (ace_jax/buffer/evolving.py), with its defaults.

Settings:
  standard   as above.
  learnable  difficulty 0: every problem is learnable from the start, and all
             teach alike. There is nothing to choose; what does choosing cost?
  noise      a fifth of the problems are solved with probability .3 whatever
             the skill: their groups have spread and teach nothing.

The figure is the number of groups until the mean solve rate of the problems
that can be learnt reaches each of TARGETS; its ratio uniform / method, paired
by seed, with the 95 % interval of the geometric mean (Student's t over log
ratios). A run that does not get there in MAX_VERSIONS counts as that many,
which makes its side look better than it is; the table says how many did not.
`oracle` draws the problems in order of their expected gain in solve rate, which
only a simulation knows.

A table, then one JSON object as the last line. With --out the curves of the
mean solve rate against groups, as SVG.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from ace_jax.buffer import draws, evolving, potential
from ace_jax.buffer.spec import Spec
from ace_jax.report import plots
from ace_jax.types import Attempt, Completion, Grade, Group, Problem, Prompt

NUM_PROBLEMS, GROUP_SIZE, GROUPS = 200, 8, 8
RATE, TRANSFER = 0.2, 0.01
NOISE_SHARE, NOISE_RATE = 0.2, 0.3
TARGETS = (0.8, 0.9)  # the last one ends a run
MAX_VERSIONS = 1500
SETTINGS = ('standard', 'learnable', 'noise')
METHODS = (*potential.POTENTIALS, 'oracle')
NONE = np.zeros(0, np.int32)


# --- The learner -------------------------------------------------------------


class Learner(NamedTuple):
  """Arrays are [problems]."""

  skill: np.ndarray
  difficulty: np.ndarray
  is_noise: np.ndarray

  def rate(self) -> np.ndarray:
    """The probability that each problem is solved."""
    p = 1 / (1 + np.exp(self.difficulty - self.skill))
    return np.where(self.is_noise, NOISE_RATE, p)

  def mean(self) -> float:
    """Mean solve rate over what can be learnt."""
    return float(self.rate()[~self.is_noise].mean())


def start(setting: str, rng: np.random.Generator) -> Learner:
  difficulty = rng.normal(0, 1.5, NUM_PROBLEMS)
  if setting == 'learnable':
    difficulty = np.zeros(NUM_PROBLEMS)
  is_noise = np.zeros(NUM_PROBLEMS, bool)
  if setting == 'noise':
    which = rng.permutation(NUM_PROBLEMS)[:int(NOISE_SHARE * NUM_PROBLEMS)]
    is_noise[which] = True
  return Learner(np.zeros(NUM_PROBLEMS), difficulty, is_noise)


def gains(num_solved: np.ndarray) -> np.ndarray:
  """What a group with so many of its tries solved adds to the skill."""
  share = num_solved / GROUP_SIZE
  return RATE * share * (1 - share)


def learn(learner: Learner, drawn: np.ndarray, num_solved: np.ndarray):
  """The learner one version later."""
  own = np.zeros(NUM_PROBLEMS)
  np.add.at(own, drawn, gains(num_solved) * ~learner.is_noise[drawn])
  step = own + TRANSFER * (own.sum() - own)
  return learner._replace(skill=learner.skill + step)


def expected_gain(learner: Learner) -> np.ndarray:
  """Of the sum of all solve rates, from one group of each problem."""
  p = learner.rate()
  slope = p * (1 - p) * ~learner.is_noise
  k = np.arange(GROUP_SIZE + 1)
  step = stats.binom.pmf(k, GROUP_SIZE, p[:, None]) @ gains(k)
  step = step * ~learner.is_noise
  return step * (slope + TRANSFER * (slope.sum() - slope))


# --- One run -----------------------------------------------------------------


def group(problem: int, solved: np.ndarray, key: str) -> Group:
  """What the buffer sees."""
  asked = Problem(str(problem))
  prompt, done = Prompt(asked, NONE), Completion((), 0, True)
  return Group(asked, tuple(
      Attempt(f'{key}/{i}', asked, prompt, done, None, None, 0,
              Grade(bool(ok), human_rank=float(ok)), float(ok))
      for i, ok in enumerate(solved)))


def run(
    setting: str, method: str, seed: int, max_versions: int
) -> list[float]:
  """The mean solve rate of one learner before each version."""
  learner = start(setting, np.random.default_rng((seed, 0)))
  chances, tries = (np.random.default_rng((seed, i)) for i in (1, 2))
  is_oracle = method == 'oracle'
  # Here all attempts cost the same.
  spec = Spec(potential='uniform' if is_oracle else method, cost='none')
  buffer = evolving.init(list(map(str, range(NUM_PROBLEMS))), spec)
  curve = [learner.mean()]
  while curve[-1] < TARGETS[-1] and len(curve) <= max_versions:
    version = len(curve)
    if is_oracle:
      drawn = np.argsort(-expected_gain(learner))[:GROUPS]
    else:
      asked = draws.sample(buffer, spec, chances, GROUPS)
      drawn = np.array([int(p.task) for p in asked])
    solved = tries.random((GROUPS, GROUP_SIZE)) < learner.rate()[drawn, None]
    learner = learn(learner, drawn, solved.sum(1))
    if not is_oracle:
      groups = [group(i, s, f'{version}/{i}')
                for i, s in zip(drawn, solved, strict=True)]
      buffer = evolving.insert(buffer, spec, groups)
      buffer = evolving.refresh(buffer, spec, version=version)
    curve.append(learner.mean())
  return curve


def groups_until(curve: Sequence[float], target: float) -> int | None:
  """Groups until a curve reaches `target`, None if it does not."""
  return next((GROUPS * i for i, y in enumerate(curve) if y >= target), None)


# --- All of them -------------------------------------------------------------


def ratio(
    uniform: Sequence[int], method: Sequence[int]
) -> tuple[float, float, float]:
  """Geometric mean of uniform / method over seeds, and its 95 % interval."""
  logs = np.log(uniform) - np.log(method)
  middle, half = logs.mean(), 0.0
  if len(logs) > 1:
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
  return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def compare(
    settings: Sequence[str],
    methods: Sequence[str],
    seeds: int,
    max_versions: int,
) -> tuple[list[dict], dict]:
  """A row for each setting, target and method; curves of the first seed."""
  rows, curves = [], {}
  for setting in settings:
    runs = {}
    for method in methods:
      begin = time.monotonic()
      runs[method] = [run(setting, method, s, max_versions)
                      for s in range(seeds)]
      curves[setting, method] = runs[method][0]
      print(f'{setting:10} {method:16} {time.monotonic() - begin:6.1f} s',
            flush=True)
    for target in TARGETS:
      found = {m: [groups_until(c, target) for c in runs[m]] for m in methods}
      groups = {m: [n or GROUPS * max_versions for n in found[m]]
                for m in methods}
      for m in methods:
        middle, low, high = ratio(groups['uniform'], groups[m])
        rows.append({
            'setting': setting, 'target': target, 'method': m,
            'groups': float(np.mean(groups[m])), 'ratio': round(middle, 3),
            'low': round(low, 3), 'high': round(high, 3),
            'not_reached': found[m].count(None)})
  return rows, curves


def table(rows: Sequence[dict]) -> str:
  lines = ['| setting | target | method | groups | uniform / method (95 %) '
           '| not reached |', '|---|---|---|---|---|---|']
  for r in rows:
    lines.append(
        f'| {r["setting"]} | {r["target"]} | {r["method"]}'
        f' | {r["groups"]:.0f} | {r["ratio"]:.2f} ({r["low"]:.2f}–'
        f'{r["high"]:.2f}) | {r["not_reached"]} |')
  return '\n'.join(lines)


def draw_curves(curves: dict, setting: str) -> str:
  """SVG: mean solve rate against groups, of the first seed."""
  series = [
      plots.Series(method, [(GROUPS * i, y) for i, y in enumerate(curve)])
      for (name, method), curve in curves.items() if name == setting
  ]
  return str(plots.line_chart(
      series, title=f'{setting}: mean solve rate', y_label='solved',
      x_label='groups', percent=True))


def main() -> None:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
  parser.add_argument('--quick', action='store_true',
                      help='two seeds, setting standard')
  parser.add_argument('--settings', nargs='+', default=SETTINGS,
                      choices=SETTINGS)
  parser.add_argument('--methods', nargs='+', default=METHODS, choices=METHODS)
  parser.add_argument('--seeds', type=int, default=20)
  parser.add_argument('--max_versions', type=int, default=MAX_VERSIONS)
  parser.add_argument('--out', type=pathlib.Path, help='a folder for SVGs')
  args = parser.parse_args()
  rows, curves = compare(
      args.settings[:1] if args.quick else args.settings,
      ['uniform', *(m for m in args.methods if m != 'uniform')],
      2 if args.quick else args.seeds, args.max_versions)
  print(f'\n{table(rows)}\n')
  if args.out:
    args.out.mkdir(parents=True, exist_ok=True)
    for setting in {r['setting'] for r in rows}:
      path = args.out / f'curriculum_{setting}.svg'
      path.write_text(draw_curves(curves, setting))
  print(json.dumps({'seeds': 2 if args.quick else args.seeds, 'rows': rows}))


if __name__ == '__main__':
  main()
