"""Two processes under DistributedDataParallel, each with half of every batch, train as one process does."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from plain import LAYERS, Small, batches, step

from mmreviewkd import distiller

# Batch normalization by running statistics, as batches are split; the second process starts from other weights.
SCRIPT = '''
import sys
import torch
import torch.distributed as dist
from plain import LAYERS, Small, batches, step
from mmreviewkd import distiller
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
torch.manual_seed(rank)
student = Small(4, seed=rank)
review = distiller(student, Small(8, seed=9), taps=LAYERS, warmup_iters=2)
parallel = torch.nn.parallel.DistributedDataParallel(review.eval())
optimizer = torch.optim.SGD(parallel.parameters(), lr=0.05, momentum=0.9)
if rank == 0:
    torch.save(review.state_dict(), f'{folder}/start.pth')
for i, (images, labels) in enumerate(batches(3)):
    review.iterations.fill_(i)
    step(parallel, optimizer, images.chunk(2)[rank], labels.chunk(2)[rank])
torch.save(review.state_dict(), f'{folder}/end{rank}.pth')
dist.destroy_process_group()
'''


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    environment = {**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{ROOT / "tests"}', 'OMP_NUM_THREADS': '1'}
    processes = [subprocess.Popen(
        [sys.executable, '-c', SCRIPT, str(rank), str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)]
    errors = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    ends = [torch.load(tmp_path / f'end{rank}.pth', weights_only=True) for rank in range(2)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())

    start = torch.load(tmp_path / 'start.pth', weights_only=True)
    alone = distiller(Small(4), Small(8, seed=9), taps=LAYERS, warmup_iters=2).eval()
    alone.load_state_dict(start)
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.05, momentum=0.9)
    for i, batch in enumerate(batches(3)):
        alone.iterations.fill_(i)
        step(alone, optimizer, *batch)
    for name, value in alone.state_dict().items():
        moved = float((value - start[name]).abs().max())
        torch.testing.assert_close(ends[0][name], value, rtol=1e-4, atol=1e-3 * moved + 1e-7, msg=name)
    assert any('connector' in name and not torch.equal(value, start[name]) for name, value in ends[0].items())
