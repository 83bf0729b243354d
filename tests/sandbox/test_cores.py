"""Leases of cores."""

from ace_jax.sandbox.cores import Cores

MANY = range(1000, 1008)  # no machine's own, so that nobody else has them


def test_slots_have_cores_of_their_own_from_the_last_down():
  cores = Cores(3, 2, available=MANY)
  assert cores.pinned and cores.threads == 2
  assert [cores.of(i) for i in range(3)] == [
      {1007, 1006}, {1005, 1004}, {1003, 1002}]
  cores.close()


def test_the_trainers_cores_are_kept_out():
  cores = Cores(2, 1, reserved=6, available=MANY)
  assert cores.pinned and cores.of(0) | cores.of(1) == {1006, 1007}
  cores.close()
  cores = Cores(3, 1, reserved=6, available=MANY)
  assert not cores.pinned and cores.of(2) == {1006, 1007}
  cores = Cores(1, 1, reserved=99, available=MANY)
  assert cores.pinned and cores.of(0) == {1007}
  cores.close()


def test_too_few_are_shared_and_not_held():
  shared = Cores(3, 3, available=MANY)
  assert not shared.pinned and shared.threads == 1
  assert shared.of(0) == shared.of(2) == set(MANY)
  other = Cores(8, 1, available=MANY)
  assert other.pinned
  other.close()


def test_two_sandboxes_never_have_the_same():
  one, two = Cores(3, 1, available=MANY), Cores(5, 1, available=MANY)
  three = Cores(1, 1, available=MANY)
  held = [c.of(i) for c, n in ((one, 3), (two, 5)) for i in range(n)]
  assert one.pinned and two.pinned and not three.pinned
  assert len(frozenset().union(*held)) == 8
  one.close()
  again = Cores(3, 1, available=MANY)
  assert again.pinned and again.of(0) == one.of(0)
  again.close(), two.close()
