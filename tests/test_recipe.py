"""What a config chooses: the algorithm, its optimizer, its batches."""

import dataclasses
import importlib
import pathlib

import numpy as np
import optax
import pytest

from ace_jax import recipe
from ace_jax.types import (
  Attempt,
  Completion,
  Execution,
  Grade,
  Group,
  Problem,
  Prompt,
  Segment,
  Status,
)
from configs import default

PROBLEM = Problem('task')
REWARDS = np.array([[0.5, 0.5], [0.0, 1.0], [-1.0, 0.2]])

CONFIGS = pathlib.Path(__file__).parents[1] / 'configs'


def make_config(**keys):
  config = default.get_config()
  for key, value in keys.items():
    config.update_from_flattened_dict({key.replace('__', '.'): value})
  return config


def group(rewards):
  tokens = np.arange(3, dtype=np.int32)
  segment = Segment(tokens, np.zeros(3, np.float32))
  attempt = Attempt(
      key='', problem=PROBLEM, prompt=Prompt(PROBLEM, tokens),
      completion=Completion((segment,), policy_version=0, finished=True),
      program=None, execution=None, milestones=0, grade=Grade(valid=False),
      reward=None,
  )
  return Group(
      PROBLEM,
      tuple(dataclasses.replace(attempt, reward=r) for r in rewards),
  )


def collate(rewards, **keys):
  make = recipe.make_collate(make_config(**keys), pad_id=0)
  return make([group(row) for row in rewards])


def test_an_unknown_algorithm_is_refused():
  config = make_config(learner__algorithm='reinforce')
  for make in (
      recipe.learning_rate,
      recipe.loss_spec,
      lambda config: recipe.make_collate(config, pad_id=0),
  ):
    with pytest.raises(ValueError, match="'reinforce' is none of grpo, ppo"):
      make(config)


def test_equal_rewards_leave_grpo_but_not_ppo():
  grpo = collate(REWARDS)
  assert grpo.weight.tolist() == [[0, 0], [1, 1], [1, 1]]
  ppo = collate(REWARDS, learner__algorithm='ppo')
  assert ppo.weight.tolist() == [[1, 1]] * 3
  assert not ppo.adv.any()
  alone = collate([[0.5], [None]], learner__algorithm='ppo')
  assert alone.weight.tolist() == [[1], [0]]
  for batch, rewards in ((grpo, REWARDS), (ppo, REWARDS), (alone, [[.5], [0]])):
    np.testing.assert_allclose(batch.reward, rewards)


def test_advantages_normalised_over_the_batch():
  batch = collate(REWARDS, loss__advantage='batch_normalized')
  centred = REWARDS - REWARDS.mean(1, keepdims=True)
  scale = np.sqrt((centred**2).sum() / (REWARDS.size - 1)) + 1e-4
  np.testing.assert_allclose(batch.adv, centred / scale, rtol=1e-6)


def _improved(rank, reward):
  """A valid improve attempt; the parent's rank was .9."""
  attempt = group([reward]).attempts[0]
  problem = dataclasses.replace(PROBLEM, kind='improve')
  return dataclasses.replace(
      attempt, problem=problem, grade=Grade(True, 1.0, human_rank=rank))


def test_a_copy_does_not_stand_above_what_is_worse_by_a_little():
  """`nested` looks at the gain where that is paid, else at the HumanRank."""
  attempts = (_improved(0.9, -0.1), _improved(0.895, -0.05),
              _improved(0.95, 0.5))
  groups = [Group(attempts[0].problem, attempts)]
  orders = {}
  for improve in ('gain', 'level'):
    config = make_config(
        loss__advantage='nested', env__improve_reward=improve)
    adv = recipe.make_collate(config, pad_id=0)(groups).adv
    orders[improve] = np.argsort(adv[0]).tolist()
  assert orders == {'gain': [0, 1, 2], 'level': [1, 0, 2]}


@pytest.mark.parametrize('kind', ['mixture', 'evolving'])
def test_what_does_not_fit_a_prompt_enters_no_buffer(kind):
  def attempt(key, program):
    run = Execution(Status.OK, 1.0, 1.0, 1.0, 0, '', '', {}, 'local', 'L3')
    return dataclasses.replace(
        _improved(0.5, 0.5), key=key, problem=PROBLEM, program=program,
        execution=run)

  groups = [Group(PROBLEM, (attempt('a', 'x = 1'), attempt('b', 'x = 22')))]
  source = recipe.make_source(
      make_config(buffer__kind=kind, buffer__improve_share=1.0,
                  collect__num_groups=64),
      ['task'],
      fits=lambda problem: len(problem.parent.program) <= 5,
  )
  buffer = source.insert(source.init(), groups, 0)
  drawn = [p for version in range(4) for p in source.sample(buffer, version)]
  assert {p.parent.key for p in drawn if p.parent} == {'a'}


def test_the_policy_stands_still_while_the_critic_warms_up():
  keys = dict(
      num_steps=10, learner__lr=0.5, learner__warmup_steps=2,
      learner__lr_schedule='linear', critic__warmup_updates=3,
  )
  grpo = recipe.learning_rate(make_config(**keys))
  ppo = recipe.learning_rate(make_config(learner__algorithm='ppo', **keys))
  rates = [float(ppo(i)) for i in range(11)]
  assert rates[:5] == [0, 0, 0, 0.25, 0.5]
  assert grpo(0) == 0.25
  assert float(grpo(10)) == rates[10] == 0
  config = make_config(learner__algorithm='ppo', num_steps=10)
  with pytest.raises(ValueError, match='critic.warmup_updates=10 leaves none'):
    recipe.learning_rate(config)


def test_the_critics_learning_rate_is_its_own():
  config = make_config(learner__algorithm='ppo', critic__lr=0.25)
  tx = recipe.make_optimizer(config, optax.constant_schedule(0.5))
  ones = np.ones(3, np.float32)
  params = {'final_norm': ones, 'value': {'bias': ones}}
  updates, _ = tx.update(params, tx.init(params), params)
  np.testing.assert_allclose(updates['final_norm'], -0.5, rtol=1e-6)
  np.testing.assert_allclose(updates['value']['bias'], -0.25, rtol=1e-6)


def test_the_critics_keys_reach_the_loss():
  keys = dict(gamma=0.9, lam=0.8, clip=0.1, whiten=False)
  flat = {f'critic__{key}': value for key, value in keys.items()}
  assert recipe.loss_spec(make_config(**flat)).critic is None
  spec = recipe.loss_spec(make_config(learner__algorithm='ppo', **flat))
  assert dataclasses.asdict(spec.critic) == keys


@pytest.mark.parametrize('name', sorted(
    p.stem for p in CONFIGS.glob('*.py') if p.stem != '__init__'))
def test_each_shipped_config_builds_its_functions(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  recipe.make_optimizer(config, recipe.learning_rate(config))
  recipe.loss_spec(config)
  recipe.make_collate(config, pad_id=0)
  source = recipe.make_source(config, ('a', 'b'))
  drawn = source.sample(source.init(), 0)
  assert len(drawn) == config.collect.num_groups
