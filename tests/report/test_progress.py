"""Progress: plain lines without a terminal, a bar with one."""

import io

import rich.console

from ace_jax.report import progress as progress_lib


def run(monkeypatch, *, terminal):
  clock = iter(range(0, 1000, 10))
  monkeypatch.setattr(progress_lib.time, 'monotonic', lambda: next(clock))
  out = io.StringIO()
  console = rich.console.Console(
      file=out, force_terminal=terminal, width=120, color_system=None)
  with progress_lib.Progress(4, console=console) as progress:
    progress.phase('setup', 1)
    progress.phase('RL', start=1)
    progress.update(2, {'reward/mean': 0.5, 'exec/valid_rate': 0.75,
                        'sampler/tokens_per_s': 1234.5, 'loss/kl': 9})
    progress.note('[red]level L3[/red]\x1b[2J')
    progress.update(4, {'reward/mean': -1})
  return out.getvalue()


def test_plain_lines(monkeypatch):
  assert run(monkeypatch, terminal=False).splitlines() == [
      'setup',
      'RL  goes on from step 1',
      'RL  step 2/4  reward +0.500  valid 75%  tokens/s 1,234  0:20 left',
      r'[red]level L3[/red]\x1b[2J',
      'RL  step 4/4  reward -1.000  valid 75%  tokens/s 1,234',
  ]


def test_a_bar_on_a_terminal():
  out = io.StringIO()
  console = rich.console.Console(
      file=out, force_terminal=True, width=120, color_system=None)
  with progress_lib.Progress(4, console=console) as progress:
    progress.phase('RL')
    progress.update(2, {'reward/mean': 0.5})
    progress.note('a note\x1b]0;title\x07')
  text = out.getvalue()
  assert '2/4' in text and 'reward +0.500' in text and 'left' in text
  assert r'a note\x1b]0;title\x07' in text


def test_each_line_is_flushed():
  class File(io.StringIO):
    flushed = ''

    def flush(self):
      self.flushed = self.getvalue()

  file = File()
  progress = progress_lib.Progress(
      3, console=rich.console.Console(file=file, force_terminal=False))
  progress.phase('RL')
  progress.update(1, {'reward/mean': 0.5} | {
      key: 0.5 for key in progress_lib.SHOWN})
  assert file.flushed.count('\n') == 2  # a long line is not broken


def test_duration():
  assert progress_lib.duration(65.4) == '1:05'
  assert progress_lib.duration(3723) == '1:02:03'
