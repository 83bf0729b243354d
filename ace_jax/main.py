"""Entry point: parses flags and dispatches.

  python -m ace_jax.main --config=configs/quickstart.py --workdir=DIR
      [--mode=train|evaluate|report|export|solve] [--config.key=value …]
"""

import os
import pathlib
import signal
import sqlite3
import sys
import threading

from absl import app, flags, logging
from ml_collections import config_flags

from ace_jax.malloc import restart_with_tuned_malloc

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'The experiment, a file of configs/.', lock_config=True
)
_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Where the run keeps everything; the same one resumes.'
)
_MODE = flags.DEFINE_enum(
    'mode',
    'train',
    ['train', 'evaluate', 'report', 'export', 'solve'],
    'train (or go on training); evaluate the policy on held-out tasks, beside '
    'the one it started from; write the report again; export the policy as a '
    'Hugging Face directory; solve one task with it.',
)
_OUT = flags.DEFINE_string('out', None, 'export, solve: the output directory.')
_TASK = flags.DEFINE_string('task', None, 'solve: the task, name or directory.')
_NUM_SAMPLES = flags.DEFINE_integer('num_samples', 16, 'solve: attempts.')
_DEBUG = flags.DEFINE_bool('debug', False, 'Show the traceback of an error.')


def main(_) -> None:
  logging.set_verbosity(logging.WARNING)
  os.environ.setdefault('TRANSFORMERS_NO_ADVISORY_WARNINGS', '1')
  _listen_for_sigterm()
  if not _DEBUG.value:
    # What fails in a thread, a library's too, is raised in the loop as well.
    threading.excepthook = _tell
    logging.get_absl_logger().addFilter(lambda record: not record.exc_info)
  # Here, so that a mistyped flag is answered before JAX has loaded.
  from ace_jax import modes

  workdir = pathlib.Path(_WORKDIR.value).expanduser().absolute()
  try:
    modes.MODES[_MODE.value](
        _CONFIG.value,
        workdir,
        out=_OUT.value and pathlib.Path(_OUT.value).absolute(),
        task=_TASK.value,
        num_samples=_NUM_SAMPLES.value,
    )
  except (ValueError, OSError, sqlite3.Error) as error:
    if _DEBUG.value:
      raise
    _fail(error)
  except KeyboardInterrupt:
    sys.exit(130)


def _listen_for_sigterm() -> None:
  """Once: the run is unwound, nothing of it is left behind. Twice: at once.

  Python's handler waits for whatever XLA is computing; the thread does not.
  """
  read, write = os.pipe2(os.O_CLOEXEC)
  os.set_blocking(write, False)

  def unwind(*_) -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)  # that one is the thread's
    print('ace_jax: stopped; the same command goes on', file=sys.stderr)
    sys.exit(128 + signal.SIGTERM)

  def watch() -> None:
    seen = 0
    while seen < 2:
      seen += os.read(read, 1)[0] == signal.SIGTERM
    os._exit(128 + signal.SIGTERM)

  signal.signal(signal.SIGTERM, unwind)
  signal.set_wakeup_fd(write, warn_on_full_buffer=False)
  threading.Thread(target=watch, name='sigterm', daemon=True).start()


def _tell(error: threading.ExceptHookArgs) -> None:
  """One line for what ended a thread."""
  logging.warning('thread %s: %r', error.thread and error.thread.name,
                  error.exc_value)


def _parse(argv: list[str]) -> list[str]:
  """absl's parser, with one clear line for whatever is wrong."""
  try:
    for arg in argv:
      path = arg.removeprefix('--config=').split(':')[0]
      if path != arg and not pathlib.Path(path).is_file():
        raise ValueError(f'there is no config file {path}')
    rest = flags.FLAGS(argv)
    for flag in (_CONFIG, _WORKDIR):
      if not flag.value:
        raise ValueError(f'--{flag.name} is missing; see --help')
    if len(rest) > 1:
      raise ValueError(f'unknown argument {rest[1]!r}; flags start with --')
    return rest
  except (
      flags.Error, ValueError, KeyError, AttributeError, TypeError, OSError
  ) as error:
    _fail(error)


def _fail(error: BaseException) -> None:
  # One error may carry another, and a KeyError quotes what was said.
  while error.args and isinstance(error.args[0], BaseException):
    error = error.args[0]
  said = error
  if isinstance(error, KeyError):
    said = f'unknown key {error.args[0]}'.replace('\n', '; ')
  text = ' '.join(str(said).split())
  print(f'ace_jax: error: {text}', file=sys.stderr)
  # Threads of a half-built run must not keep a failed command alive.
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(2)


def cli() -> None:
  app.run(main, flags_parser=_parse)


if __name__ == '__main__':
  restart_with_tuned_malloc()
  cli()
