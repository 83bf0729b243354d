"""run.sh, the requirement files, and the rule about skipped tests.

run.sh is run for real, with a stand-in for Python that answers at once and
writes down what it was asked: what is tested is which commands run.sh gives.
"""

import importlib.metadata
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

import pytest
from test_layering import imports

ROOT = pathlib.Path(__file__).resolve().parents[1]

PYTHON = f"""#!/usr/bin/env bash
# Notes each command; makes environments out of copies of itself.
[[ $1 == -P ]] && shift
case "$1 ${{2:-}}" in
  '-c '*"find_spec"*) exit "${{NO_TORCH:-0}}" ;;
  '-c '* | '- '* | '--version '*) exec {sys.executable} "$@" ;;
  '-m venv')
    [[ -z ${{NO_VENV:-}} ]] || exit 1
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  '-m virtualenv') exit 1 ;;
  '-m pip')
    echo "$@" >>"$CALLS"
    printf 'Collecting jax>=1 (from x)\\n'
    [[ -z ${{PIP_SAYS:-}} ]] || {{ echo "$PIP_SAYS"; exit 1; }} ;;
  *)
    echo "$@" >>"$CALLS"
    [[ -z ${{FAILS:-}} || "$*" != *"$FAILS"* ]] ;;
esac
"""


class Checkout:
  """A copy of the front in a directory with a space in its name."""

  def __init__(self, tmp_path: pathlib.Path):
    self.root = tmp_path / 'a checkout'
    self.root.mkdir()
    for name in ('run.sh', 'requirements.txt', 'requirements-dev.txt',
                 'requirements-gpu.txt', 'requirements-tpu.txt'):
      shutil.copy(ROOT / name, self.root)
    self.bin = tmp_path / 'bin'
    self.bin.mkdir()
    self.python = self.script('a python', PYTHON)
    self.calls_file = tmp_path / 'calls'
    self.elsewhere = tmp_path / 'elsewhere'
    self.elsewhere.mkdir()

  def script(self, name: str, text: str) -> pathlib.Path:
    path = self.bin / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path

  def run(self, *args: str, **env: str) -> subprocess.CompletedProcess:
    """Runs run.sh from another directory; forgets earlier calls."""
    self.calls_file.write_text('')
    environ = os.environ | {
        'PATH': f'{self.bin}:/usr/bin:/bin',
        'CALLS': str(self.calls_file),
        'ACE_JAX_PYTHON': str(self.python),
        'ACE_JAX_DEVICE': 'cpu',
    } | env
    environ.pop('ACE_JAX_REQUIRE', None)
    return subprocess.run(
        [self.root / 'run.sh', *args], cwd=self.elsewhere, env=environ,
        capture_output=True, text=True, timeout=60, check=False,
    )

  def calls(self, word: str = '') -> list[str]:
    lines = self.calls_file.read_text().splitlines()
    return [line for line in lines if word in line]


@pytest.fixture
def checkout(tmp_path):
  return Checkout(tmp_path)


def test_the_first_run_installs_prepares_and_trains(checkout):
  done = checkout.run('--config.seed=1')
  assert done.returncode == 0, done.stderr
  pip, tasks, sandbox, main = checkout.calls()
  assert pip.endswith(f'-r {checkout.root}/requirements.txt')
  assert tasks == '-m ace_jax.envs.mle prepare'
  assert sandbox == '-m ace_jax.sandbox prepare'
  assert main == (
      f'-m ace_jax.main --config={checkout.root}/configs/quickstart.py '
      f'--workdir={checkout.root}/workdirs/quickstart --config.seed=1'
  )
  assert list(checkout.elsewhere.iterdir()) == []


def test_the_second_run_installs_nothing(checkout):
  checkout.run()
  checkout.run()
  assert checkout.calls('-m pip') == []
  assert len(checkout.calls('ace_jax.main')) == 1


def test_adding_the_tests_packages_keeps_the_rest(checkout):
  checkout.run()
  checkout.run('test')
  assert len(checkout.calls('-m pip')) == 1
  for args in ((), ('test',)):
    checkout.run(*args)
    assert checkout.calls('-m pip') == []


def test_another_device_gets_another_environment(checkout):
  checkout.run()
  left = checkout.root / '.venv' / 'left'
  left.touch()
  checkout.run(ACE_JAX_DEVICE='gpu')
  assert not left.exists()


def test_new_requirements_are_installed(checkout):
  checkout.run()
  (checkout.root / 'requirements.txt').write_text('jax>=99\n')
  checkout.run()
  assert len(checkout.calls('-m pip')) == 1


def test_a_config_of_ones_own_gets_a_workdir_of_its_name(checkout):
  checkout.run('--config=c.py', '--mode=report')
  (main,) = checkout.calls('ace_jax.main')
  assert main == (
      f'-m ace_jax.main --config=c.py --workdir={checkout.root}/workdirs/c '
      '--mode=report'
  )
  checkout.run('--config', 'c.py', '--workdir', 'here')
  (main,) = checkout.calls('ace_jax.main')
  assert main == '-m ace_jax.main --config=c.py --workdir=here'


