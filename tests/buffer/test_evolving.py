"""The buffer's laws, on streams of attempts that hypothesis makes."""

import dataclasses
import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ace_jax import types
from ace_jax.buffer import cells, draws, evolving, stored
from ace_jax.buffer import table as table_lib
from ace_jax.buffer.spec import COSTS, Spec
from ace_jax.core import learnability
from ace_jax.envs import programs
from tests.buffer.streams import attempt, group

TASKS = ('a', 'b', 'c')
POTENTIALS = ('learnability', 'spread_headroom', 'pass_variance',
              'parent_fitness', 'uniform')
laws = hypothesis.settings(
    max_examples=40, deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow])


RANKS = st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))


@st.composite
def streams(draw):
  """(spec, versions): each version a list of (choice, ranks)."""
  spec = Spec(
      potential=draw(st.sampled_from(POTENTIALS)),
      temperature=draw(st.sampled_from([0.5, 1.0, 2.0])),
      epsilon=draw(st.sampled_from([0.05, 0.3, 1.0])),
      capacity=draw(st.integers(2, 8)),
      lineage_share=draw(st.sampled_from([0.1, 0.3, 1.0])),
  )
  versions = draw(st.lists(
      st.lists(st.tuples(st.integers(0, 50),
                         st.lists(RANKS, min_size=1, max_size=4)),
               min_size=1, max_size=3), min_size=1, max_size=6))
  return spec, versions


def play(spec, versions):
  """Yields the buffer after each version, and the groups it was given."""
  buffer = evolving.init(TASKS, spec)
  for version, entries in enumerate(versions):
    problems = [p for t in buffer.tables for p in t.problems]
    groups = [
        group(problems[choice % len(problems)], ranks, f'{version}/{i}')
        for i, (choice, ranks) in enumerate(entries)]
    buffer = evolving.insert(buffer, spec, groups)
    yield buffer, groups
    buffer = evolving.refresh(buffer, spec, version=version + 1)
    yield buffer, []


def problems_of(buffer):
  return [p for t in buffer.tables for p in t.problems]


@laws
@hypothesis.given(streams())
def test_probabilities_sum_to_one_and_each_task_keeps_its_floor(stream):
  spec, versions = stream
  for buffer, _ in play(spec, versions):
    chances = draws.probabilities(buffer, spec)
    assert sum(c.sum() for c in chances) == pytest.approx(1, abs=1e-6)
    for task, chance in zip(buffer.tables, chances, strict=True):
      assert chance.sum() >= spec.epsilon / len(TASKS) * (1 - 1e-9)
      floor = spec.epsilon / len(TASKS) / len(task.problems)
      assert (chance >= floor * (1 - 1e-9)).all()
      assert np.isfinite(chance).all()


@laws
@hypothesis.given(streams())
def test_capacity_lineages_and_what_stays(stream):
  spec, versions = stream
  best = dict.fromkeys(TASKS, -1.0)
  for buffer, groups in play(spec, versions):
    for g in groups:
      ranks = [a.grade.human_rank for a in g.attempts if a.grade.valid]
      best[g.problem.task] = max([best[g.problem.task], *ranks])
    found = problems_of(buffer)
    assert buffer.size == len(found)
    roots = [p.parent.root for p in found if p.parent]
    most = max(int(spec.lineage_share * len(found)), 1)
    assert all(roots.count(root) <= most for root in set(roots))
    for name, task in zip(TASKS, buffer.tables, strict=True):
      assert len(task.problems) <= spec.capacity
      assert task.problems[0] == types.Problem(name)
      assert task.keys == tuple(p.key for p in task.problems)
      assert {len(task.hashes), len(task.roots), task.sums.shape[1],
              len(task.cell), len(task.quality), len(task.visits),
              len(task.weight)} == {len(task.problems)}
      assert len(set(task.hashes)) == len(task.hashes)
      improves = [p.parent.quality for p in task.problems
                  if p.kind == 'improve']
      if improves:
        assert task.problems[task.best].parent.quality == max(improves)


@laws
@hypothesis.given(st.lists(RANKS.filter(lambda r: r is not None),
                           min_size=1, max_size=30))
