"""The report: whole or of an unfinished run, and safe whatever it shows."""

import dataclasses
import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import zlib

import numpy as np
import pytest

from ace_jax import types
from ace_jax.buffer import ledger as ledger_lib
from ace_jax.report import html as report
from ace_jax.report import metrics, source, table

ATTACK = ('</code></pre></details><script>document.title = "pwned"</script>'
          '<img src=x onerror="document.title=1"><style>*{display:none}</style>'
          '\x1b[31m\u202e{{ 7 * 7 }}&lt;')


def make_attempt(key, task, *, status='ok', human_rank=None, program=ATTACK):
  problem = types.Problem(task)
  segment = types.Segment(np.arange(3, dtype=np.int32), np.zeros(3, 'f4'))
  execution = None if status is None else types.Execution(
      types.Status(status), 1.0, 0.5, 10.0, 0, ATTACK, ATTACK, {}, 'local',
      'L3', limit=ATTACK, error=ATTACK)
  grade = types.Grade(False, error=ATTACK) if human_rank is None else (
      types.Grade(True, 0.5, human_rank=human_rank))
  return types.Attempt(
      key, problem, types.Prompt(problem, np.arange(2, dtype=np.int32)),
      types.Completion((segment,), 0, True), program, execution, 3, grade,
      human_rank or -1.0)


@pytest.fixture(name='workdir')
def make_workdir(tmp_path):
  """A finished run in which everything that can be hostile is."""
  (tmp_path / 'config.json').write_text(json.dumps({
      'name': ATTACK, 'num_steps': 3, 'model': {'source': ATTACK},
      'report': {'num_programs': 5}, ATTACK: {'lr': 1e-5}}))
  (tmp_path / 'versions.json').write_text(json.dumps({'jax': ATTACK}))
  tasks = [types.Task(name, pathlib.Path(), split, 'binary', ATTACK, True, '',
                      'y', 'id', {})
           for name, split in (('wine', 'held_out'), (ATTACK, 'train'))]
  with ledger_lib.Ledger(
      tmp_path / 'attempts.sqlite', decode=lambda tokens: ATTACK) as ledger:
    for phase, rank in (('before', None), ('after', 0.5)):
      ledger.insert(0, phase, [
          make_attempt(f'{phase}/{t.name}/{i}', t.name, human_rank=rank)
          for t in tasks for i in range(2)])
    for step in range(3):
      ledger.insert(step, 'train', [
          make_attempt(f'{step}/{i}', ATTACK, status=status)
          for i, status in enumerate(('ok', 'error', None))])
    ledger.insert(3, 'after', [make_attempt(
        ATTACK, 'wine', status=None, program=None)])
    table.write(tmp_path, table.comparison(ledger.attempts(), tasks))
  with metrics.MetricsWriter(tmp_path, tensorboard=False) as writer:
    writer.write(0, {'imitation/loss': 1.0}, phase='imitation')
    for step in range(3):
      writer.write(step, {
          'reward/mean': step / 10, 'reward/std': 0.1,
          'exec/valid_rate': 0.5, 'time/step_s': 60.0, f'x/{ATTACK}': 1.0})
  return tmp_path


class Page(html.parser.HTMLParser):
  """What a reader of the page gets: elements and text."""

  VOID = ('meta', 'col', 'path', 'rect', 'line', 'circle', 'br')

  def __init__(self, text):
    super().__init__()
    self.tags, self.attributes, self.open, self.text = [], [], [], []
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += [(tag, *attr) for attr in attrs]
    if tag not in self.VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    if tag not in self.VOID:
      assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open[-1:] != ['style']:
      self.text.append(data)


def read(workdir):
  return Page(report.write_report(workdir).read_text(encoding='utf-8'))


@pytest.mark.threat('escape: malicious artefacts opened by the host')
def test_a_hostile_run_stays_text(workdir):
  page = read(workdir)
  assert page.open == []
  assert not {'script', 'img', 'iframe', 'object', 'link'} & set(page.tags)
  assert page.tags.count('style') == 1
  for tag, name, value in page.attributes:
    assert not name.startswith('on') and name not in ('src', 'style'), tag
    if name == 'href':
      assert value.startswith('#')
  text = ''.join(page.text)
  assert 'document.title = "pwned"' in text and '{{ 7 * 7 }}' in text
  whole = text + ''.join(str(v) for _, _, v in page.attributes)
  assert '\x1b' not in whole and '\u202e' not in whole
  assert '␛[31m' in text
  assert '⟨U+202E⟩' in text


