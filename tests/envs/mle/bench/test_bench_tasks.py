"""Naming competitions in a configuration, and prompts for them."""

import warnings

import bench_data
import pytest

from ace_jax.envs.mle import tasks
from ace_jax.envs.mle.bench import competitions, directory
from ace_jax.envs.mle.env import MleEnv
from ace_jax.sandbox.base import SandboxSpec
from ace_jax.types import Problem

CACTUS = 'aerial-cactus-identification'
MAY = 'tabular-playground-series-may-2022'
PIZZA = 'random-acts-of-pizza'


def count(messages) -> int:
  return sum(len(m['content']) for m in messages) // 4


@pytest.fixture
def env(tmp_path):
  """`env(*tasks, …)` → an environment with these tasks held out."""
  made = []

  def make(*names, train=(), data=''):
    made.append(MleEnv(
        root=tmp_path / 'none', train_tasks=train, held_out_tasks=names,
        reward='human_rank', suggest_imports=True, instrument_programs=True,
        limits=SandboxSpec(), mlebench_data=str(data)))
    return made[-1]

  yield make
  for each in made:
    each.close()


@pytest.mark.parametrize('name', bench_data.MAKERS)
def test_every_competition_gets_a_prompt(prepared, env, name):
  path = prepared(name)
  made = env(str(path))
  assert made.held_out_tasks == (name,)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # of pizza's leak
    for budget in (1000, 200):
      chat = made.messages(
          Problem(name), count_tokens=count, budget=budget)
      text = chat[-1]['content']
      assert 'Write submission.csv with columns ' in text
      assert 'is better.' in text
      assert budget == 200 or 'Files in data/: ' in text
      assert 'private' not in text
      assert count(chat) <= budget
    assert f'The data of {name}.' in made.messages(
        Problem(name), count_tokens=count, budget=1000)[-1]['content']


def test_a_prompt_shows_what_is_there(prepared, env):
  made = env(str(prepared(CACTUS)), str(prepared(PIZZA)))
  shown = made.preview(CACTUS)
  images = shown.files
  assert 'train.csv' in images and 'sample_submission.csv' in images
  assert 'test.zip (' in images and ': 60 files, test/' in images
  assert ('columns id,has_cactus (as data/sample_submission.csv)'
          in shown.contract)
  with pytest.warns(UserWarning, match='label away'):
    pizza = made.preview(PIZZA)
  assert 'train.json' in pizza.files and 'test.json' in pizza.files
  kinds = {c.name: c.kind for c in pizza.columns}
  assert kinds['requester_upvotes_at_request'] == 'number'
  assert kinds['request_title'] == 'text'
  assert len(pizza.rows) == 2 and pizza.rows[0][-1] in ('True', 'False')


def test_public_files_may_be_anything(prepared, env):
  path = prepared(MAY)
  public = path / 'prepared' / 'public'
  (public / 'train.csv').write_bytes(b'\xff\xfe\x00\x81,"\n')
  (public / 'test.csv').unlink()
  (public / 'images').mkdir()
  (public / 'images' / 'a.png').write_bytes(b'x')
  (public / 'description.md').unlink()
  (public / 'big.bin').write_bytes(b'x' * 2_500_000)
  shown = env(str(path)).preview(MAY)
  assert shown.columns == () and shown.rows == ()
  assert 'images/ (a.png)' in shown.files
  assert 'big.bin (2 MB)' in shown.files


def test_by_id_by_directory_and_as_a_set(tmp_path, prepared, env):
  prepared(MAY), prepared(CACTUS)
  assert env(MAY, data=tmp_path).tasks[MAY].path == tmp_path / MAY
  made = env(CACTUS, train=[str(tmp_path / MAY)], data=tmp_path)
  assert (made.train_tasks, made.held_out_tasks) == ((MAY,), (CACTUS,))
  assert {n: t.split for n, t in made.tasks.items()} == {
      MAY: 'train', CACTUS: 'held_out'}
  assert made.own_train_tasks == ()  # the grammar does not know them
  with pytest.raises(ValueError, match='trained on and held out'):
    env(MAY, train=[str(tmp_path / MAY)], data=tmp_path)
  with pytest.raises(ValueError, match='mlebench prepare -c') as error:
    env('rl4mle', data=tmp_path)
  assert '\n' not in str(error.value)


def test_the_default_place_is_mlebenchs(tmp_path, monkeypatch, env):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  path = bench_data.make(tmp_path / 'mle-bench' / 'data', MAY)
  assert env(MAY).tasks[MAY].path == path


def test_named_sets():
  lite, twelve = (competitions.SETS[n] for n in ('mlebench_lite', 'rl4mle'))
  assert len(set(lite)) == 22 and len(set(twelve)) == 12
  assert len(set(lite) & set(twelve)) == 8
  assert tasks.expand(['rl4mle', 'digits', MAY]) == (*twelve, 'digits')


def test_our_own_directories_are_not_mlebenchs(tmp_path):
  (tmp_path / 'prepared' / 'public').mkdir(parents=True)
  assert directory.is_prepared(tmp_path)
  (tmp_path / 'task.json').write_text('{}')
  assert not directory.is_prepared(tmp_path)


def test_an_unknown_competition_says_what_it_needs(prepared):
  path = prepared(MAY)
  path = path.rename(path.parent / 'something-else')
  with pytest.raises(ValueError, match='install mlebench, or put') as error:
    tasks.load_task(path)
  assert '\n' not in str(error.value)
  (path / 'prepared' / 'private').rename(path / 'away')
  with pytest.raises(ValueError, match='has no prepared/private'):
    tasks.load_task(path)


def test_no_leaderboard_says_so(prepared):
  path = prepared('dogs-vs-cats-redux-kernels-edition')
  (path / 'leaderboard.csv').unlink()
  with pytest.raises(ValueError, match='no leaderboard: install mlebench'):
    tasks.load_task(path)


def test_a_misspelt_competition(tmp_path):
  with pytest.raises(tasks.TaskError, match=f'did you mean {CACTUS!r}'):
    tasks.load_task('aerial-cactus-identificatoin', tmp_path)
