"""Milestones where a model says, printed by nothing that the model wrote."""

import contextlib
import io
import pathlib
import zlib

import jax
import numpy as np
import pytest

from ace_jax import agent
from ace_jax.collect import Collector
from ace_jax.envs import instrument
from ace_jax.envs import lm_instrument as lib
from ace_jax.envs.mle.env import MleEnv, Outcome
from ace_jax.policy import tokenizer as tokenizer_lib
from ace_jax.types import (
    Completion,
    Execution,
    Grade,
    Job,
    Problem,
    Segment,
    Status,
)
from configs import default

NONCE = '0a1b2c'

PROGRAM = '''\
"""Solves it."""
import csv, io

class Majority:
  def fit(self, y):
    self.label = max(set(y), key=y.count)

def load(text):
  with io.StringIO(text) as f:
    rows = list(csv.reader(f))
  return rows

rows = load('1,x\\n2,y\\n3,x\\n')  # é; all of them
model = Majority()
for fold in range(3):
  if rows:
    model.fit([r[-1] for r in rows])
p = [model.label for _ in rows]
out = io.StringIO()
for i, v in enumerate(p):
  out.write(f'{i},{v}\\n')
'''
ANSWER = '''\
Here it is:
```python
import csv, io
print('imported')
class Majority:
  def fit(self, y):
    self.label = max(set(y), key=y.count)
def load(text):
  with io.StringIO(text) as f:
    rows = list(csv.reader(f))
  print("Data loaded.")
  return rows
rows = load('1,x\\n2,y\\n3,x\\n')
model = Majority()
print('MODEL DEFINED')
for fold in range(3):
  print('fold')
  if rows:
    model.fit([r[-1] for r in rows])
print('model trained')
p = [model.label for _ in rows]
print('predicted')
out = io.StringIO()
for i, v in enumerate(p):
  out.write(f'{i},{v}\\n')
print('predictions written')
```
'''.replace('```python\n', '```python\n"""Solves it."""\n')


def run(source):
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    exec(compile(source, 'program.py', 'exec'), {})
  return out.getvalue()


# --- What is taken from an answer -------------------------------------------


def test_places_become_the_rules_own_prints():
  places = lib.find_places(PROGRAM, ANSWER)
  source = instrument.instrument(PROGRAM, NONCE, places)
  assert instrument.milestones(run(source), NONCE) == 6
  assert instrument.strip_milestones(run(source), NONCE) == run(PROGRAM)
  assert instrument.strip_milestones(source, NONCE) == PROGRAM  # all lines stay
  reached = {
      number: [int(part[0]) for part in line.split(f'[[{NONCE}:')[1:]]
      for number, line in enumerate(source.split('\n'), 1) if NONCE in line
  }
  assert reached == {2: [0], 10: [1], 14: [2], 18: [3, 4], 21: [5]}


@pytest.mark.parametrize('text, milestone', [
    ('imported', 0), ('[INFO] libraries imported', 0), ('Data loaded!', 1),
    ('train.csv read', 1), ('model defined', 2), ('Model built', 2),
    ('model created', 2), ('TRAINED', 3), ('model fitted', 3),
    ('test predicted', 4), ('predictions written', 5), ('submission saved', 5),
    ('', None), ('loading the training data', None), ('reloaded', None),
    ('trained and predicted', None), ('done', None), ('[[0a1b2c:5]]', None),
])
def test_what_a_text_announces(text, milestone):
  assert lib.announced(text) == milestone


SAY = "print('trained')"