def test_the_policy_allows_the_one_style_sheet_and_nothing_else(workdir):
  text = report.write_report(workdir).read_text(encoding='utf-8')
  policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
  digest = report.base64.b64encode(report.hashlib.sha256(
      re.search('<style>(.*?)</style>', text, re.S)[1].encode()).digest())
  assert policy == (
      f"default-src 'none'; style-src 'sha256-{digest.decode()}';"
      " base-uri 'none'; form-action 'none'")


def test_what_a_run_was_is_on_the_page(workdir):
  text = re.sub(r'\s+', ' ', ''.join(read(workdir).text))
  for want in (
      'finished', 'RL steps3', 'RL time3.0 min', 'Held-out tasks', 'wine',
      'Training tasks', 'share of samples',
      'policy version 0', '3 of 6 milestones', 'jax',
      '+0.500', 'step 1: 0.1', '1e-05'):
    assert want in text, want
  assert 'Not in this report' not in text


def test_tables_have_captions_and_headers(workdir):
  page = read(workdir)
  tables = page.tags.count('table')
  assert tables == page.tags.count('caption') >= 5
  labels = [v for t, n, v in page.attributes if (t, n) == ('svg', 'aria-label')]
  charts = [v for t, n, v in page.attributes if (t, n, v) == (
      'svg', 'role', 'img')]
  assert len(labels) == len(charts) >= 6
  scopes = {v for t, n, v in page.attributes if (t, n) == ('th', 'scope')}
  assert scopes == {'row', 'col', 'colgroup'}


def test_an_empty_workdir_says_what_is_missing(tmp_path):
  text = ''.join(read(tmp_path).text)
  for name in ('config.json', 'versions.json', 'metrics.jsonl',
               'results.json', 'attempts.sqlite'):
    assert f'{name}: not there yet' in text
  assert tmp_path.name in text and 'unfinished: no step yet' in text
  assert [p.name for p in tmp_path.iterdir()] == ['report.html']
  with pytest.raises(FileNotFoundError, match='nowhere'):
    report.write_report(tmp_path / 'nowhere')


def test_unreadable_files_are_named_and_the_rest_is_shown(workdir):
  (workdir / 'config.json').write_text('{"name": ')
  (workdir / 'results.json').write_text('[]')
  (workdir / 'attempts.sqlite').write_bytes(b'no database' * 99)
  text = ''.join(read(workdir).text)
  for name in ('config.json', 'results.json', 'attempts.sqlite'):
    assert f'{name}: cannot be read' in text
  assert 'unfinished: 3 RL steps' in text
  assert 'step 1: 0.1' in text


def test_a_run_that_is_going_on(workdir):
  """The writer is open, the evaluation after RL has not been."""
  with ledger_lib.Ledger(workdir / 'attempts.sqlite') as ledger:
    ledger.insert(3, 'train', [make_attempt('3/0', 'wine')])
    rows = [row for row in ledger.attempts() if row['phase'] != 'after']
    tasks = [types.Task(name, pathlib.Path(), 'train', '', 'auc', False, '',
                        '', '', {}) for name in ('wine', ATTACK)]
    table.write(workdir, table.comparison(rows, tasks))
    text = ''.join(read(workdir).text)
  assert 'unfinished: 3 RL steps of 3' in text
  assert 'after RL: not there yet' in text


