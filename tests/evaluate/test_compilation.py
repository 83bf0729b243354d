"""Compilation is seen, and counted once."""

import jax

from ace_jax.evaluate import compilation


def test_spans_within_spans_count_once():
  spans = [(3.0, 4.0), (0.0, 2.0), (0.5, 1.0), (3.5, 6.0)]
  assert compilation.covered(spans) == 5.0
  assert compilation.covered([]) == 0.0


def test_a_first_call_compiles_and_a_second_does_not():
  double = jax.jit(lambda x: x * 2 + 41)
  with compilation.CompileClock() as first:
    double(1.0)
  with compilation.CompileClock() as second:
    double(2.0)
  assert first.seconds() > 0 == second.seconds()
