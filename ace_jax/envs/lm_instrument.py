"""Milestones where a frozen copy of the policy puts them.

RL4MLE (arXiv 2509.01684) has a separate, frozen copy of the model insert the
prints, so that the learner cannot learn to print them itself. Here

1. the answer is never run. Where the guard accepts it, it says at which places
   of the program a print stands and which milestone each announces; there the
   deterministic instrumenter's own prints go, on the program's own lines.
2. A text announces a milestone if exactly one occurs among its words, as a
   past participle (`_WORDS`): 'data loaded', not 'loading the training data'.
3. A print behind a simple statement becomes that statement's. Behind a
   compound one, or at the head of a block, it becomes that of the next simple
   statement there; without one, of those with which the compound can end.
4. An answer that the guard refuses, that does not parse or that announces
   nothing is dropped, as is a program too long to be answered: rules on the
   syntax tree take over.

A milestone announced too early is bounded, not trusted: the count is that of
the longest ordered sequence, and matters in failures only (see instrument.py).
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Sequence
from typing import Any

import jax

from ace_jax.envs import guard, instrument, programs
from ace_jax.policy.tokenizer import encode_chat
from ace_jax.sampler.base import Sampler

# Short: with the program it has to fit where a task's prompt does.
_REQUEST = (
    "Copy this program. Only add lines such as print('imported') where it has "
    + ', '.join(instrument.MILESTONES) + '.\n'
)
_WORDS = {
    'imported': 0, 'loaded': 1, 'read': 1, 'defined': 2, 'created': 2,
    'built': 2, 'trained': 3, 'fitted': 3, 'predicted': 4, 'written': 5,
    'saved': 5,
}


class LmInstrumenter:
  """Asks the sampler's frozen weights where a program's milestones are."""

  def __init__(
      self,
      sampler: Sampler,
      tokenizer: Any,
      *,
      max_prompt_tokens: int,
      max_new_tokens: int,
  ):
    """An instrumenter; the sampler needs frozen weights only when it is asked.

    Args:
      sampler: of both copies of the policy.
      tokenizer: with a chat template.
      max_prompt_tokens: the sampler's limit.
      max_new_tokens: of an answer.
    """
    self._sampler = sampler
    self._tokenizer = tokenizer
    self._max_prompt_tokens = max_prompt_tokens
    self._max_new_tokens = max_new_tokens
    self._reset()

  def _reset(self) -> None:
    self._num_programs, self._num_accepted, self._seconds = 0, 0, 0.0

  def places(
      self, sources: Sequence[str | None]
  ) -> list[list[instrument.Place] | None]:
    """Where each program's milestones go, by one call of the sampler.

    Args:
      sources: the programs of one launch; None: a completion without one.

    Returns:
      Places for `instrument.instrument`; None where the rules take over.
    """
    start = time.monotonic()
    out: list[list[instrument.Place] | None] = [None] * len(sources)
    prompts = {
        i: prompt for i, source in enumerate(sources)
        if source is not None and (prompt := self._prompt(source)) is not None
    }
    for i, answer in zip(
        prompts, self._answers([*prompts.values()], len(sources)), strict=True
    ):
      out[i] = find_places(sources[i], answer) or None
    self._num_programs += sum(source is not None for source in sources)
    self._num_accepted += sum(places is not None for places in out)
    self._seconds += time.monotonic() - start
    return out

  def pop_metrics(self) -> dict[str, float]:
    """Shares of the programs since the last call, and the seconds it took."""
    n, accepted = max(self._num_programs, 1), self._num_accepted
    out = {
        'instrument/accept_rate': accepted / n,
        'instrument/fallback_rate': (self._num_programs - accepted) / n,
        'time/instrument_s': self._seconds,
    }
    self._reset()
    return out

  def _prompt(self, source: str) -> Any:
    """The request as token ids; None if it or its answer does not fit."""
    length = len(self._tokenizer.encode(source, add_special_tokens=False))
    if length > self._max_new_tokens or programs.parse(source) is None:
      return None
    tokens = encode_chat(self._tokenizer, messages(source))
    return tokens if len(tokens) <= self._max_prompt_tokens else None

  def _answers(self, prompts: list[Any], num_rows: int) -> list[str]:
    if not prompts:
      return []
    # Always as many rows as the launch has, so that the sampler compiles for
    # one number only; a repeated row ends with its twin and costs no steps.
    filled = prompts + prompts[:1] * (num_rows - len(prompts))
    rows = self._sampler.generate(
        filled,
        jax.random.key(0),  # greedy: nothing is drawn
        num_samples=1,
        temperature=0.0,
        max_new_tokens=self._max_new_tokens,
        which='frozen',
    )
    return [
        self._tokenizer.decode(row.tokens(), skip_special_tokens=True)
        for (row,) in rows[:len(prompts)]
    ]


def messages(source: str) -> list[dict[str, str]]:
  """The chat that asks for the prints."""
  return [
      {'role': 'user', 'content': f'{_REQUEST}```python\n{source}\n```'}
  ]


def find_places(source: str, answer: str) -> list[instrument.Place]:
  """Where an answer says that a program's milestones are.

  Args:
    source: the program.
    answer: what the model said: a program in a fence, or bare.

  Returns:
    Places for `instrument.instrument`; none if the guard refuses the answer or
    its prints announce nothing.
  """
  program = programs.parse(source)
  extracted = programs.extract(answer)
  tree = programs.parse(extracted) if extracted is not None else None
  if program is None or tree is None:
    return []
  numbers = {
      id(statement): number
      for number, statement in enumerate(instrument.statements(program))
  }
  reached: dict[int, set[int]] = {}
  for added in guard.added_prints(program, tree) or ():
    milestone = announced(added.text)
    if milestone is not None:
      for statement in _carriers(added):
        reached.setdefault(numbers[id(statement)], set()).add(milestone)
  return [(number, tuple(sorted(m))) for number, m in sorted(reached.items())]


def announced(text: str) -> int | None:
  """The milestone that a text announces: the only one among its words."""
  words = re.findall('[a-z]+', text.casefold())
  found = {_WORDS[word] for word in words if word in _WORDS}
  return found.pop() if len(found) == 1 else None


def _carriers(added: guard.Added) -> list[ast.stmt]:
  """The simple statements of the program on whose lines a print goes."""
  before = added.block[added.at - 1] if added.at else None
  after = added.block[added.at] if added.at < len(added.block) else None
  if before is not None and not _is_compound(before):
    return _ends(before)
  if after is not None and not _is_compound(after) and _ends(after):
    return [after]
  return _ends(before) if before is not None else []


def _is_compound(statement: ast.stmt) -> bool:
  return any(instrument.blocks(statement))


def _ends(statement: ast.stmt) -> list[ast.stmt]:
  """The simple statements that can be the last of a statement to run.

  None for what leaves the block, and for a definition: its body runs later.
  """
  if isinstance(statement, (*instrument.SCOPES, *instrument.LEAVES)):
    return []
  if not _is_compound(statement):
    return [statement]
  return [
      end for block in instrument.blocks(statement) for end in _ends(block[-1])
  ]
