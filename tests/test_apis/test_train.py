"""The options of training reach the runner."""

import importlib

import pytest

train_module = importlib.import_module('mmreviewkd.apis.train')


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Gives the config that a runner would be built from."""
    (tmp_path / 'config.py').write_text(
        "model = dict(type='ImageClassifier')\n"
        "train_dataloader, train_cfg = dict(dataset=dict(type='MNIST')), dict()\n"
        "optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))\n"
        'auto_scale_lr = dict(enable=False, base_batch_size=64)\n'
        "val_cfg, val_dataloader, val_evaluator = dict(), dict(dataset=dict(type='MNIST')), dict()\n")

    class Built:
        def __init__(self, cfg):
            self.train = lambda: cfg
            self.register_hook = hooks.append

    hooks = []
    monkeypatch.setattr(train_module, 'build_runner', Built)
    return lambda **options: train_module.train(str(tmp_path / 'config.py'), **options)


def test_nothing_changes_without_options(run):
    cfg = run()
    assert cfg.optim_wrapper.type == 'OptimWrapper' and not cfg.auto_scale_lr.enable
    assert cfg.val_cfg is not None and not cfg.get('resume')


def test_mixed_precision_scales_the_loss(run):
    assert run(amp=True).optim_wrapper.to_dict() == dict(
        type='AmpOptimWrapper', loss_scale='dynamic', optimizer=dict(type='SGD', lr=0.1))


def test_the_learning_rate_is_scaled_by_the_configs_batch_size(run):
    assert run(auto_scale_lr=True).auto_scale_lr == dict(enable=True, base_batch_size=64)


def test_validation_is_switched_off_altogether(run):
    cfg = run(validate=False)
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None


@pytest.mark.parametrize(('resume', 'load_from'), [(True, None), ('auto', None), ('a.pth', 'a.pth')])
def test_a_run_is_resumed_from_the_latest_or_a_named_checkpoint(resume, load_from, run):
    cfg = run(resume=resume)
    assert cfg.resume is True and cfg.load_from == load_from
