"""The protocol over a scripted policy: budgets, rounds, and interruptions.

What the policy 'writes' is a function of the sampler's key and of the row, as
with a real one, so the same rounds give the same attempts.
"""

import collections
import dataclasses
import io
import itertools
import json
import types
import zlib

import jax
import pytest
import rich.console

from ace_jax.buffer.ledger import Ledger
from ace_jax.evaluate import measures, protocol, search
from ace_jax.evaluate import result as result_lib
from ace_jax.evaluate.store import Store
from ace_jax.report.progress import Progress
from ace_jax.types import Group, Status
from configs import default
from tests.evaluate.records import attempt, grade, task


class Stopped(BaseException):
  """As a SIGKILL, but the test goes on."""


class Collector:
  """Three of four attempts at a draft are valid, half of the others."""

  def __init__(self, stop_at, too_long):
    self.launched = []
    self._stop_at, self._too_long, self._groups = stop_at, too_long, []

  def fits(self, problem):
    return not (self._too_long and problem.parent)

  def launch(self, problems, rng, *, prefix, num_samples, rows, purpose,
             temperature):
    assert (rows, purpose, temperature) == ('select', 'audit', 0.7)
    if len(self.launched) == self._stop_at:
      raise Stopped
    self.launched.append((prefix, problems, num_samples))
    key = jax.random.key_data(rng).tolist()
    for q, problem in enumerate(problems):
      self._groups.append(Group(problem, tuple(
          self._attempt(f'{prefix}/{q}/{g}', problem, f'{key}/{q}/{g}')
          for g in range(num_samples))))

  def _attempt(self, key, problem, seed):
    number = zlib.crc32(seed.encode())
    worth = (number >> 8) % 1000 / 1000
    valid = number % 4 if problem.kind == 'draft' else number % 2
    return attempt(
        key, worth if valid else None, worth * 0.9, problem=problem,
        program=f'a = {number % 50}', duration_s=number % 8 / 4)

  def take(self):
    groups, self._groups = self._groups, []
    return groups

  def pop_timings(self):
    return {'time/sample_s': 4.0}


class Env:
  def __init__(self, names):
    self.tasks = {name: task(name) for name in names}
    self.held_out_tasks = names

  def audit(self, name, submission, rows):
    score = json.loads(submission)[1]
    return grade(score, score, rows)


class Unrecorded(Ledger):
  """Stops before a round is recorded, when all else of it is on disk."""

  def insert(self, *_):
    raise Stopped


def make_config(**more):
  config = default.get_config()
  config.eval.update(dict(
      attempts=6, seeds=(0, 1), temperature=0.7, aide_drafts=2, **more))
  return config


def run(tmp_path, config, *, stop_at=None, ledger=Ledger, names='tuv',
        too_long=False):
  """(arms, launches, loaded policies, what was said)."""
  agent = types.SimpleNamespace(
      config=config, env=Env(tuple(names)),
      collector=Collector(stop_at, too_long))
  loaded, out = [], io.StringIO()

  def load(policy):
    loaded.append(policy)
    return 5 if policy == 'trained' else 0

  console = rich.console.Console(file=out, width=200)
  with (ledger(tmp_path / 'l.sqlite') as open_ledger,
        Progress(0, console=console) as progress):
    arms = protocol.run(
        agent, open_ledger, progress, load=load, workdir=tmp_path)
  return arms, agent.collector.launched, loaded, out.getvalue()


def figures(arms, config):
  settings = {'attempts': config.eval.attempts}
  found = result_lib.result(arms, settings, created_at='then')
  return json.loads(json.dumps(found))


def test_every_arm_spends_the_same_budget_in_lock_step(tmp_path):
  arms, launched, loaded, said = run(tmp_path, make_config())
  assert loaded == ['trained', 'frozen', 'frozen']
  assert [(a.name, a.policy_version) for a in arms] == [
      ('trained/scratch_improve', 5), ('frozen/scratch_improve', 0),
      ('frozen/aide', 0)]
  for arm in arms:
    assert [(c.task.name, c.seed) for c in arm.cells] == [
        (t, s) for s in (0, 1) for t in 'tuv']
    assert {len(c.attempts) for c in arm.cells} == {6}
  # First drafts: three, or two, for each seed in one call; then every search
  # of the arm moves by one attempt in each.
  shapes = [(len(problems), n) for _, problems, n in launched]
  assert shapes == 2 * ([(3, 6)] + 3 * [(6, 1)]) + [(3, 4)] + 4 * [(6, 1)]
  kinds = [
      {a.problem.kind for c in arm.cells for a in c.attempts} for arm in arms]
  assert kinds == 2 * [{'draft', 'improve'}] + [{'draft', 'improve', 'debug'}]
  assert 'frozen/aide  step 36/36' in said