def test_the_checkouts_configs_are_found_from_anywhere(checkout):
  (checkout.root / 'configs').mkdir()
  (checkout.root / 'configs' / 'smoke.py').touch()
  checkout.run('--config=configs/smoke.py')
  (main,) = checkout.calls('ace_jax.main')
  assert f'--config={checkout.root}/configs/smoke.py ' in main


@pytest.mark.parametrize('device', ['gpu', 'tpu'])
def test_an_accelerator_gets_its_requirements(checkout, device):
  checkout.run(ACE_JAX_DEVICE=device)
  (pip,) = checkout.calls('-m pip')
  assert pip.endswith(f'requirements-{device}.txt')


@pytest.mark.parametrize(
    ('answer', 'found'),
    [('echo "GPU 0: H200"', True), ('echo "No devices were found"', False),
     ('exit 9', False)],
)
def test_a_gpu_is_found_by_its_driver(checkout, answer, found):
  checkout.script('nvidia-smi', f'#!/bin/sh\n{answer}\n')
  checkout.run(ACE_JAX_DEVICE='')
  (pip,) = checkout.calls('-m pip')
  assert ('requirements-gpu.txt' in pip) == found


def test_an_index_that_cannot_be_reached_is_said_plainly(checkout):
  done = checkout.run(
      PIP_SAYS='WARNING: Retrying: NewConnectionError: no route to host'
  )
  assert done.returncode == 1
  assert 'pip cannot reach its package index' in done.stderr
  assert checkout.calls('ace_jax') == []
  # The failed set-up is not taken for a good one.
  assert checkout.run().returncode == 0
  assert len(checkout.calls('-m pip')) == 1


@pytest.mark.parametrize(
    ('env', 'message'),
    [({'ACE_JAX_PYTHON': '/bin/false'}, 'not a Python 3.11, 3.12 or 3.13'),
     ({'ACE_JAX_DEVICE': 'npu'}, 'npu is not cpu, gpu or tpu')],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    checkout, env, message
):
  done = checkout.run(**env)
  assert done.returncode == 1
  assert message in done.stderr
  assert not (checkout.root / '.venv').exists()


def test_a_python_without_venv_names_the_package(checkout):
  checkout.script('id', '#!/bin/sh\necho 1000\n')
  checkout.script('apt-get', '#!/bin/sh\necho apt-get >>"$CALLS"\n')
  done = checkout.run(NO_VENV='1')
  assert done.returncode == 1
  version = '.'.join(map(str, sys.version_info[:2]))
  assert f'python{version}-venv (about 6 MB' in done.stderr
  assert checkout.calls('apt-get') == []  # not root: nothing is installed
  assert not (checkout.root / '.venv').exists()


def test_root_gets_the_package_installed(checkout):
  checkout.script('id', '#!/bin/sh\necho 0\n')
  checkout.script('apt-get', '#!/bin/sh\necho apt-get "$@" >>"$CALLS"\n')
  checkout.run(NO_VENV='1')
  assert any('-venv' in call for call in checkout.calls('install'))


def test_tests_run_with_coverage_unless_some_are_named(checkout):
  done = checkout.run('test')
  assert done.returncode == 0, done.stderr
  lanes = checkout.calls('-m pytest')
  assert len(lanes) == 2 and all('--cov=ace_jax' in lane for lane in lanes)
  (report,) = checkout.calls('-m coverage report')
  assert '--fail-under=85' in report
  checkout.run('test', 'tests/core', '-k', 'a b')
  assert checkout.calls('-m pytest') == ['-m pytest tests/core -k a b']
  assert checkout.calls('-m pip') == []


def test_each_test_is_in_one_of_two_lanes(checkout):
  checkout.run('test')
  words = [lane.split() for lane in checkout.calls('-m pytest')]
  rest, sandbox = sorted(words, key=lambda w: 'tests' not in w)
  named = {word for word in sandbox if word.startswith('tests/')}
  assert named and all((ROOT / path).exists() for path in named)
  assert {w.removeprefix('--ignore=') for w in rest if 'ignore' in w} == named


@pytest.mark.parametrize(
    'fails', ['--ignore', 'pytest -o cache_dir=.pytest_cache/sandbox',
              'coverage report', 'coverage combine'])
def test_a_failure_in_either_lane_is_one(checkout, fails):
  assert checkout.run('test', FAILS=fails).returncode != 0


def test_tests_never_bring_cuda_unasked(checkout):
  done = checkout.run('test', NO_TORCH='1')
  assert done.returncode == 0, done.stderr
  torch = [c for c in checkout.calls('-m pip') if 'torch' in c]
  assert len(torch) == 1
  assert torch[0].endswith('torch==2.13.0+cpu accelerate')


