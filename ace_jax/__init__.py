"""ace_jax: reinforcement learning of machine-learning engineers, in JAX."""

__version__ = '0.1.0'
