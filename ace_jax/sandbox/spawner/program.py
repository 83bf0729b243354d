"""Runs the source as `__main__`, as `python program.py` would."""

from __future__ import annotations

import atexit
import gc
import io
import linecache
import os
import random
import sys
import threading
import types
from typing import NoReturn

from . import confine

NAME = 'program.py'


def run(source: str, *, seed: int, home: str, tmp: str, threads: int
        ) -> NoReturn:
  """Never returns. Standard output and error must be in place."""
  os.environ.clear()
  os.environ.update(
      confine.ENVIRONMENT, HOME=home, TMPDIR=tmp,
      **dict.fromkeys(confine.THREADS, str(threads)))
  if threads > 1 and 'threadpoolctl' in sys.modules:
    # The libraries were loaded when there was to be one.
    sys.modules['threadpoolctl'].threadpool_limits(threads)
  for fd, name in ((1, 'stdout'), (2, 'stderr')):
    # By the line, so that what was printed before a kill is not lost.
    stream = io.TextIOWrapper(
        open(fd, 'wb', closefd=False), encoding='utf-8',
        errors='backslashreplace', line_buffering=True)
    setattr(sys, name, stream)
    setattr(sys, f'__{name}__', stream)
  sys.stdin = sys.__stdin__ = open(0, closefd=False)
  sys.argv = [NAME]
  sys.path.insert(0, home)
  sys.dont_write_bytecode = True
  for name in [n for n in sys.modules if n.split('.')[0] == 'spawner']:
    del sys.modules[name]
  _seed(seed)
  gc.enable()

  main = types.ModuleType('__main__')
  main.__file__ = NAME
  sys.modules['__main__'] = main
  linecache.cache[NAME] = (len(source), None, source.splitlines(True), NAME)
  code = 1
  try:
    exec(compile(source, NAME, 'exec'), main.__dict__)
    code = 0
  except SystemExit as error:
    code = _exit_code(error)
  except BaseException as error:  # noqa: BLE001, the program's own
    trace = error.__traceback__ and error.__traceback__.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
  finally:
    _finish(code)


def _seed(seed: int) -> None:
  random.seed(seed)
  numpy = sys.modules.get('numpy')
  if numpy is not None:
    numpy.random.seed(seed % (1 << 32))
    # Where default_rng() and its like take their seed when given none.
    numpy.random.bit_generator.randbits = random.Random(seed).getrandbits


def _exit_code(error: SystemExit) -> int:
  if error.code is None:
    return 0
  if isinstance(error.code, int):
    return error.code & 0xFF
  print(error.code, file=sys.stderr)
  return 1


def _finish(code: int) -> NoReturn:
  """What the interpreter does at its end, without tearing it down."""
  try:
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
      stream.flush()
  finally:
    os._exit(code)
