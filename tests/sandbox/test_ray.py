"""Two nodes on one machine, one of which is lost."""

from __future__ import annotations

import pathlib
import shutil
import tempfile
import threading
import time

import pytest

from ace_jax import types
from ace_jax.sandbox import Pool, SandboxError, SandboxSpec
from ace_jax.types import Status

ray = pytest.importorskip('ray', reason='needs ray: sandboxes on a cluster')
cluster_utils = pytest.importorskip('ray.cluster_utils')

NODE = dict(backend='local')


def test_no_cluster_is_one_clear_line():  # before there is one
  from ace_jax.sandbox.ray import RaySandbox
  with pytest.raises(SandboxError, match='ray: .*refused'):
    RaySandbox(SandboxSpec(), address='127.0.0.1:1', node=NODE)


@pytest.fixture(scope='module')
def cluster():
  """A head without cores, and two nodes with two each, of which the last
  test takes one away.
  """
  made = cluster_utils.Cluster(initialize_head=True, head_node_args=dict(
      num_cpus=0, object_store_memory=100 << 20))
  nodes = [made.add_node(num_cpus=2, object_store_memory=100 << 20)
           for _ in range(2)]
  made.wait_for_nodes()
  ray.init(address=made.address, log_to_driver=False)
  yield made, nodes
  ray.shutdown()
  made.shutdown()


@pytest.fixture
def sandbox(cluster):
  from ace_jax.sandbox.ray import RaySandbox
  with RaySandbox(SandboxSpec(timeout_s=60), num_slots=3, node=NODE) as made:
    yield made


def test_runs_are_spread_and_have_their_data(sandbox, public_dir):
  program = 'print(open("data/train.csv").read())'
  execution = sandbox.run(types.Job('a', program, public_dir))
  assert execution.status == Status.OK and execution.stdout == 'id,x\n1,2\n\n'
  assert execution.backend == 'ray' and execution.level in ('L3', 'L2')
  assert '3 nodes' in sandbox.describe()
  used = ray.available_resources().get('CPU', 0)
  assert used == 1  # three slots are declared


def test_data_that_a_node_does_not_have_travel(sandbox, public_dir):
  from ace_jax.sandbox import ray as ray_sandbox
  job = types.Job('a', 'print(open("data/train.csv").read())', public_dir)
  data = sandbox._put(public_dir)
  slot = ray_sandbox._Slot(sandbox.spec, NODE)
  (public_dir / 'train.csv').unlink()
  public_dir.rmdir()
  for _ in range(2):
    assert slot.run(job, data).stdout == 'id,x\n1,2\n\n'


def test_unpacked_data_go_with_the_sandbox(cluster, public_dir):
  from ace_jax.sandbox import ray as ray_sandbox
  tmp = pathlib.Path(tempfile.gettempdir())
  unpacked = lambda: set(tmp.glob(f'{ray_sandbox._DATA}*'))  # noqa: E731
  (tmp / f'{ray_sandbox._DATA}{2**22 + 1}-killed').mkdir()  # no such process
  before = unpacked()
  with ray_sandbox.RaySandbox(SandboxSpec(), node=NODE) as made:
    assert len(before - unpacked()) == 1
    data = made._put(public_dir)
    job = types.Job('a', 'print(open("data/train.csv").read())', public_dir)
    shutil.rmtree(public_dir)
    ray.get(made._actors[0].run.remote(job, data))
    assert unpacked() - before
  assert not unpacked() - before


def test_a_run_can_be_cancelled(sandbox):
  ended = []
  job = types.Job('long', 'import time; time.sleep(50)', None)
  thread = threading.Thread(target=lambda: ended.append(sandbox.run(job)))
  thread.start()
  time.sleep(1)
  sandbox.cancel('long')
  thread.join(20)
  assert ended[0].status == Status.INFRA_ERROR
  assert sandbox.run(types.Job('b', 'print(1)', None)).stdout == '1\n'


def test_a_lost_node_loses_and_doubles_nothing(cluster, sandbox):
  made, nodes = cluster
  program = 'import time; time.sleep(.4); print(6 * 7)'
  with Pool(sandbox, num_slots=3) as pool:
    for i in range(24):
      pool.submit(types.Job(str(i), program, None))
    ended = [pool.take(120) for _ in range(6)]
    made.remove_node(nodes[0], allow_graceful=False)
    ended += [pool.take(180) for _ in range(18)]
    assert pool.num_pending == 0
    assert pool.num_infra_retries > 0
  assert sorted(int(job.key) for job, _ in ended) == list(range(24))
  assert {(e.status, e.stdout) for _, e in ended} == {(Status.OK, '42\n')}