def test_the_best_attempt_is_never_evicted(ranks):
  spec = Spec(capacity=3, lineage_share=1.0)
  buffer, seen = evolving.init(('a',), spec), []
  for i, rank in enumerate(ranks):
    buffer = evolving.insert(
        buffer, spec, [group(types.Problem('a'), [rank], str(i))])
    buffer = evolving.refresh(buffer, spec, version=i + 1)
    seen.append(rank)
    assert max(p.parent.quality for p in problems_of(buffer) if p.parent
               ) == max(seen)


@laws
@hypothesis.given(streams(), st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(stream, random):
  spec, versions = stream
  *_, (buffer, _) = play(spec, versions)
  problems = problems_of(buffer)
  groups = [group(p, [0.1, 0.9, None], f'n/{i}')
            for i, p in enumerate(problems)]
  other = list(groups)
  random.shuffle(other)
  one, two = (evolving.insert(buffer, spec, g) for g in (groups, other))
  assert problems_of(one) == problems_of(two)
  for a, b in zip(draws.probabilities(one, spec),
                  draws.probabilities(two, spec), strict=True):
    np.testing.assert_array_equal(a, b)


@laws
@hypothesis.given(streams(), st.integers(0, 99))
def test_saved_and_restored_it_draws_the_same(stream, seed):
  spec, versions = stream
  *_, (buffer, _) = play(spec, versions)
  meta, arrays = stored.to_state(buffer)
  again = stored.from_state(json.loads(json.dumps(meta)), arrays)

  def future(buffer):
    rng = np.random.default_rng(seed)
    drawn = draws.sample(buffer, spec, rng, 5)
    buffer = evolving.insert(
        buffer, spec, [group(p, [0.3, None], f'f/{i}')
                       for i, p in enumerate(drawn)])
    buffer = evolving.refresh(buffer, spec, version=99)
    return drawn + draws.sample(buffer, spec, rng, 5)

  assert future(buffer) == future(again)


@laws
@hypothesis.given(streams())
def test_nothing_that_was_given_is_changed(stream):
  spec, versions = stream
  *_, (buffer, _) = play(spec, versions)
  before = json.dumps(stored.to_state(buffer)[0])
  arrays = {k: v.copy() for k, v in stored.to_state(buffer)[1].items()}
  evolving.insert(buffer, spec, [group(types.Problem('a'), [0.4, 1.0], 'z')])
  evolving.refresh(buffer, spec, version=buffer.version + 3)
  draws.sample(buffer, spec, np.random.default_rng(0), 3)
  assert json.dumps(stored.to_state(buffer)[0]) == before
  for name, array in stored.to_state(buffer)[1].items():
    np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize('potential', POTENTIALS[:2])
@pytest.mark.parametrize('rank', [None, 0.0, 0.5, 0.9])
def test_equal_rewards_lower_a_problem_at_once(potential, rank):
  spec = Spec(potential=potential)
  buffer = evolving.init(TASKS, spec)
  after = evolving.insert(
      buffer, spec, [group(types.Problem('b'), [rank] * 8, 'e')])

  def spread(buffer):
    return evolving.foresee(buffer, types.Problem('b'))['spread']

  assert spread(after) < 0.7 * spread(buffer)
  chances = [draws.probabilities(b, spec)[1][0] for b in (buffer, after)]
  if potential == 'spread_headroom' and rank not in (None, 0.0):
    assert chances[1] < chances[0]


@pytest.mark.parametrize('rank', [0.5, 0.9])
def test_equal_rewards_lower_what_was_learnable(rank):
  """Also after a history, from which they are no step down: one raises ĥ."""
  spec = Spec()
  buffer = evolving.init(TASKS, spec)
  for i in range(12):
    buffer = evolving.insert(buffer, spec, [
        group(types.Problem(t), [0.0, 1.0] * 4, f'{i}{t}') for t in TASKS])
    buffer = evolving.refresh(buffer, spec, version=i + 1)
  after = evolving.insert(
      buffer, spec, [group(types.Problem('b'), [rank] * 8, 'e')])
  before, now = (evolving.foresee(b, types.Problem('b'))['potential']
                 for b in (buffer, after))
  assert now < before


def test_rewards_that_differ_raise_it():
  spec = Spec(potential='spread_headroom')
  buffer = evolving.init(TASKS, spec)
  after = evolving.insert(
      buffer, spec, [group(types.Problem('b'), [0.0, 1.0] * 4, 'd')])
  chances = [draws.probabilities(b, spec)[1].sum() for b in (buffer, after)]
  assert chances[1] > chances[0]


def test_uniform_is_uniform_whatever_is_seen():
  spec = Spec(potential='uniform', epsilon=0.01, capacity=50,
                       lineage_share=1.0)
  buffer = evolving.init(TASKS, spec)
  buffer = evolving.insert(
      buffer, spec, [group(types.Problem('b'), [0.0, 1.0, None, 0.3], 'd')])
  for chance, task in zip(draws.probabilities(buffer, spec),
                          buffer.tables, strict=True):
    np.testing.assert_allclose(chance, 1 / 3 / len(task.problems))


def test_draws_follow_the_probabilities():
  spec = Spec(epsilon=0.2, capacity=9, lineage_share=1.0)
  buffer = evolving.init(TASKS, spec)
  buffer = evolving.insert(buffer, spec, [
      group(types.Problem('b'), [0.0, 1.0, None, 0.3], 'd'),
      group(types.Problem('c'), [0.2, 0.2], 'e')])
  chances = np.concatenate(draws.probabilities(buffer, spec))
  keys = [p.key for p in problems_of(buffer)]
  rng, n = np.random.default_rng(0), 20_000
  counts = dict.fromkeys(keys, 0)
  for _ in range(n):
    counts[draws.sample(buffer, spec, rng, 1)[0].key] += 1
  error = np.sqrt(chances * (1 - chances) / n)
  assert (abs(np.array(list(counts.values())) / n - chances)
          < 4.5 * error).all()


def test_one_call_draws_distinct_problems_while_there_are():
  spec = Spec()
  buffer = evolving.init(TASKS, spec)
  rng = np.random.default_rng(0)
  for _ in range(20):
    assert len({p.key for p in draws.sample(buffer, spec, rng, 3)}) == 3
  assert len(draws.sample(buffer, spec, rng, 5)) == 5


def test_lost_attempts_say_nothing():
  spec = Spec()
  buffer = evolving.init(TASKS, spec)
  after = evolving.insert(
      buffer, spec, [group(types.Problem('a'), [None] * 3, 'x', lost=True)])
  assert stored.to_state(after)[0] == stored.to_state(buffer)[0]
  for name, array in stored.to_state(after)[1].items():
    np.testing.assert_array_equal(array, stored.to_state(buffer)[1][name])


def test_the_same_tree_does_not_enter_twice():
  spec = Spec(lineage_share=1.0)
  buffer = evolving.init(TASKS, spec)
  same = [attempt('k/0', types.Problem('a'), 0.5, 'a = 1\nprint(a)'),
          attempt('k/1', types.Problem('a'), 0.6, 'b = 1  # !\nprint(b)')]
  assert programs.program_hash(same[0].program) == programs.program_hash(
      same[1].program)
  buffer = evolving.insert(
      buffer, spec, [types.Group(types.Problem('a'), tuple(same))])
  assert buffer.size == 4 and buffer.duplicates == 1


def test_noise_that_replicates_show_is_no_spread():
  spec = Spec()
  buffer = evolving.init(TASKS, spec)
  buffer = evolving.insert(
      buffer, spec, [group(types.Problem('a'), [0.2, 0.8] * 4, 'x')])
  before = evolving.foresee(buffer, types.Problem('a'))['spread']
  noisy = evolving.observe_noise(buffer, spec, 'a', [0.2, 0.8, 0.2, 0.8])
  assert evolving.foresee(noisy, types.Problem('a'))['spread'] < before / 2
  quiet = evolving.observe_noise(buffer, spec, 'a', [0.5, 0.5])
  assert evolving.foresee(quiet, types.Problem('a'))['spread'] == before
  with pytest.raises(ValueError, match='nothing of noise'):
    evolving.observe_noise(buffer, spec, 'a', [0.5])


def test_what_was_never_drawn_is_predicted_from_its_like():
  """Improves of strong parents had no spread, those of weak ones had."""
  spec = Spec(capacity=100, lineage_share=1.0)
  buffer = evolving.init(TASKS, spec)
  buffer = evolving.insert(
      buffer, spec, [group(types.Problem('a'), [0.1, 0.1, 0.9, 0.9], 'd')])
  rows = [p for p in problems_of(buffer) if p.parent]
  weak, strong = ([p for p in rows if p.parent.quality == q]
                  for q in (0.1, 0.9))
  for i in range(6):
    buffer = evolving.insert(buffer, spec, [
        group(weak[0], [0.0, 0.8] * 4, f'w{i}'),
        group(strong[0], [0.9] * 8, f's{i}')])
  predicted = [evolving.foresee(buffer, p[1]) for p in (weak, strong)]
  assert predicted[0]['spread'] > 2 * predicted[1]['spread']
  assert predicted[0]['mean'] < predicted[1]['mean'] - 0.2
  # And for another task, where no such Problem was ever seen.
  others = [dataclasses.replace(p[1], task='c') for p in (weak, strong)]
  predicted = [evolving.foresee(buffer, p) for p in others]
  assert predicted[0]['spread'] > 1.5 * predicted[1]['spread']


def test_observations_fade_as_the_policy_moves_on():
  spec = Spec()
  buffer = evolving.insert(
      evolving.init(TASKS, spec), spec,
      [group(types.Problem('a'), [1.0] * 8, 'x')])
  means = [
      evolving.foresee(evolving.refresh(buffer, spec, version=v),
                       types.Problem('a'))['mean']
      for v in (0, 100, 3000)]
  assert means[0] > means[1] > means[2]
  assert means[2] == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    ('problem', 'name'),
    [('', 'draft'), ('0.1', 'improve/0'), ('1.0', 'improve/3'),
     ('Traceback (most recent call last):\n  File "x"\nKeyError: 3',
      'debug/KeyError'),
     ('Traceback (most recent call last):\npandas.errors.KeyError: 3\nmore',
      'debug/KeyError'),
     ('Traceback (most recent call last):\nOddError', 'debug/other'),
     ('  File "program.py", line 1\n    x = (1\nSyntaxError: never closed',
      'debug/SyntaxError'),
     ('', 'debug/submission')])
