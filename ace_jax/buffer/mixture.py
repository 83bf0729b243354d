"""RL4MLE's problems: from scratch, or an earlier solution to be improved.

After RL4MLE (arXiv 2509.01684): with a fixed probability the policy is asked
to improve a solution that it wrote before, else to write one from scratch.
Ours:

1. Tasks are dealt like cards, each once per round, in an order that the seed
   and the round decide, so that all are drawn equally often.
2. Which earlier solution: one of the task's last `KEPT` distinct valid ones,
   all alike. A task without any is drafted.
3. Failed attempts are not debugged: the authors saw little gain at 3B.

Pure: what a step gets is a function of its number, the seed and what was
inserted, so a resumed run draws the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ace_jax.envs import lineage, programs
from ace_jax.types import Attempt, Group, Problem

KEPT = 16  # solutions of a task

Solutions = dict[str, tuple[tuple[str, Problem], ...]]  # (hash, improve)


def init(tasks: Sequence[str]) -> Solutions:
  """No solution yet.

  Args:
    tasks: names, in a fixed order.
  """
  return {task: () for task in tasks}


def sample(
    solutions: Solutions,
    *,
    step: int,
    num_problems: int,
    seed: int,
    improve_share: float = 0.0,
) -> list[Problem]:
  """The problems of one step.

  Args:
    solutions: of all tasks.
    step: 0, 1, …
    num_problems: how many each step takes.
    seed: of the run.
    improve_share: chance that an earlier solution is to be improved.

  Returns:
    `num_problems` Problems; over any whole number of rounds every task is
    drawn equally often.
  """
  tasks, out = list(solutions), []
  for i in range(step * num_problems, (step + 1) * num_problems):
    deal, card = divmod(i, len(tasks))
    order = np.random.default_rng((seed, deal)).permutation(len(tasks))
    task = tasks[order[card]]
    rng = np.random.default_rng((seed, deal, card))
    if solutions[task] and rng.random() < improve_share:
      out.append(solutions[task][rng.integers(len(solutions[task]))][1])
    else:
      out.append(Problem(task))
  return out


def insert(
    solutions: Solutions,
    groups: Sequence[Group],
    *,
    child_fn: Callable[[Attempt], Problem | None] = lineage.child,
) -> Solutions:
  """With the valid programs of these groups, the newest last.

  Args:
    solutions: of all tasks.
    groups: finished.
    child_fn: Attempt → the Problem that it may become, or None.
  """
  solutions = dict(solutions)
  for group in groups:
    task = group.problem.task
    for attempt in group.attempts:
      child = child_fn(attempt)
      if child is None or child.kind != 'improve':
        continue
      name = programs.program_hash(child.parent.program)
      others = [s for s in solutions[task] if s[0] != name]
      solutions[task] = (*others, (name, child))[-KEPT:]
  return solutions


def metrics(solutions: Solutions) -> dict[str, float]:
  """How much there is to improve, as metric paths."""
  counts = list(map(len, solutions.values()))
  return {
      'buffer/size': float(sum(counts)),
      'buffer/solved_tasks_share': sum(n > 0 for n in counts) / len(counts),
  }
