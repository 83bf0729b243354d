"""Dimension letters are read, compared and named when they disagree."""

import jax
import numpy as np
import pytest

from ace_jax.core.shapes import check_shapes


def test_returns_the_size_of_each_letter():
  sizes = check_shapes(
      logp_BT=np.zeros((2, 3)), old_logp_BT=np.zeros((2, 3)), adv_B=np.ones(2),
      none_BTV=None, scalar_=1.0,
  )
  assert sizes == {'B': 2, 'T': 3}


def test_names_both_arrays_and_both_sizes():
  with pytest.raises(ValueError, match='T is 3 in logp_BT but 4 in mask_BT'):
    check_shapes(
        logp_BT=np.zeros((2, 3)), adv_B=np.ones(2), mask_BT=np.ones((2, 4))
    )


def test_names_the_first_array_that_had_the_letter():
  with pytest.raises(ValueError, match='B is 2 in a_B but 5 in c_B'):
    check_shapes(a_B=np.ones(2), b_B=np.ones(2), c_B=np.ones(5))


def test_one_array_may_contradict_itself():
  with pytest.raises(ValueError, match='Q is 2 in same_QQ but 3 in same_QQ'):
    check_shapes(same_QQ=np.ones((2, 3)))


@pytest.mark.parametrize('shape', [(2,), (2, 3, 1)])
def test_rank_must_match_the_letters(shape):
  with pytest.raises(ValueError, match='mask_BT has shape .* 2 dimensions'):
    check_shapes(mask_BT=np.ones(shape))


def test_raises_while_tracing():
  fn = jax.jit(lambda a, b: check_shapes(a_BT=a, b_BT=b) and a)
  with pytest.raises(ValueError, match='b_BT'):
    fn(np.ones((2, 3)), np.ones((2, 4)))
