"""What the hook writes at the end of a run."""

import torch
from conftest import small_run
from mmengine.runner import Runner


def test_averaged_weights_are_exported(fashion_mnist, tmp_path):
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist)
    cfg.work_dir = str(tmp_path)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=5)
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    cfg.experiment_name = 'ema_export'
    runner = Runner.from_cfg(cfg)
    runner.train()
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    exported = torch.load(tmp_path / 'student' / 'student.pth', weights_only=True)['state_dict']
    raw = runner.model.student.state_dict()
    assert any(not torch.equal(exported[name], raw[name]) for name in exported)
    for name, value in exported.items():
        assert torch.equal(value, saved['state_dict'][f'student.{name}'])
    averaged = saved['ema_state_dict']
    assert not any('teacher' in name for name in averaged)
