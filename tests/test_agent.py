"""What XLA compiles is there for the next process."""

import os
import subprocess
import sys

import pytest

COMPILES = """
import jax
from ace_jax import agent
agent.keep_compiled()
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
jax.jit(lambda x: jax.lax.sort(x @ x))(jax.numpy.ones((64, 64)))
print(events.count('/jax/compilation_cache/cache_hits'))
"""
CHOICES = ('ACE_JAX_CACHE', 'JAX_COMPILATION_CACHE_DIR')


@pytest.mark.parametrize('chosen', CHOICES)
def test_a_second_process_finds_what_the_first_compiled(tmp_path, chosen):
  env = {k: v for k, v in os.environ.items() if k not in CHOICES}
  hits = [
      int(subprocess.run(
          [sys.executable, '-c', COMPILES], check=True, text=True, timeout=120,
          env={**env, chosen: str(tmp_path)}, capture_output=True,
      ).stdout)
      for _ in range(2)
  ]
  assert hits[0] == 0 and hits[1] > 0
  assert any(tmp_path.rglob('jit_*'))