@pytest.mark.parametrize('program, answer, lines', [
    ('a = 1\nb = 2', f'a = 1\n{SAY}\nb = 2', [1]),
    ('a = 1\nb = 2', f'{SAY}\na = 1\nb = 2', [1]),
    ('a = 1\nb = 2', f'a = 1\nb = 2\n{SAY}', [2]),
    ('a = 1\nb = 2', f'{SAY}\na = 1\n{SAY}\nb = 2\n{SAY}', [1, 2]),
    ('for a in b:\n  c()', f'for a in b:\n  {SAY}\n  c()', [2]),
    ('for a in b:\n  c()', f'for a in b:\n  c()\n{SAY}', [2]),
    ('for a in b:\n  c()\nd()', f'for a in b:\n  c()\n{SAY}\nd()', [3]),
    ('if a:\n  b()\nelse:\n  c()',
     f'if a:\n  b()\nelse:\n  c()\n{SAY}', [2, 4]),
    ('if a:\n  raise b\nc()', f'if a:\n  raise b\n{SAY}\nc()', [3]),
    ('if a:\n  raise b', f'if a:\n  raise b\n{SAY}', []),
    ('def f():\n  return a', f'def f():\n  return a\n{SAY}', []),
    ('def f():\n  return a', f'def f():\n  {SAY}\n  return a', []),
    ('def f():\n  with a:\n    b()\n  return c',
     f'def f():\n  with a:\n    b()\n  {SAY}\n  return c', [3]),
    ('def f():\n  a()\nb()', f'def f():\n  a()\n{SAY}\nb()', [3]),
    ('try:\n  a()\nexcept E:\n  b()', f'try:\n  a()\nexcept E:\n  b()\n{SAY}',
     [2, 4]),
    ('try:\n  a()\nexcept E:\n  b()', f'try:\n  a()\n  {SAY}\nexcept E:\n  b()',
     [2]),
    ('match a:\n  case 1:\n    b()', f'match a:\n  case 1:\n    b()\n{SAY}',
     [3]),
    ('"""d"""\nfrom __future__ import a\nb()',
     f'"""d"""\nfrom __future__ import a\n{SAY}\nb()', [2]),
    ('a = (\n  1\n)', f'a = (1)\n{SAY}', [3]),
    ('a = 1', "a = 1\nprint('ok')", []),
    ('a = 1', f'a = 2\n{SAY}', []),
    ('a = 1', f'a = 1\nif a: {SAY}', []),
    ('a = 1', 'a = 1\nprint(', []),
    ('a = ', f'a = 1\n{SAY}', []),
    ('a = 1', 'I cannot.', []),
])
def test_which_lines_carry_a_print(program, answer, lines):
  places = lib.find_places(program, f'```python\n{answer}\n```')
  source = instrument.instrument(program, NONCE, places)
  assert instrument.strip_milestones(source, NONCE) == program
  assert [
      number for number, line in enumerate(source.split('\n'), 1)
      if f'[[{NONCE}:3]]' in line
  ] == lines
  assert 'trained' not in source  # none of the model's text


# --- Asking -------------------------------------------------------------------


@pytest.fixture(scope='module')
def tokenizer():
  return tokenizer_lib.train_bpe([PROGRAM, ANSWER] * 20, 600)


class Sampler:
  """Answers by what the prompt holds; remembers how it was asked."""

  version = 0

  def __init__(self, tokenizer, answers):
    self.tokenizer, self.answers, self.calls = tokenizer, answers, []

  def generate(self, prompts, rng, *, num_samples, **options):
    texts = [self.tokenizer.decode(p) for p in prompts]
    self.calls.append((texts, num_samples, options))
    found = [
        next(a for key, a in self.answers.items() if key in text)
        for text in texts
    ]
    return [[self._completion(answer)] * num_samples for answer in found]

  def _completion(self, text):
    tokens = np.array(self.tokenizer.encode(text), np.int32)
    return Completion((Segment(tokens, np.zeros(len(tokens))),), 0, True)


def make(sampler, tokenizer, **limits):
  return lib.LmInstrumenter(
      sampler, tokenizer,
      **(dict(max_prompt_tokens=2000, max_new_tokens=1000) | limits),
  )


OTHER = 'import os\nx = 1\n'


