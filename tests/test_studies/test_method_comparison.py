"""The comparison of the demo's methods, each at its own best loss weight."""

import json

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS

from mmreviewkd.studies import method_comparison as comparison
from mmreviewkd.studies.ablation import study

METRICS = [setting.metric.key for setting in comparison.SETTINGS.values()]


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """Trainings give a made-up result at once; the fixture is the list of them."""
    asked = []

    def run(trainings, workers):
        for training in trainings:
            weight = [value for key, value in training.options.items() if key.endswith('loss_weight')]
            training.work_dir.mkdir(parents=True, exist_ok=True)
            (training.work_dir / 'last_checkpoint').write_text('epoch_3.pth')
            training.result_file.write_text(json.dumps(dict(
                metrics={key: 80 + sum(weight) % 7 for key in METRICS},
                parameters=1, flops=1, cpu_seconds=1, wall_seconds=1)))
            asked.append(training)
            yield {}

    monkeypatch.setattr(study, '_run_all', run)
    return asked


@pytest.mark.parametrize(('name', 'weights', 'best', 'images_of_tuning'), [
    ('few images', '1: 81.0 · **3: 83.0** · 10: 83.0 · 30: 82.0', 3, None),
    ('all images', '**10: 83.0** · 30: 82.0 · 100: 82.0', 10, 50000)])
def test_weights_are_chosen_on_validation_images_and_reported_on_test_images(
        recorded, tmp_path, name, weights, best, images_of_tuning):
    pytest.importorskip('mmpretrain')
    page, setting = tmp_path / 'demo.md', comparison.SETTINGS[name]
    page.write_text(f'<!-- {name}: loss weights -->\n<!-- end -->\n<!-- {name}: methods -->\n<!-- end -->\n')
    comparison.compare_methods(tmp_path / 'out', docs=tmp_path, setting=name)
    for training in recorded[1:]:
        test = training.work_dir.parent.name == 'runs'
        assert training.options['val_dataloader.dataset.test_mode'] == test
        assert training.options['val_dataloader.dataset.indices'] == (None if test else -10000)
        assert training.options['randomness.seed'] in (setting.seeds if test else setting.tuning_seeds)
        images = training.options.get('train_dataloader.dataset.indices')
        assert images == (None if test else images_of_tuning)
    text = page.read_text()
    assert f'| Knowledge Review | {weights} |' in text
    assert f'| Knowledge Review + logit KD | {best} + 3 |' in text
    assert ('| Knowledge Review + DKD | 3 + 1 |' in text) == (name == 'few images')
    assert ('| student alone, twice the epochs |' in text) == (name == 'all images')


def test_detectors_are_chosen_on_validation_scenes_and_reported_on_test_scenes(recorded, tmp_path):
    pytest.importorskip('mmpretrain')
    page = tmp_path / 'demo_detection.md'
    page.write_text('<!-- scenes: loss weights -->\n<!-- end -->\n<!-- scenes: methods -->\n<!-- end -->\n')
    comparison.compare_methods(tmp_path / 'out', docs=tmp_path, setting='scenes')
    teacher, *students = recorded
    assert teacher.config == 'configs/fashion_scenes/mask-rcnn_r34.py' and len(students) == 4 + 4 + 3 * 2 + 3 * 5
    for training in students:
        part = 'test' if training.work_dir.parent.name == 'runs' else 'val'
        assert training.options['val_dataloader.dataset.ann_file'] == f'annotations/{part}.json'
        assert training.options['val_dataloader.dataset.data_prefix.img'] == f'{part}/'
        assert training.options['val_evaluator.ann_file'] == f'data/fashion_scenes/annotations/{part}.json'
    text = page.read_text()
    assert '| method | loss weight | box AP | gain | by seed |' in text
    # The made-up scores, 80 plus the weight modulo 7, as a share of one.
    assert '| PKD | **3: 8300.0** · 10: 8300.0 · 30: 8200.0 |' in text


VARIANTS = {
    f'{name}, {variant.name}': variant
    for name, setting in comparison.SETTINGS.items() for variant in setting.variants()}


@pytest.mark.parametrize('variant', VARIANTS.values(), ids=VARIANTS)
def test_every_method_can_be_built(variant, monkeypatch):
    pytest.importorskip('mmpretrain')
    if 'scenes' in variant.config:
        pytest.importorskip('mmdet')
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(variant.config)
    cfg.merge_from_dict({**variant.options, **{key: values[0] for key, values in variant.weights.items()}})
    model = MODELS.build(cfg.model)
    losses = [type(part).__name__ for part in (
        getattr(model, 'distill_loss', None), getattr(model, 'logit_loss', None)) if part is not None]
    assert losses == {
        'student alone': [], 'student alone, twice the epochs': [], 'Knowledge Review': ['HierarchicalContextLoss'],
        'logit KD': ['LogitDistillationLoss'], 'DKD': ['DecoupledLogitLoss'], 'same-level L2': ['FeatureL2Loss'],
        'PKD': ['PearsonCorrelationLoss'],
        'Knowledge Review with 1x1 kernels and the loss of PKD': ['PearsonCorrelationLoss'],
        'Knowledge Review with the loss of PKD': ['PearsonCorrelationLoss'],
        'Knowledge Review with the loss of PKD + logit KD': ['PearsonCorrelationLoss', 'LogitDistillationLoss'],
        'Knowledge Review + logit KD': ['HierarchicalContextLoss', 'LogitDistillationLoss'],
        'Knowledge Review + DKD': ['HierarchicalContextLoss', 'DecoupledLogitLoss']
    }[variant.name]
    for weight_of in variant.weights:
        part = weight_of.split('.')[1]
        assert getattr(model, part).loss_weight == variant.weights[weight_of][0]
    schedulers, epochs = cfg.param_scheduler, cfg.train_cfg.max_epochs
    assert schedulers.total_steps == epochs == cfg.train_cfg.val_interval
