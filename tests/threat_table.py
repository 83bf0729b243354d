"""Threat × backend, from the results of tests that bear the mark `threat`.

  ACE_JAX_THREATS=docs/threats.md ./run.sh test -m threat

A test names its threat, one of THREATS; its backend is the parameter of the
fixture `sandbox`, if it has one. The text around the table is kept.
"""

from __future__ import annotations

import collections
import os
import pathlib

THREATS = (
    'escape: writes to /proc/sys and sysrq',
    'escape: the Docker socket, metadata addresses, abstract sockets',
    'escape: new namespaces, io_uring, vsock, keyctl, ptrace, bpf',
    'escape: setuid files, device nodes',
    'escape: inherited descriptors and environment',
    'escape: malicious artefacts opened by the host',
    'exhaustion: memory of one process, many, children only',
    'exhaustion: fork and thread bombs',
    'exhaustion: disk, inodes, /dev/shm, memfd',
    'exhaustion: endless output, endless line, invalid UTF-8',
    'exhaustion: output held open by a daemon',
    'exhaustion: ignoring SIGTERM, stopped trees, sleeping for ever',
    'exhaustion: thread oversubscription',
    'exhaustion: submissions that are huge, sparse, special, malformed',
    'tampering: printed scores and milestones',
    'tampering: patched clocks, early exits, shadowed modules',
    'tampering: editing the evaluator',
    'tampering: a model that computes its own loss or looks ahead',
    'tampering: work outside the budget',
    'tampering: submissions that point at other files',
    'tampering: late writes',
    'tampering: killing a guard to look like an infrastructure fault',
    'tampering: seed search, metric gaming',
    'tampering: a copy of the private answers',
    'leakage: private answers through mounts, names, order, times',
    'leakage: the data files of packages',
    'leakage: network',
    'leakage: state between runs',
    'leakage: one sample reading another',
    'interference: signalling or starving siblings or the executor',
    'interference: poisoning a warmed interpreter',
    'interference: GPU memory left behind',
    'host: executor killed',
    'host: Docker daemon stopped, hanging, answering 500',
    'host: disk full',
    'host: SIGTERM once and twice',
    'host: wall clock jumping',
    'host: a result delivered twice or late',
    'host: a lost child exit',
    'host: 200 programs that each fork a daemon (docker: 50)',
)
NO_TEST = {
    'tampering: a model that computes its own loss or looks ahead':
        'no environment here trains language models yet',
}
# All others are tried on each of BACKENDS.
NOT_ON_EACH = NO_TEST | {
    'tampering: seed search, metric gaming': 'graded after the sandbox',
    'tampering: a copy of the private answers': 'graded after the sandbox',
    'interference: GPU memory left behind': 'docker alone gives GPUs',
    'host: executor killed': 'each kills another process',
    'host: Docker daemon stopped, hanging, answering 500': 'docker alone',
    'host: disk full': 'each fills another disk',
    'host: SIGTERM once and twice': 'what a whole run hears',
    'host: wall clock jumping': 'the code of all reads no such clock',
    'host: a result delivered twice or late': "the pool's, above all of them",
}
BACKENDS = ('L3', 'L2', 'docker')
BEGIN, END = '<!-- table: from the tests -->', '<!-- end of the table -->'
ANY = 'any'


class Table:
  """What was seen: threat → backend → outcome → how often."""

  def __init__(self):
    self._seen = collections.defaultdict(
        lambda: collections.defaultdict(collections.Counter))

  def check(self, items) -> None:
    """Raises ValueError when a test names a threat that is none."""
    for item in items:
      for mark in item.iter_markers('threat'):
        if mark.args[0] not in THREATS:
          raise ValueError(f'{item.nodeid}: no threat {mark.args[0]!r}')

  def add(self, item, report) -> None:
    """A test's report, of any phase."""
    if report.when != 'call' and not (report.skipped or report.failed):
      return
    callspec = getattr(item, 'callspec', None)
    kind = callspec.params.get('sandbox', ANY) if callspec else ANY
    backend = next((b for b in BACKENDS if str(kind).startswith(b)), ANY)
    for mark in item.iter_markers('threat'):
      self._seen[mark.args[0]][backend][report.outcome] += 1

  def markdown(self) -> str:
    lines = ['| threat | ' + ' | '.join((*BACKENDS, 'on any')) + ' |',
             '|---|' + '---|' * (len(BACKENDS) + 1)]
    for threat in THREATS:
      seen = self._seen.get(threat, {})
      cells = [_cell(seen.get(b, {})) for b in (*BACKENDS, ANY)]
      cells[-1] = cells[-1] or NO_TEST.get(threat, '')
      lines.append(f'| {threat} | {" | ".join(cells)} |')
    return '\n'.join(lines)

  def write(self, path: pathlib.Path) -> None:
    """Puts the table where the last one was."""
    head, _, rest = path.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    path.write_text(f'{head}{BEGIN}\n{self.markdown()}\n{END}{tail}')


def _cell(outcomes: dict[str, int]) -> str:
  if not outcomes:
    return ''
  if outcomes.get('failed'):
    return f'**{outcomes["failed"]} failed**'
  if not outcomes.get('passed'):
    return 'not run'
  tests = 'test' if outcomes['passed'] == 1 else 'tests'
  skipped = outcomes.get('skipped')
  missing = f', {skipped} not run' if skipped else ''
  return f'{outcomes["passed"]} {tests} pass{missing}'


def finish(table: Table) -> None:
  """At the end of a session that was asked for the table."""
  if path := os.environ.get('ACE_JAX_THREATS'):
    table.write(pathlib.Path(path))
