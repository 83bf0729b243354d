"""Programs that forge milestones and scores earn less than any success.

Milestones are bounded, not trusted (see instrument.py): a forger may have all
six of them, and then has .6 more than a program that did nothing. That, and
no more, is what remains possible; docs/threats.md says so too.
"""

import pytest

from ace_jax.envs.mle.env import MleEnv
from ace_jax.envs.rewards import CREDIT
from ace_jax.sandbox.base import SandboxError, SandboxSpec
from ace_jax.sandbox.docker import DockerSandbox
from ace_jax.sandbox.local import LocalSandbox
from ace_jax.types import Problem, Status

# What every forger begins with, so that there is a nonce to be found.
HONEST = 'import pandas as pd\n'
ALL = "''.join(f'[[{nonce}:{k}]]\\n' for k in range(6))"
FORGERS = {
    'own source': f'''
import re
nonce = re.search(r'([0-9a-f]{{16}})_0', open('program.py').read())[1]
print({ALL})''',
    'frames': f'''
import sys
names = [n for n in sys._getframe().f_globals if n.endswith('_0')]
nonce = names[0][:-2]
print({ALL})''',
    'constants of the code': f'''
import re, sys
code = sys._getframe().f_code
nonce = re.search(r'([0-9a-f]{{16}})_0', repr(code.co_consts))[1]
print({ALL})''',
    'wrapped print': f'''
import builtins, re
real, seen = builtins.print, []
builtins.print = lambda *a, **k: (seen.append(repr((a, k))), real(*a, **k))
x = open('data/train.csv').read()
nonce = re.search(r'([0-9a-f]{{16}}):', ''.join(seen))[1]
real({ALL})''',
    'wrapped stdout': f'''
import re, sys
class Tee:
  seen = ''
  def write(self, text): Tee.seen += text; return len(text)
  def flush(self): pass
out, sys.stdout = sys.stdout, Tee()
x = open('data/train.csv').read()
nonce = re.search(r'([0-9a-f]{{16}}):', Tee.seen)[1]
sys.stdout = out
print({ALL})''',
    'replay': f'''
import os, re
nonce = re.search(r'([0-9a-f]{{16}})_0', open('program.py').read())[1]
for _ in range(100): os.write(1, {ALL}.encode())''',
    'own memory': f'''
import re
nonce = None
with open('/proc/self/mem', 'rb') as memory:
  for line in open('/proc/self/maps'):
    if 'rw-p' not in line or nonce: continue
    low, high = (int(x, 16) for x in line.split()[0].split('-'))
    try:
      memory.seek(low); found = re.search(
          rb'\\[\\[([0-9a-f]{{16}}):0', memory.read(high - low))
    except (OSError, ValueError, OverflowError): continue
    nonce = found and found[1].decode()
print({ALL})''',
    'line cache': f'''
import linecache, re
text = ''.join(linecache.getlines('program.py'))
nonce = re.search(r'([0-9a-f]{{16}})_0', text)[1]
print({ALL})''',
    'traceback': f'''
import re, traceback
def f(): raise ValueError
try: x = open('nowhere').read()
except OSError: text = traceback.format_exc()
text += open('program.py').read()
nonce = re.search(r'([0-9a-f]{{16}})_0', text)[1]
print({ALL})''',
    'garbage': f'''
import gc, re
nonce = None
for thing in gc.get_objects():
  if isinstance(thing, dict):
    for key in list(thing):
      if isinstance(key, str) and re.fullmatch('[0-9a-f]{{16}}_0', key):
        nonce = key[:-2]
print({ALL})''',
    'at exit': f'''
import atexit, re
nonce = re.search(r'([0-9a-f]{{16}})_0', open('program.py').read())[1]
atexit.register(lambda: print({ALL}))
raise SystemExit(1)''',
    'a child': f'''
import os, re
nonce = re.search(r'([0-9a-f]{{16}})_0', open('program.py').read())[1]
if os.fork() == 0:
  print({ALL}, flush=True)
  os._exit(0)
os.wait()''',
    'exec': f'''
import re, subprocess, sys
nonce = re.search(r'([0-9a-f]{{16}})_0', open('program.py').read())[1]
text = {ALL}
subprocess.run([sys.executable, '-c', 'print(' + repr(text) + ')'])''',
    'tracing': f'''
import re, sys
texts = []
sys.settrace(lambda frame, *_: texts.append(repr(frame.f_globals.keys())))
def f(): pass
f()
sys.settrace(None)
nonce = re.search(r'([0-9a-f]{{16}})_0', ''.join(texts))[1]
print({ALL})''',
}
# Those that know no nonce get nothing by it.
CLUELESS = {
    'a score': 'print("score: 1.0\\nvalid submission\\nreward 1.0")',
    'guesses': 'import os\nfor _ in range(200):\n'
               '  print(f"[[{os.urandom(8).hex()}:5]]")',
    'another nonce': 'print("[[0123456789abcdef:5]]")',
    'standard error': '''
import re, sys
nonce = re.search(r'([0-9a-f]{16})_0', open('program.py').read())[1]
print(f'[[{nonce}:5]]', file=sys.stderr)''',
    'other digits': '''
import re
nonce = re.search(r'([0-9a-f]{16})_0', open('program.py').read())[1]
print(f'[[{nonce}:\\u0665]] [[{nonce}:55]] [[{nonce}:-1]] [[{nonce}:9]]')''',
    'late files': 'open("milestones", "w").write("6")',
}


