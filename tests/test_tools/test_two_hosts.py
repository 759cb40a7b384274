"""Two hosts, as two network namespaces: they train, lose a worker or a host, resume, and equal one process.

Takes minutes and the rights of root, so it runs only where TWO_HOSTS=1 is set.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, small_run
from mmengine.config import Config
from synchronized_batch_norm import in_float64

pytestmark = pytest.mark.skipif(
    os.environ.get('TWO_HOSTS') != '1' or os.geteuid() != 0, reason='set TWO_HOSTS=1, as root')

# Batch normalization by running statistics, as batches are split between the hosts; slow enough to be killed.
HOOK = '''
import time
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.nn import BatchNorm2d

@HOOKS.register_module()
class FixedStatisticsHook(Hook):
    def before_train_iter(self, runner, *args, **kwargs):
        time.sleep(0.2)
        for module in runner.model.modules():
            if isinstance(module, BatchNorm2d):
                module.eval()
'''
HOSTS = ('mmreview0', 'mmreview1')
ADDRESSES = ('10.231.7.1', '10.231.7.2')


def ip(*arguments, check=True):
    subprocess.run(['ip', *arguments], check=check, capture_output=True)


@pytest.fixture(scope='module')
def network():
    """Two namespaces that see each other and nothing else."""
    with contextlib.ExitStack() as stack:
        for host in HOSTS:
            ip('netns', 'add', host)
            stack.callback(ip, 'netns', 'del', host)
        ip('link', 'add', 'veth0', 'netns', HOSTS[0], 'type', 'veth', 'peer', 'name', 'veth0', 'netns', HOSTS[1])
        for host, address in zip(HOSTS, ADDRESSES):
            ip('-n', host, 'addr', 'add', f'{address}/24', 'dev', 'veth0')
            for device in ('lo', 'veth0'):
                ip('-n', host, 'link', 'set', device, 'up')
        yield


@pytest.fixture(scope='module')
def config(tmp_path_factory, fashion_mnist):
    folder = tmp_path_factory.mktemp('config')
    (folder / 'fixed_statistics.py').write_text(HOOK)
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist)
    cfg.model.warmup_iters, cfg.model.distill_loss.loss_weight = 8, 0.1
    cfg.custom_imports = dict(imports=['fixed_statistics'])
    cfg.custom_hooks.append(dict(type='FixedStatisticsHook'))
    cfg.train_dataloader.dataset.pipeline = [dict(type='PackInputs')]
    cfg.train_dataloader.batch_size = 32
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=2)
    cfg.param_scheduler, cfg.optim_wrapper.optimizer.lr = None, 0.001
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.dump(folder / 'config.py')
    return folder / 'config.py'


@pytest.fixture(scope='module')
def synchronized_config(config):
    """Batch normalization by the statistics of both hosts."""
    cfg = Config.fromfile(config, import_custom_modules=False)
    cfg.custom_hooks.pop()
    in_float64(cfg)
    cfg.sync_bn = 'torch'
    cfg.dump(config.parent / 'synchronized.py')
    return config.parent / 'synchronized.py'


def environment(config, **more):
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ['PATH']])
    python_path = os.pathsep.join([str(ROOT), str(ROOT / 'tests'), str(config.parent)])
    kept = {key: value for key, value in os.environ.items() if key != 'GLOO_SOCKET_IFNAME'}
    return {**kept, 'PATH': path, 'PYTHONPATH': python_path, 'OMP_NUM_THREADS': '1', **more}


def start(config, work_dir, *options):
    """The same run on both hosts."""
    work_dir.mkdir(exist_ok=True)
    processes = []
    for rank, host in enumerate(HOSTS):
        with open(work_dir / f'{host}.log', 'a') as log:
            processes.append(subprocess.Popen(
                ['ip', 'netns', 'exec', host, 'bash', str(ROOT / 'tools' / 'dist_train.sh'), str(config), '1',
                 '--work-dir', str(work_dir), *options],
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env=environment(config, NNODES='2', NODE_RANK=str(rank), MASTER_ADDR=ADDRESSES[0], PORT='29531')))
    return processes


def wait_for_checkpoint(work_dir, processes):
    deadline = time.monotonic() + 900
    while not (work_dir / 'last_checkpoint').exists():
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes), 'no checkpoint'
        time.sleep(0.05)


def seconds_to_end(processes):
    begin = time.monotonic()
    for process in processes:
        process.wait(timeout=900)
    return time.monotonic() - begin


def workers(agent):
    """The training processes, which torchrun starts in sessions of their own."""
    found = subprocess.run(['pgrep', '-P', str(agent.pid)], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def student(work_dir):
    return torch.load(work_dir / 'student' / 'student.pth', weights_only=True)['state_dict']


def assert_near(one, other):
    assert max((one[name].double() - other[name].double()).abs().max() for name in one) <= 1e-6


def trained_by_one_process(config, work_dir):
    """What one process trains with batches as large as those of both hosts."""
    subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'train.py'), str(config), '--work-dir', str(work_dir), '--cfg-options',
         'train_dataloader.batch_size=64'], check=True, capture_output=True, env=environment(config))
    return student(work_dir)


@pytest.fixture(scope='module')
def whole(config, tmp_path_factory):
    return trained_by_one_process(config, tmp_path_factory.mktemp('whole'))


def test_two_hosts_with_synchronized_statistics_equal_one_process(network, synchronized_config, tmp_path):
    seconds_to_end(start(synchronized_config, tmp_path / 'two'))
    assert_near(student(tmp_path / 'two'), trained_by_one_process(synchronized_config, tmp_path / 'one'))


def test_two_hosts_equal_one_process(network, config, whole, tmp_path):
    processes = start(config, tmp_path)
    seconds_to_end(processes)
    assert [process.returncode for process in processes] == [0, 0], (tmp_path / f'{HOSTS[0]}.log').read_text()[-3000:]
    assert_near(student(tmp_path), whole)


@pytest.mark.parametrize('which', [0, 1])
def test_a_worker_dies(network, config, whole, tmp_path, which):
    processes = start(config, tmp_path)
    wait_for_checkpoint(tmp_path, processes)
    os.kill(workers(processes[which])[0], signal.SIGKILL)
    assert seconds_to_end(processes) < 60
    assert all(process.returncode for process in processes)
    seconds_to_end(start(config, tmp_path, '--resume'))
    assert_near(student(tmp_path), whole)


@pytest.mark.parametrize('which', [0, 1])
def test_a_host_dies(network, config, whole, tmp_path, which):
    processes = start(config, tmp_path)
    wait_for_checkpoint(tmp_path, processes)
    ip('-n', HOSTS[which], 'link', 'set', 'veth0', 'down')  # no connection is closed
    for pid in [processes[which].pid, *workers(processes[which])]:
        os.kill(pid, signal.SIGKILL)
    try:
        assert seconds_to_end([processes[1 - which]]) < 60
    finally:
        if processes[1 - which].poll() is None:
            for pid in [processes[1 - which].pid, *workers(processes[1 - which])]:
                os.kill(pid, signal.SIGKILL)
        ip('-n', HOSTS[which], 'link', 'set', 'veth0', 'up')
    assert processes[1 - which].returncode
    seconds_to_end(start(config, tmp_path, '--resume'))
    assert_near(student(tmp_path), whole)
