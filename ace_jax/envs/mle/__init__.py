"""Machine-learning tasks on disk, their leaderboards and their grader.

Importing this package loads neither JAX nor scikit-learn. The grader's
imports happen in its own process, `python -m ace_jax.envs.mle serve`.
"""