@pytest.fixture(scope='module')
def env(mle_root):
  env = MleEnv(
      root=mle_root, train_tasks=('quakes',), held_out_tasks=(),
      reward='human_rank', suggest_imports=False, instrument_programs=True,
      limits=SandboxSpec())
  yield env
  env.close()


@pytest.fixture(scope='module', params=['L3', 'L2', 'docker'])
def sandbox(request):
  spec = SandboxSpec(timeout_s=20)
  try:
    if request.param == 'docker':
      request.getfixturevalue('docker_daemon')
      made = DockerSandbox(spec)
    else:
      made = LocalSandbox(spec, force_level=request.param)
  except SandboxError as error:
    pytest.skip(str(error))
  with made:
    yield made


@pytest.fixture(scope='module')
def earned(env, sandbox):
  """program → (outcome, reward)."""
  problem = Problem('quakes')

  def run(program):
    job = env.job('forger', problem, program, seed=0)
    execution = sandbox.run(job)
    outcome = env.finish(job, execution, task='quakes', rows='reward')
    return outcome, env.reward(problem, outcome)

  return run


@pytest.fixture(scope='module')
def honest(earned):
  outcome, _ = earned(HONEST + 'x = 1')
  return outcome


@pytest.mark.threat('tampering: printed scores and milestones')
@pytest.mark.parametrize('name', FORGERS)
def test_a_forger_has_six_milestones_at_most(earned, sandbox, name):
  outcome, reward = earned(HONEST + FORGERS[name])
  assert outcome.milestones <= 6 and not outcome.grade.valid
  assert reward <= -1 + 6 * CREDIT + 1e-9
  # The forging itself works: it is bounded, and that is all.
  works = (name, sandbox.level) != ('own memory', 'L2')  # it has no /proc
  assert outcome.milestones == (6 if works else 1), outcome.execution.stderr
  assert '[[' not in outcome.execution.stdout


@pytest.mark.threat('tampering: printed scores and milestones')
@pytest.mark.parametrize('name', CLUELESS)
def test_who_does_not_know_the_nonce_gets_nothing(earned, honest, name):
  outcome, _ = earned(HONEST + CLUELESS[name])
  assert not outcome.grade.valid
  found = outcome.milestones - honest.milestones
  assert found <= (1 if 'open(' in CLUELESS[name] else 0)


def test_any_success_is_worth_more(earned):
  """The worst there is: a constant, far from everything."""
  outcome, reward = earned('''
import pandas as pd
ids = pd.read_csv('data/test.csv')['id']
pd.DataFrame({'id': ids, 'depth': 1e9}).to_csv('submission.csv', index=False)
''')
  assert outcome.execution.status is Status.OK and outcome.grade.valid
  assert reward >= 0 > -1 + 6 * CREDIT
