"""Processes that synchronize the statistics of batch normalization train as one process with the whole batch."""

import pytest
import torch
from conftest import ROOT, others_exhaustive, run_tool, small_run
from synchronized_batch_norm import in_float64


@pytest.mark.slow
@pytest.mark.parametrize('synchronized', others_exhaustive([True, False], 1))
def test_two_processes_with_synchronized_statistics_equal_one(synchronized, fashion_mnist, tmp_path):
    """The student's and the connector's normalizations; the fast path of the connector must leave them to torch."""
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist)
    cfg.model.connector.implementation = 'fast'
    cfg.model.warmup_iters, cfg.model.distill_loss.loss_weight = 3, 0.1
    in_float64(cfg)
    cfg.train_dataloader.dataset.pipeline, cfg.train_dataloader.batch_size = [dict(type='PackInputs')], 32
    cfg.param_scheduler, cfg.optim_wrapper.optimizer.lr = None, 0.001
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.dump(tmp_path / 'config.py')

    def trained(name, *command, **environment):
        done = run_tool(
            *command, '--work-dir', tmp_path / name, cwd=tmp_path, PYTHONPATH=f'{ROOT}:{ROOT / "tests"}', **environment)
        state = torch.load(tmp_path / name / 'student' / 'student.pth', weights_only=True)['state_dict']
        return state, done.stdout + done.stderr

    tools, config = ROOT / 'tools', tmp_path / 'config.py'
    one, log = trained('one', tools / 'train.py', config, '--cfg-options', 'train_dataloader.batch_size=64')
    assert 'fine to coarse: fast' in log
    options = ['--cfg-options', 'sync_bn=torch'] if synchronized else []
    two, log = trained('two', tools / 'dist_train.sh', config, 2, *options, PORT='29541')
    distance = max((two[name].double() - one[name].double()).abs().max() for name in one)
    if synchronized:
        assert 'fine to coarse: plain' in log and 'fine to coarse: fast' not in log
        assert distance <= 1e-9
    else:
        assert distance > 1e-4  # each process with the statistics of its own batch
