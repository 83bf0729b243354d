"""The house's rules that a program can check: who may import whom, and size.

See the file tree in README.md. Every rule here reads the source; none runs it.
"""

import ast
import importlib
import pathlib

import ml_collections
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# A module may import from its own layer and from those before it.
LAYERS = (
    'types',
    'core',
    'policy',
    'learner',
    'sampler',
    'sandbox',
    'envs',
    'buffer',
    'recipe',
    'report',
    'collect',
    'agent',
    'records',
    'evaluate',
    'warm_start',
    'train',
    'modes',
    'malloc',
    'main',
)
MAX_LINES = 350
# Nobody swallows what he did not expect, but for the pool's workers, which
# hand every exception over to the loop, and two forked children: the frame
# around a program, and a probe, which tells its parent through a pipe.
CATCH_ALL = {
    'sandbox/pool.py',
    'sandbox/spawner/levels.py',
    'sandbox/spawner/program.py',
}
CATCH_ALL_NAMES = {'Exception', 'BaseException'}

FILES = sorted((ROOT / 'ace_jax').rglob('*.py'))
MODULES = [f for f in FILES if f.parent != ROOT / 'ace_jax'
           or f.name != '__init__.py']
CONFIGS = sorted(
    f.stem for f in (ROOT / 'configs').glob('*.py') if f.stem != '__init__'
)


def _name(path: pathlib.Path) -> str:
  return path.relative_to(ROOT / 'ace_jax').as_posix()


def _layer(parts) -> int:
  if parts[0] not in LAYERS:
    raise AssertionError(f'{parts[0]} has no place in LAYERS')
  return LAYERS.index(parts[0])


def imports(source: str, package: tuple[str, ...]) -> list[tuple[str, ...]]:
  """Every module that a source imports, inside functions too.

  Args:
    source: Python.
    package: the parts of the package that it stands in.

  Returns:
    For `from a.b import c`, ('a', 'b', 'c'): c may be a module.
  """
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found += [tuple(a.name.split('.')) for a in node.names]
    elif isinstance(node, ast.ImportFrom):
      base = package[: len(package) - node.level + 1] if node.level else ()
      base += tuple(node.module.split('.')) if node.module else ()
      found += [(*base, a.name) for a in node.names]
  return found


def _imports_of(path: pathlib.Path) -> list[tuple[str, ...]]:
  package = path.relative_to(ROOT).parent.parts
  return imports(path.read_text(), package)


def test_imports_are_found_wherever_they_stand():
  source = """
import a.b
from c import d
from . import e
from ..f import g
def function():
  from h import i
"""
  assert imports(source, ('p', 'q')) == [
      ('a', 'b'), ('c', 'd'), ('p', 'q', 'e'), ('p', 'f', 'g'), ('h', 'i'),
  ]


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_imports_point_up(path):
  own = pathlib.PurePath(_name(path)).with_suffix('').parts
  for parts in _imports_of(path):
    if parts[0] != 'ace_jax':
      continue
    assert len(parts) > 1, 'import a module of ace_jax, not the package'
    assert _layer(parts[1:]) <= _layer(own), (
        f'{_name(path)} imports {".".join(parts)}, which stands below it'
    )


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_core_is_pure_and_only_main_reads_flags(path):
  names = {'.'.join(parts) for parts in _imports_of(path)}
  roots = {name.split('.')[0] for name in names}
  if _name(path).startswith('core/'):
    assert not roots & {
        'flax', 'ml_collections', 'absl', 'os', 'pathlib', 'io', 'logging',
    }
  if _name(path) != 'main.py':
    assert 'absl' not in roots or not any(
        name.startswith(('absl.flags', 'absl.app')) for name in names
    )
    assert 'ml_collections.config_flags' not in names


@pytest.mark.parametrize('path', FILES, ids=_name)
def test_a_file_fits_a_reader(path):
  lines = len(path.read_text().splitlines())
  assert lines <= MAX_LINES, f'{lines} lines, at most {MAX_LINES}'


def catch_alls(source: str) -> list[int]:
  """Lines of handlers that swallow whatever comes."""
  found = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.ExceptHandler):
      last = node.body[-1]
      if isinstance(last, ast.Raise) and last.exc is None:
        continue  # tidies up and lets it pass
      kinds = (
          node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
      )
      if any(k is None or getattr(k, 'id', '') in CATCH_ALL_NAMES
             for k in kinds):
        found.append(node.lineno)
  return found


def test_catch_alls_are_found():
  assert catch_alls('try: f()\nexcept: pass') == [2]
  assert catch_alls('try: f()\nexcept (OSError, Exception): pass') == [2]
  assert catch_alls('try: f()\nexcept OSError: pass') == []
  assert catch_alls('try: f()\nexcept BaseException: g(); raise') == []


@pytest.mark.parametrize('path', FILES, ids=_name)
def test_nothing_unexpected_is_swallowed(path):
  if _name(path) not in CATCH_ALL:
    assert catch_alls(path.read_text()) == []


def _leaves(config: ml_collections.ConfigDict, prefix: str = '') -> set[str]:
  keys = set()
  for key in config:
    value = config[key]
    if isinstance(value, ml_collections.ConfigDict):
      keys |= _leaves(value, f'{prefix}{key}.')
    else:
      keys.add(prefix + key)
  return keys


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_holds_differences_of_the_default(name):
  module = importlib.import_module(f'configs.{name}')
  config = module.get_config()
  assert module.__doc__, 'the docstring is the experiment\'s record'
  assert config.is_locked
  assert _leaves(config) == _leaves(
      importlib.import_module('configs.default').get_config()
  )
  assert config.name == name
