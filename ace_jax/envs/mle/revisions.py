"""Demonstrations that start from a program: improve it, debug it.

Both halves of a pair really run. To be improved is the worse of two draws of
one task: what separates them is a random estimator, so a pair tells which of
two is better there and nothing else. To be debugged is a draw with one of
`mistakes.MISTAKES` in it, and its real error; the draw is the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ace_jax.envs import lineage, programs
from ace_jax.envs.mle import grammar, mistakes
from ace_jax.envs.mle.grammar import Demo, Outcome
from ace_jax.envs.mle.options import Rng
from ace_jax.envs.prompts import Preview
from ace_jax.types import Attempt, Problem, Status, Task

# What such prompts say beside programs, for a vocabulary learnt from nothing.
PHRASES = (
    'Improve this program, its score is 0.5, better than 62% of the leaderboard'
    ', 6 of 6 steps done:\n',
    'Fix this program:\n',
    'It ran, but its submission is not valid:\n',
    'It failed, 3 of 6 steps done:\nTraceback (most recent call last):\n'
    '  File "program.py", line 8, in <module>\n',
    *('KeyError: ', 'NameError: name ', ' is not defined', 'ImportError: ',
      'ModuleNotFoundError: No module named ', 'ValueError: ',
      'TypeError: got an unexpected keyword argument ', 'SyntaxError: ',
      'FileNotFoundError: [Errno 2] No such file or directory: '),
)
Pair = tuple[str, str]  # programs; for debug: broken, valid


def _two_draws(task: Task, preview: Preview, rng: Rng) -> Pair:
  one, other = (
      grammar.sample_program(task, preview, rng) for _ in range(2)
  )
  return one, other


def _with_mistake(task: Task, preview: Preview, rng: Rng) -> Pair:
  program = grammar.sample_program(task, preview, rng)
  return mistakes.make(program, task, rng), program


def _worse_first(one: Attempt, other: Attempt) -> Demo | None:
  worse, better = sorted((one, other), key=lambda a: a.grade.human_rank)
  if not (worse.grade.valid and better.grade.valid):
    return None
  if better.grade.human_rank == worse.grade.human_rank:
    return None
  return _demo(worse, better)


def _broken_first(broken: Attempt, valid: Attempt) -> Demo | None:
  if broken.grade.valid or not valid.grade.valid:
    return None
  return _demo(broken, valid)


def _demo(parent: Attempt, answer: Attempt) -> Demo | None:
  problem = lineage.child(parent)
  if problem is None:
    return None
  return Demo(problem.task, answer.program, problem.kind, problem.parent)


# kind → (stream of its draws, a pair of programs, what its runs teach)
_KINDS = {
    'improve': (1, _two_draws, _worse_first),
    'debug': (2, _with_mistake, _broken_first),
}


def demonstrations(
    kind: str,
    tasks: Mapping[str, Task],
    preview: Callable[[str], Preview],
    *,
    num: int,
    seed: int,
    run: Callable[[Sequence[tuple[str, str, str]]], Sequence[Outcome]],
    fits: Callable[[Problem], bool],
) -> list[Demo]:
  """Draws pairs, the tasks in turn, and keeps those that teach the kind.

  Args:
    kind: improve | debug.
    tasks: the training tasks, by name.
    preview: a task's name → its preview.
    num: demonstrations wanted.
    seed: of the draws; draw i depends on (kind, seed, i) alone.
    run: (key, task, program)s → outcomes in the same order.
    fits: whether a problem's prompt keeps to its budget.

  Raises:
    ValueError: a task that is not for training.
    RuntimeError: most draws were of no use, or the machinery failed.
  """
  grammar.check_split(tasks)
  stream, draw, teach = _KINDS[kind]
  names, demos, seen = list(tasks), [], set()
  i = num_long = 0
  while len(demos) < num:
    if i > 6 * num + 40:
      raise RuntimeError(
          f'{i} draws gave {len(demos)} demonstrations of {kind}; wanted {num}'
          f'; {num_long} had prompts over sampler.max_prompt_tokens'
      )
    items = []
    for _ in range(num - len(demos)):
      name = names[i % len(names)]
      rng = np.random.default_rng([seed, i, stream])
      pair = draw(tasks[name], preview(name), rng)
      items += [
          (f'demo/{kind}/{i}/{side}', name, program)
          for side, program in enumerate(pair)
      ]
      i += 1
    attempts = [
        _attempt(*item, outcome)
        for item, outcome in zip(items, run(items), strict=True)
    ]
    for demo in map(teach, attempts[::2], attempts[1::2]):
      if demo is None:
        continue
      if not fits(demo.problem):
        num_long += 1
        continue
      trees = (demo.task, *map(
          programs.program_hash, (demo.parent.program, demo.program)
      ))
      if trees not in seen:
        demos.append(demo)
      seen.add(trees)
  return demos


def _attempt(key: str, task: str, program: str, outcome: Outcome) -> Attempt:
  if outcome.execution.status is Status.INFRA_ERROR:
    raise RuntimeError(f'sandbox: {outcome.execution.error}')
  return Attempt(
      key=key,
      problem=Problem(task),
      prompt=None,
      completion=None,
      program=program,
      execution=outcome.execution,
      milestones=outcome.milestones,
      grade=outcome.grade,
      reward=None,
  )


def interleave(*parts: Sequence[Demo]) -> list[Demo]:
  """One list whose every stretch holds the parts in proportion."""
  placed = [
      ((i + 0.5) / len(part), demo)
      for part in parts for i, demo in enumerate(part)
  ]
  return [demo for _, demo in sorted(placed, key=lambda item: item[0])]


# --- On disk ---------------------------------------------------------------


def to_json(demo: Demo) -> str:
  """One line, the parent by value."""
  return json.dumps(
      lineage.to_json(demo.problem) | {'program': demo.program}
  )


def from_json(line: str) -> Demo:
  """The inverse of `to_json`."""
  fields = json.loads(line)
  problem = lineage.from_json(fields)
  return Demo(problem.task, fields['program'], problem.kind, problem.parent)
