"""How glibc's malloc, on a CPU the home of every array, gets its memory.

A training step allocates and frees gigabytes. On small pages the kernel's
share of that was a fifth of an update of SmolLM2 on two cores: 28.8 s, and
22.8 s with huge pages. In a virtual machine it costs still more when memory
went back to the host in between: 29 to 36 s for the first update after a
round of sampling, 23 s if the process keeps what it has freed (medians and
ranges of 2 × 8 completions of 300 + 180 tokens, one machine).
"""

import glob
import os
import sys

_HUGE_PAGES = {'hugetlb': 1}  # transparent ones, by madvise
# One heap, never trimmed, nothing beside it. Holes make it up to half as
# large again, so only where there is plenty; and it is of no use to arrays
# that live on an accelerator.
_KEEP = {'arena_max': 1, 'mmap_max': 0, 'trim_threshold': 1 << 40}
_PLENTY = 20e9  # bytes


def restart_with_tuned_malloc() -> None:
  """Starts this process anew with malloc's tunables set, once; else returns.

  They are read when a process begins. Nothing is done where the user has set
  any; a kernel without huge pages, or another C library, ignores them.
  """
  given = os.environ.get('GLIBC_TUNABLES', '')
  if sys.platform != 'linux' or 'glibc.malloc.' in given:
    return
  options = _HUGE_PAGES | (_KEEP if _keeps() else {})
  tunables = [f'glibc.malloc.{name}={x}' for name, x in options.items()]
  os.environ['GLIBC_TUNABLES'] = ':'.join(filter(None, [given, *tunables]))
  os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _keeps() -> bool:
  total = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  accelerators = glob.glob('/dev/nvidia[0-9]*') + glob.glob('/dev/accel*')
  return total >= _PLENTY and not accelerators
