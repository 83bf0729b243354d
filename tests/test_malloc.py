"""A process starts anew with tuned malloc, once, and is otherwise the same."""

import os
import subprocess
import sys

import pytest

PROGRAM = '''
import os, sys
from ace_jax.malloc import restart_with_tuned_malloc
print('start', os.getpid(), flush=True)
restart_with_tuned_malloc()
print(os.environ.get('GLIBC_TUNABLES'), sys.argv[1:], sys.flags.safe_path)
'''


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is for Linux')
@pytest.mark.parametrize('given, starts, result', [
    (None, 2, 'glibc.malloc.hugetlb=1'),
    ('glibc.cpu.x86_shstk=off', 2,
     'glibc.cpu.x86_shstk=off:glibc.malloc.hugetlb=1'),
    ('glibc.malloc.hugetlb=0', 1, 'glibc.malloc.hugetlb=0'),
])
def test_restarts_once_with_the_same_arguments(
    tmp_path, given, starts, result
):
  script = tmp_path / 'script.py'
  script.write_text(PROGRAM)
  env = {k: v for k, v in os.environ.items() if k != 'GLIBC_TUNABLES'}
  env |= {'GLIBC_TUNABLES': given} if given else {}
  env['PYTHONPATH'] = os.pathsep.join(filter(None, sys.path))
  out = subprocess.run(
      [sys.executable, '-P', str(script), 'a b', '--c=1'],
      env=env, capture_output=True, text=True, check=True,
  ).stdout.splitlines()
  tunables, arguments = out[-1].split(' ', 1)
  # More follow where there is memory enough.
  assert f'{tunables}:'.startswith(f'{result}:')
  assert arguments == "['a b', '--c=1'] True"
  assert out[:-1] == out[:1] * starts  # the same process