def test_all_programs_of_a_launch_in_one_greedy_call(tokenizer):
  sampler = Sampler(tokenizer, {'Majority': ANSWER, 'import os': 'No.'})
  asked = make(sampler, tokenizer)
  sources = [None, PROGRAM, OTHER, 'import', PROGRAM]
  expected = lib.find_places(PROGRAM, ANSWER)
  assert asked.places(sources) == [None, expected, None, None, expected]
  ((texts, num_samples, options),) = sampler.calls
  assert options == dict(
      temperature=0.0, max_new_tokens=1000, which='frozen'
  )
  # As many rows as the launch has, whatever became of them.
  assert len(texts) == len(sources) and num_samples == 1
  assert PROGRAM in texts[0] and OTHER in texts[1]
  metrics = asked.pop_metrics()
  assert metrics.pop('time/instrument_s') > 0
  assert metrics == {
      'instrument/accept_rate': 0.5, 'instrument/fallback_rate': 0.5,
  }
  assert set(asked.pop_metrics().values()) == {0.0}


@pytest.mark.parametrize('limits', [
    dict(max_prompt_tokens=40), dict(max_new_tokens=40),
])
def test_what_does_not_fit_is_not_asked(tokenizer, limits):
  sampler = Sampler(tokenizer, {})
  asked = make(sampler, tokenizer, **limits)
  assert asked.places([PROGRAM, None]) == [None, None]
  assert not sampler.calls
  assert asked.pop_metrics()['instrument/fallback_rate'] == 1


def test_a_length_at_the_limit_is_asked(tokenizer):
  length = len(tokenizer_lib.encode_chat(tokenizer, lib.messages(PROGRAM)))
  for limit, calls in ((length, 1), (length - 1, 0)):
    sampler = Sampler(tokenizer, {'': ANSWER})
    make(sampler, tokenizer, max_prompt_tokens=limit).places([PROGRAM])
    assert len(sampler.calls) == calls


def test_an_unknown_instrumenter_is_refused():
  config = default.get_config()
  config.env.instrumenter = 'llm'
  with pytest.raises(ValueError, match="'llm' is none of none, tree, lm"):
    agent._make_env(config)


# --- In the collector ---------------------------------------------------------


class Env:
  """The environment's way of making a job, and no grader."""

  tasks = {'t': type('Task', (), {'public_dir': pathlib.Path()})}
  job = MleEnv.job
  _instrument = True

  def __init__(self):
    self._nonces, self.jobs = {}, {}

  def messages(self, problem, *, count_tokens, budget):
    return [{'role': 'user', 'content': 'Solve it.'}]

  def finish(self, job, execution, *, task, rows):
    self.jobs[job.key] = job
    return Outcome(execution, Grade(valid=False), 0)

  def reward(self, problem, outcome, program=None):
    return 0.0


class Sandbox:
  backend, level = 'none', 'L3'

  def run(self, job, is_cancelled=None):
    return Execution(
        Status.OK, 1.0, 1.0, 1.0, 0, '', '', {}, self.backend, self.level
    )

  def expect(self, job):
    pass

  def close(self):
    pass


@pytest.mark.parametrize('purpose, asks', [('train', 1), ('audit', 0)])
def test_the_collector_runs_the_program_with_the_models_places(
    tokenizer, purpose, asks
):
  sampler = Sampler(tokenizer, {
      'Solve it': f'```\n{PROGRAM}```', 'Majority': ANSWER,
  })
  env = Env()
  collector = Collector(
      env, sampler, Sandbox(), tokenizer, max_prompt_tokens=2000, num_slots=1,
      max_infra_retries=0, seed=0, instrumenter=make(sampler, tokenizer),
  )
  with contextlib.closing(collector):
    collector.launch(
        [Problem('t')], jax.random.key(0), prefix='0', num_samples=2,
        purpose=purpose,
    )
    (group,) = collector.take()
    metrics = collector.pop_timings()
  assert [a.program for a in group.attempts] == [PROGRAM] * 2
  assert len(sampler.calls) == 1 + asks
  assert metrics['instrument/accept_rate'] == asks
  places = lib.find_places(PROGRAM, ANSWER) if asks else None
  for key, job in env.jobs.items():
    assert job == Job(
        key,
        instrument.instrument(PROGRAM, env._nonces[key], places),
        pathlib.Path(),
        zlib.crc32(f'0/{key}'.encode()),
        purpose,
    )