def test_cells(problem, name):
  if name == 'draft':
    made = types.Problem('a')
  else:
    kind = name.split('/')[0]
    rank = float(problem) if kind == 'improve' else 0.0
    made = types.Problem('a', kind, types.Parent(
        'k', 'k', 0, 'x', '', problem, 0,
        types.Grade(kind == 'improve', rank, human_rank=rank)))
  assert cells.NAMES[cells.cell(made)] == name


@pytest.mark.parametrize(
    ('choice', 'message'),
    [({'potential': 'luck'}, 'buffer.potential'), ({'epsilon': 0.0}, 'epsilon'),
     ({'temperature': 0.0}, 'temperature'), ({'capacity': 1}, 'capacity'),
     ({'lineage_share': 0.0}, 'lineage_share'),
     ({'decay': 0.0}, 'decay'), ({'cost': 'euros'}, 'cost')])
def test_impossible_choices_are_refused(choice, message):
  with pytest.raises(ValueError, match=message):
    Spec(**choice)


def test_no_task_is_refused():
  with pytest.raises(ValueError, match='at least one task'):
    evolving.init((), Spec())


def test_cost_is_what_was_chosen():
  problem = types.Problem('a')
  one = attempt('k', problem, 0.5)
  assert [COSTS[name](one) for name in ('tokens', 'seconds', 'none')
          ] == [7.0, 1.0, 1.0]
  dear = group(problem, [0.2, 0.8] * 4, 'x')
  cheap = group(types.Problem('b'), [0.2, 0.8] * 4, 'y')
  dear = types.Group(problem, tuple(
      dataclasses.replace(a, execution=dataclasses.replace(
          a.execution, duration_s=9.0)) for a in dear.attempts))
  spec = Spec(cost='seconds', epsilon=0.01, temperature=1.0)
  buffer = evolving.insert(evolving.init(TASKS, spec), spec, [dear, cheap])
  weights = [t.weight[0] for t in buffer.tables]
  count = 8 + learnability.PSEUDO
  level = (8 * 9.0 + 8) / 16
  costs = [(8 * c + learnability.PSEUDO * level) / count for c in (9.0, 1.0)]
  costs = [(8 * c + learnability.PSEUDO * x) / count
           for c, x in zip((9.0, 1.0), costs, strict=True)]
  assert weights[1] / weights[0] == pytest.approx(
      np.sqrt(costs[0] / costs[1]), rel=1e-5)


def test_a_row_that_must_stay_is_not_offered_for_eviction():
  table = table_lib.new('a')
  assert table_lib.least(table) is None
