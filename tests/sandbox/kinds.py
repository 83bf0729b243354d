"""The kinds of sandbox that the one suite runs against."""

from __future__ import annotations

from ace_jax.sandbox import LocalSandbox, Sandbox, SandboxSpec

# A slow machine needs most of a second to fill the memory limit.
SPEC = SandboxSpec(timeout_s=5.0, cpu_limit_s=1.5, memory_mb=300, disk_mb=16,
                   output_kb=64, max_processes=16)
KINDS = {
    'L3': dict(force_level='L3'),
    'L3-watched': dict(force_level='L3', use_cgroups=False),
    'L2-watched': dict(force_level='L2', use_cgroups=False),
    'docker': None,
}


def make(kind: str, spec: SandboxSpec = SPEC, num_slots: int = 2) -> Sandbox:
  """A sandbox of a kind; SandboxError where this machine has none."""
  if kind == 'docker':
    from ace_jax.sandbox.docker import DockerSandbox
    return DockerSandbox(spec, num_slots=num_slots)
  return LocalSandbox(spec, num_slots=num_slots, **KINDS[kind])