def test_the_two_policies_meet_the_same_numbers(tmp_path):
  arms, _, _, _ = run(tmp_path, make_config())
  trained, frozen = (figures([arm], make_config())['arms'][arm.name]['pooled']
                     for arm in arms[:2])
  assert trained == frozen  # the script knows no policy


def test_seeds_differ_and_attempts_are_graded_on_other_rows(tmp_path):
  arms, _, _, _ = run(tmp_path, make_config())
  cells = arms[0].cells
  programs = [tuple(a.program for a in c.attempts) for c in cells]
  assert len(set(programs)) == len(programs)
  # A search has no more of an attempt than it will have after a restart.
  assert not any(a.execution.files for c in cells for a in c.attempts)
  for a in cells[0].attempts:
    assert [g.rows for g in a.audits] == (
        ['report', 'all'] if a.grade.valid else [])
    assert a.grade.rows == 'select'


def test_seconds_are_a_share_of_the_generation_and_the_execution(tmp_path):
  arms, launched, _, _ = run(tmp_path, make_config())
  cell = arms[0].cells[0]
  # 3 tasks × 6 samples share 4 s, then 6 samples do.
  assert cell.seconds == pytest.approx([
      a.duration_s + 4 / n
      for a, n in zip(cell.attempts, 3 * [18] + 3 * [6], strict=True)])


def test_what_is_handed_in_is_on_disk(tmp_path):
  arms, _, _, _ = run(tmp_path, make_config())
  handed_in = 0
  for arm in arms:
    for cell in arm.cells:
      valid = [a.grade.score for a in cell.attempts if a.grade.valid]
      path = arm.store.submission(cell.seed, cell.task.name)
      assert path.exists() == bool(valid)
      if valid:
        assert json.loads(path.read_bytes())[0] == max(valid)
        handed_in += 1
  assert handed_in > 10


def test_every_call_has_numbers_of_its_own(tmp_path):
  config = make_config(arms=('frozen/drafts',))
  arms, launched, _, _ = run(tmp_path, config, names='abcdefghijkl')
  assert len(launched) == 3
  programs = [tuple(a.program for a in c.attempts) for c in arms[0].cells]
  assert len(set(programs)) == len(programs) == 24


def test_every_choice_has_numbers_of_its_own(tmp_path, monkeypatch):
  drawn = []

  def next_fn(task, attempts, rng, spent):
    drawn.append(rng.random())
    return search.drafts(task, attempts, rng, spent)

  monkeypatch.setattr(search, 'make', lambda config: {
      'drafts': search.Search(next_fn, lambda budget: 1)})
  run(tmp_path, make_config(arms=('frozen/drafts',)))
  assert len(set(drawn)) == len(drawn) == 3 * 2 * 5


@pytest.mark.parametrize('name', ['put_seconds', 'put_submission'])
def test_a_round_is_recorded_last(tmp_path, monkeypatch, name, whole):
  def stop(*_):
    raise Stopped

  with monkeypatch.context() as patch:
    patch.setattr(Store, name, stop)
    with pytest.raises(Stopped):
      run(tmp_path, make_config())
  arms, _, _, _ = run(tmp_path, make_config())
  got = json.dumps(figures(arms, make_config()))
  assert json.loads(got.replace(str(tmp_path), 'W')) == whole[0]


@pytest.mark.parametrize('stop_at', range(0, 13, 2))
def test_an_interrupted_evaluation_ends_as_an_undisturbed_one(
    tmp_path, whole, stop_at
):
  expected, launched = whole
  with pytest.raises(Stopped):
    run(tmp_path, make_config(), stop_at=stop_at)
  with pytest.raises(Stopped):
    run(tmp_path, make_config(), ledger=Unrecorded)
  arms, again, _, _ = run(tmp_path, make_config())
  assert [x[0] for x in again] == [x[0] for x in launched[stop_at:]]
  got = json.dumps(figures(arms, make_config()))
  assert json.loads(got.replace(str(tmp_path), 'W')) == expected


@pytest.fixture(name='whole', scope='module')
def run_undisturbed(tmp_path_factory):
  path = tmp_path_factory.mktemp('whole')
  arms, launched, _, _ = run(path, make_config())
  assert len(launched) == 13
  found = json.dumps(figures(arms, make_config())).replace(str(path), 'W')
  return json.loads(found), launched


