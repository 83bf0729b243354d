"""Temperature, top-k, top-p, and the log-prob of what was really drawn."""

import jax
import jax.numpy as jnp

from ace_jax.core.shapes import check_shapes


def transform_logits(
    logits_BV: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> jax.Array:
  """Logits of the distribution to draw from: temperature, top-k, then top-p.

  Args:
    logits_BV: any float.
    temperature: [] or [B], may be traced; 0 (greedy) leaves the logits as
      they are.
    top_k: keep the k most likely, 0: all. Equals of the k-th stay too.
    top_p: keep the fewest most likely whose mass is at least this, 1: all.
      Equals of the last one stay too.

  Returns:
    [B, V] float32, -inf where nothing may be drawn; not normalised.
  """
  if top_k < 0:
    raise ValueError(f'top_k must be at least 0, not {top_k}')
  if not 0 < top_p <= 1:
    raise ValueError(f'top_p must be in (0, 1], not {top_p}')
  V = check_shapes(logits_BV=logits_BV)['V']
  temperature = jnp.asarray(temperature, jnp.float32)[..., None]
  logits_BV = logits_BV.astype(jnp.float32)
  logits_BV = logits_BV / jnp.where(temperature == 0, 1, temperature)
  if 0 < top_k < V:
    top_BK = jax.lax.optimization_barrier(jax.lax.top_k(logits_BV, top_k)[0])
    logits_BV = jnp.where(logits_BV < top_BK[:, -1:], -jnp.inf, logits_BV)
  if top_p < 1:
    p_BV = jax.nn.softmax(logits_BV, axis=1)
    least_B1 = _least_kept(p_BV, top_p)
    logits_BV = jnp.where(p_BV < least_B1, -jnp.inf, logits_BV)
  return logits_BV


def _least_kept(p_BV: jax.Array, top_p: float) -> jax.Array:
  """[B, 1], the greatest t for which all p ≥ t have a mass of top_p.

  Bisected, because sorting a vocabulary takes longer than decoding a token.
  """

  def bisect(_, bounds):
    low_B1, high_B1 = bounds
    middle_B1 = (low_B1 + high_B1) / 2
    kept_BV = jnp.where(p_BV >= middle_B1, p_BV, 0)
    is_enough_B1 = jnp.sum(kept_BV, axis=1, keepdims=True) >= top_p
    return (
        jnp.where(is_enough_B1, middle_B1, low_B1),
        jnp.where(is_enough_B1, high_B1, middle_B1),
    )

  high_B1 = jnp.max(p_BV, axis=1, keepdims=True)
  bounds = jnp.zeros_like(high_B1), high_B1
  return jax.lax.fori_loop(0, 32, bisect, bounds)[0]


def _argmax(x_BV: jax.Array) -> jax.Array:
  """The first of the greatest; on a CPU many times faster than jnp.argmax.

  The last for a row with NaN, which is no token out of range either.
  """
  V = x_BV.shape[1]
  is_top_BV = x_BV == jnp.max(x_BV, axis=1, keepdims=True)
  return jnp.min(jnp.where(is_top_BV, jnp.arange(V), V - 1), axis=1)


def sample(
    logits_BV: jax.Array,
    rng: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> tuple[jax.Array, jax.Array]:
  """Draws one token per row.

  Args:
    logits_BV: any float.
    rng: one key, or [B] keys: with a key of its own, a row's draw does not
      depend on the rows beside it.
    temperature: [] or [B], may be traced; 0: the most likely token.
    top_k: see `transform_logits`.
    top_p: see `transform_logits`.

  Returns:
    token_B int32, and logp_B float32 under the distribution drawn from:
    truncated and renormalised, 0 for a greedy choice.
  """
  logits_BV = transform_logits(
      logits_BV, temperature=temperature, top_k=top_k, top_p=top_p
  )
  is_typed = jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
  if rng.ndim > (0 if is_typed else 1):
    noise_BV = jax.vmap(lambda key, row_V: jax.random.gumbel(key, row_V.shape))(
        rng, logits_BV
    )
  else:
    noise_BV = jax.random.gumbel(rng, logits_BV.shape)
  is_greedy = jnp.asarray(temperature) == 0
  # The greatest of logits + Gumbel noise is a draw from their softmax.
  noise_BV = jnp.where(is_greedy[..., None], 0, noise_BV)
  token_B = _argmax(logits_BV + noise_BV)
  chosen_B1 = jnp.take_along_axis(logits_BV, token_B[:, None], axis=1)
  logp_B = chosen_B1.squeeze(1) - jax.nn.logsumexp(logits_BV, axis=1)
  return token_B.astype(jnp.int32), jnp.where(is_greedy, 0.0, logp_B)
