"""Running programs that nobody trusts. Nothing here imports JAX."""

from ace_jax.sandbox.base import Sandbox, SandboxError, SandboxSpec
from ace_jax.sandbox.local import LocalSandbox
from ace_jax.sandbox.pool import Pool

__all__ = ['LocalSandbox', 'Pool', 'Sandbox', 'SandboxError', 'SandboxSpec']