def test_other_settings_are_another_evaluation(tmp_path):
  run(tmp_path, make_config(arms=('frozen/drafts',)))
  _, launched, _, _ = run(tmp_path, make_config(arms=('frozen/drafts',)))
  assert not launched
  config = make_config(arms=('frozen/drafts',))
  config.eval.attempts = 7
  _, launched, _, _ = run(tmp_path, config)
  assert launched
  # More arms are no other setting: those that are there stay.
  config.eval.arms = ('frozen/drafts', 'trained/drafts')
  _, launched, _, _ = run(tmp_path, config)
  assert {prefix.split('/')[1] for prefix, _, _ in launched} == {'trained'}


def test_a_program_that_does_not_fit_gives_its_place_to_a_draft(tmp_path):
  arms, _, _, said = run(tmp_path, make_config(), too_long=True)
  assert {len(c.attempts) for arm in arms for c in arm.cells} == {6}
  assert {a.problem.kind for arm in arms for c in arm.cells
          for a in c.attempts} == {'draft'}
  assert '18 prompts with a program to start from were longer' in said
  assert said.count('drafts took their place') == 3


def test_a_wall_clock_budget(tmp_path):
  config = make_config(arms=('frozen/scratch_improve',), wall_s=4.0)
  arms, launched, _, _ = run(tmp_path, config)
  ended = set()
  for cell in arms[0].cells:
    before = list(itertools.accumulate(cell.seconds, initial=0))[:-1]
    assert all(spent < 4 for spent in before)
    assert len(cell.attempts) == 6 or sum(cell.seconds) >= 4
    for i, (a, spent) in enumerate(
        zip(cell.attempts, before, strict=True)):
      # Half of the budget is half of the time or half of the attempts.
      if spent < 2 and i < 3:
        assert a.problem.kind == 'draft'
      elif any(b.grade.valid for b in cell.attempts[:i]):
        assert a.problem.kind == 'improve'
    ended.add(len(cell.attempts))
  assert len(ended) > 1  # they end when their time is over, not together
  # It goes on after an interruption, too.
  again, launched, _, _ = run(tmp_path, config)
  assert not launched
  assert figures(again, config) == figures(arms, config)


@pytest.mark.parametrize('attempts, tasks, expected', [
    # 12 samples of a task: 64 rows hold five tasks, three calls of four do.
    (6, 12, 3 * [(4, 12)]),
    # 64 rows hold 32 attempts for each seed: two calls of 25 per task.
    (50, 2, 4 * [(1, 50)]),
    # What is left is a smaller call.
    (65, 1, 2 * [(1, 44)] + [(1, 42)]),
])
def test_first_drafts_are_sampled_in_equal_parts(
    tmp_path, attempts, tasks, expected
):
  config = make_config(arms=('frozen/drafts',))
  config.eval.attempts = attempts
  names = 'abcdefghijkl'[:tasks]
  arms, launched, _, _ = run(tmp_path, config, names=names)
  assert [(len(p), n) for _, p, n in launched] == expected
  assert {len(c.attempts) for c in arms[0].cells} == {attempts}
  asked = collections.Counter(x.task for _, p, n in launched for x in p * n)
  assert asked == dict.fromkeys(names, 2 * attempts)


def test_failures_of_the_machinery_are_left_out(tmp_path):
  config = make_config(arms=('frozen/drafts',))
  arms, _, _, _ = run(tmp_path, config)
  cell = arms[0].cells[0]
  lost = attempt('x', status=Status.INFRA_ERROR)
  lost = dataclasses.replace(cell, attempts=(lost,), seconds=(1.0,))
  assert measures.best_so_far(lost) == []
  found = figures([dataclasses.replace(arms[0], cells=(lost,))], config)
  assert found['arms']['frozen/drafts']['pooled']['human_rank']['mean'] is None


@pytest.mark.parametrize('change, said', [
    ({'arms': ('frozen/best',)}, "'frozen/best' is none of trained/drafts"),
    ({'arms': ()}, 'eval.arms'),
    ({'arms': ('frozen/aide', 'frozen/aide')}, 'each once'),
    ({'seeds': ()}, 'eval.seeds'),
    ({'seeds': (1, 1)}, 'each once'),
    ({'seeds': (-1,)}, 'not negative'),
    ({'attempts': 0}, 'eval.attempts=0'),
    ({'wall_s': -1.0}, 'eval.wall_s=-1'),
])
def test_bad_settings_are_refused(change, said):
  config = make_config()
  protocol.check(config.eval)
  config.eval.update(change)
  with pytest.raises(ValueError, match=said):
    protocol.check(config.eval)


def test_an_unknown_task_is_named(tmp_path):
  with pytest.raises(ValueError, match="'w' is no task of this run"):
    run(tmp_path, make_config(tasks=('t', 'w')))
