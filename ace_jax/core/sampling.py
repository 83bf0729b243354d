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
    least_B1 = jax.lax.top_k(logits_BV, top_k)[0][:, -1:]
    logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
  if top_p < 1:
    sorted_BV = jnp.sort(logits_BV, axis=-1, descending=True)
    p_BV = jax.nn.softmax(sorted_BV, axis=-1)
    mass_before_BV = jnp.cumsum(p_BV, axis=-1) - p_BV
    kept_BV = jnp.where(mass_before_BV < top_p, sorted_BV, jnp.inf)
    least_B1 = jnp.min(kept_BV, axis=-1, keepdims=True)
    logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
  return logits_BV


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
    drawn_B = jax.vmap(jax.random.categorical)(rng, logits_BV)
  else:
    drawn_B = jax.random.categorical(rng, logits_BV)
  is_greedy = jnp.asarray(temperature) == 0
  token_B = jnp.where(is_greedy, jnp.argmax(logits_BV, axis=-1), drawn_B)
  chosen_B = jnp.take_along_axis(logits_BV, token_B[:, None], axis=-1)[:, 0]
  logp_B = chosen_B - jax.nn.logsumexp(logits_BV, axis=-1)
  return token_B.astype(jnp.int32), jnp.where(is_greedy, 0.0, logp_B)