def test_samples_are_the_best_of_each_task_and_each_failure():
  def row(key, task, rank, status='ok', phase='after'):
    return {'key': key, 'phase': phase, 'task': task, 'status': status,
            'valid': rank is not None, 'human_rank': rank or 0.0,
            'program_hash': None if status is None else key}

  rows = [row('a1', 'a', 0.1), row('a2', 'a', 0.9), row('b1', 'b', 0.5),
          row('e1', 'a', None, 'error'), row('e2', 'b', None, 'error'),
          row('n', 'b', None, None), row('t', 'b', 1.0, phase='train')]

  def keys(count):
    return [r['key'] for r in report.choose(rows, count)]

  assert keys(6) == ['a2', 'b1', 'e1', 'n', 'a1', 'e2']
  assert keys(3) == ['a2', 'b1', 'e1']
  assert keys(1) == ['a2']
  assert keys(0) == []
  assert report.choose([], 3) == []
  copies = [row('x', 'a', 0.5) | {'key': k} for k in 'xyz']
  assert len(report.choose(copies, 3)) == 1


def test_source_is_escaped_and_keeps_every_character():
  program = '\n\nx = "<b>" # é\n\tif a < b & c: pass\n' + ATTACK
  shown = Page(source.highlight(program))
  assert ''.join(shown.text) == source.visible(program)
  assert set(shown.tags) == {'span'}
  long = 'x<1\n' * source.MAX_HIGHLIGHTED
  assert source.highlight(long) == long.replace('<', '&lt;')
  assert source.visible('a\r\nb\rc\0') == 'a\nb␍c␀'


# --- In a browser -----------------------------------------------------------


@dataclasses.dataclass
class Browser:
  profile: pathlib.Path

  def run(self, page, *flags):
    """→ (DOM after load, messages on the console)."""
    command = [
        shutil.which('chromium'), '--headless', '--no-sandbox',
        '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update',
        '--disable-sync', '--disable-dev-shm-usage', '--hide-scrollbars',
        f'--user-data-dir={self.profile}', '--enable-logging=stderr', *flags,
        page.as_uri()]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True)
    try:
      out, err = child.communicate(timeout=120)
    finally:
      try:
        os.killpg(child.pid, signal.SIGKILL)
      except ProcessLookupError:
        pass
    assert child.returncode == 0, err
    return out, [line for line in err.splitlines() if 'CONSOLE' in line]


@pytest.fixture(name='browser')
def make_browser(require, tmp_path_factory):
  require('chromium', shutil.which('chromium'), 'opens the report')
  return Browser(tmp_path_factory.mktemp('profile'))


def test_a_browser_shows_it_without_errors_and_runs_nothing(browser, workdir):
  page = report.write_report(workdir)
  dom, console = browser.run(page, '--dump-dom')
  assert console == []
  title = re.search('<title>(.*?)</title>', dom, re.S)[1]
  assert 'run report' in title and not title.startswith(('pwned', '1'))
  assert '<script' not in dom and '<img' not in dom
  assert dom.count('<svg') > 6

  # The same eyes do see a script that runs, and one that the policy stops.
  bad = workdir / 'bad.html'
  bad.write_text('<title>a</title><script>document.title = "pwned"</script>')
  assert '<title>pwned' in browser.run(bad, '--dump-dom')[0]
  text = page.read_text(encoding='utf-8')
  bad.write_text(text.replace('</body>', '<script>document.title = 1</script>'),
                 encoding='utf-8')
  dom, console = browser.run(bad, '--dump-dom')
  assert console and '<title>1<' not in dom


@pytest.mark.parametrize('width', [1200, 500])
def test_a_browser_draws_it(browser, workdir, width):
  picture = workdir / 'picture.png'
  page = report.write_report(workdir)
  browser.run(page, f'--screenshot={picture}', f'--window-size={width},1400')
  blank = workdir / 'blank.html'
  blank.write_text('')
  assert len(_rows(picture.read_bytes())) > 300
  browser.run(blank, f'--screenshot={picture}', f'--window-size={width},1400')
  assert len(_rows(picture.read_bytes())) < 5


def _rows(png):
  """The distinct lines of an 8-bit PNG, as they are filtered."""
  width, height, bits, color = struct.unpack('>IIBB', png[16:26])
  data, at = b'', 8
  while at < len(png):
    size, kind = struct.unpack('>I4s', png[at:at + 8])
    data += png[at + 8:at + 8 + size] if kind == b'IDAT' else b''
    at += 12 + size
  raw = zlib.decompress(data)
  line = 1 + width * bits // 8 * {2: 3, 6: 4}[color]
  assert len(raw) == line * height
  return {raw[i:i + line] for i in range(0, len(raw), line)}