def test_help_and_mistakes(checkout):
  done = checkout.run('--help')
  assert done.returncode == 0
  assert './run.sh test' in done.stdout
  done = checkout.run('--config')
  assert done.returncode == 1
  assert '--config and --workdir need a value' in done.stderr
  done = checkout.run('trian')
  assert done.returncode == 1
  assert 'unknown command: trian' in done.stderr
  assert not (checkout.root / '.venv').exists()


# --- Files -------------------------------------------------------------------


def requirements(name: str) -> dict[str, str]:
  """Package → the rest of its line."""
  found = {}
  for line in (ROOT / name).read_text().splitlines():
    line = line.split('#')[0].strip()
    if line and not line.startswith('-r'):
      match = re.match(r'([\w-]+)(\[\w+\])?(.*)', line)
      found[_canonical(match[1])] = match[3]
  return found


def _canonical(name: str) -> str:
  return re.sub(r'[-_.]+', '-', name).lower()


def test_a_laptop_downloads_neither_cuda_nor_torch():
  named = requirements('requirements.txt')
  assert named
  assert not [n for n in named if re.search('torch|nvidia|cuda|vllm', n)]


@pytest.mark.parametrize('path', sorted(ROOT.glob('requirements*.txt')),
                         ids=lambda p: p.name)
def test_every_requirement_has_a_floor(path):
  for name, rest in requirements(path.name).items():
    assert rest.startswith('>='), f'{name}{rest}'


def test_every_package_that_is_imported_is_required():
  owners = importlib.metadata.packages_distributions()
  named = set(requirements('requirements.txt'))
  implied = {'jaxlib', 'markupsafe'}  # parts of packages that are named
  optional = {'ray'}  # who wants that backend is told to install it
  for folder in ('ace_jax', 'configs'):
    for path in sorted((ROOT / folder).rglob('*.py')):
      for parts in imports(path.read_text(), ()):
        if parts[0] in owners and parts[0] not in sys.stdlib_module_names:
          dists = {_canonical(d) for d in owners[parts[0]]}
          assert dists & (named | implied | optional), f'{path}: {parts[0]}'


def test_license_and_scripts():
  text = (ROOT / 'LICENSE').read_text()
  assert 'Apache License' in text
  assert 'END OF TERMS AND CONDITIONS' in text
  for name in ('run.sh', '.ci/run'):
    assert os.access(ROOT / name, os.X_OK)
    assert 'sudo' not in (ROOT / name).read_text()


# --- ACE_JAX_REQUIRE ---------------------------------------------------------

SKIPPING = """
import pytest

def test_fixture(require):
  require('chromium', None, 'draws')

def test_import():
  pytest.importorskip('no_such_module')

@pytest.mark.skipif(True, reason='needs chromium, not there')
def test_mark():
  pass

def test_unrelated():
  pytest.skip('too slow')

@pytest.mark.xfail(reason='chromium is wrong')
def test_expected():
  raise ValueError
"""


def outcomes(tmp_path, required: str) -> dict[str, str]:
  shutil.copy(ROOT / 'tests' / 'conftest.py', tmp_path)
  (tmp_path / 'test_it.py').write_text(SKIPPING)
  done = subprocess.run(
      [sys.executable, '-m', 'pytest', '-v', '-p', 'no:cacheprovider',
       f'--rootdir={tmp_path}', tmp_path / 'test_it.py'],
      env=os.environ | {'ACE_JAX_THREATS': '', 'ACE_JAX_REQUIRE': required,
                        'PYTHONPATH': str(ROOT)}, cwd=tmp_path,
      capture_output=True, text=True, timeout=120, check=False,
  )
  found = dict(re.findall(r'::(test_\w+) ([A-Z]+)', done.stdout))
  assert (done.returncode == 0) == (
      not {'FAILED', 'ERROR'} & set(found.values())
  )
  return found


def test_a_skip_for_want_of_what_must_be_there_fails(tmp_path):
  assert outcomes(tmp_path, 'chromium,no_such_module') == {
      'test_fixture': 'FAILED',
      'test_import': 'FAILED',
      'test_mark': 'ERROR',
      'test_unrelated': 'SKIPPED',
      'test_expected': 'XFAIL',
  }


def test_other_skips_stay_skips(tmp_path):
  found = outcomes(tmp_path, '')
  assert set(found.values()) == {'SKIPPED', 'XFAIL'}


# --- README ------------------------------------------------------------------


def test_readme_names_what_is_there():
  text = (ROOT / 'README.md').read_text()
  assert text.index('./run.sh ') < text.index('./run.sh test')
  for path in re.findall(r'\b(?:configs|experiments)/\w+\.py', text):
    assert (ROOT / path).is_file(), path
  tree = text.split('## The tree')[1].split('##')[0]
  for path in (ROOT / 'ace_jax').iterdir():
    if path.name[0] not in '_.':
      assert re.search(rf'^      {re.escape(path.name)}\b', tree, re.M), path
  for config in (ROOT / 'configs').glob('*.py'):
    if config.name != '__init__.py':
      assert f'configs/{config.name}' in text
