"""Problems in fixed proportions.

So far every problem is a draft: tasks are dealt like cards, each once per
round, in an order that the seed and the round decide. Nothing is stored: which
problems a step gets is a function of its number, so a resumed run draws the
same.
"""

from collections.abc import Sequence

import numpy as np

from ace_jax.types import Problem


def sample(
    tasks: Sequence[str], *, step: int, num_problems: int, seed: int
) -> list[Problem]:
  """The problems of one step.

  Args:
    tasks: names, in a fixed order.
    step: 0, 1, …
    num_problems: how many each step takes.
    seed: of the run.

  Returns:
    `num_problems` drafts; over any whole number of rounds every task is drawn
    equally often.
  """
  out = []
  for i in range(step * num_problems, (step + 1) * num_problems):
    deal, card = divmod(i, len(tasks))
    order = np.random.default_rng((seed, deal)).permutation(len(tasks))
    out.append(Problem(tasks[order[card]]))
  return out
