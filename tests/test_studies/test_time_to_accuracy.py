"""Time until a student is as accurate as the student alone, from trainings that are already recorded."""

import json
from pathlib import Path

import cv2
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config

from mmreviewkd.registry import MODELS
from mmreviewkd.studies import time_to_accuracy as study
from mmreviewkd.studies.classification_demo import PAPER_REVIEW
from mmreviewkd.studies.demo import ALONE, REVIEW
from mmreviewkd.studies.training import Training

CURVES = {
    'resnet8': (2.0, [(10, 50.0), (20, 80.0)]), 'resnet8_kd-resnet14': (3.0, [(10, 60.0), (20, 79.0)]),
    'textbook': (8.0, [(10, 81.0), (20, 85.0)]), 'resnet8_review-resnet14': (4.0, [(10, 81.0), (20, 85.0)]),
    'resnet8_review-kd-resnet14': (5.0, [(10, 79.0), (20, 86.0)])}


@pytest.fixture
def recorded(monkeypatch):
    """Trainings give a result by their config at once; the fixture is the list of those asked for."""
    asked = []

    def run(training):
        asked.append(training)
        training.work_dir.mkdir(parents=True, exist_ok=True)
        (training.work_dir / 'last_checkpoint').write_text(f'{training.work_dir}/epoch_3.pth')
        minutes, curve = CURVES.get(Path(training.config).stem, (1.0, [(3, 88.0)]))
        return dict(name=training.name, train_minutes=minutes, curve=dict(validation={study.METRIC: curve}))

    monkeypatch.setattr(Training, 'run', run)
    monkeypatch.chdir(ROOT)
    return asked


def test_table_and_picture_show_when_each_student_gets_there(recorded, tmp_path):
    docs = tmp_path / 'docs'
    docs.mkdir()
    (docs / 'benchmark.md').write_text(f'before\n{study.MARK}\nold\n{study.END}\nafter\n')
    results = study.time_to_accuracy(tmp_path / 'out', seed=7, docs=docs)
    assert [result['minutes'] for result in results] == [2.0, None, 4.0, 2.0, 5.0]
    page = (docs / 'benchmark.md').read_text()
    assert page.startswith('before\n') and page.endswith('after\n') and 'old' not in page
    assert f'| {ALONE} | 2.00 | 1.00 | 2.00 | 1.00 | 80.00 |' in page
    assert f'| {study.LOGIT_KD} | – | – | 3.00 | 1.50 | 79.00 |' in page
    assert f'| {study.TEXTBOOK} | 4.00 | 2.00 | 8.00 | 4.00 | 85.00 |' in page
    assert f'| {PAPER_REVIEW} | 2.00 | 1.00 | 4.00 | 2.00 | 85.00 |' in page
    assert f'| {REVIEW} | 5.00 | 2.50 | 5.00 | 2.50 | 86.00 |' in page
    assert (tmp_path / 'out' / 'time_to_accuracy.md').read_text() in page
    assert json.loads((tmp_path / 'out' / 'results.json').read_text())[3]['minutes'] == 2.0
    assert cv2.imread(str(docs / 'time_to_accuracy.png')).shape == (480, 840, 3)
    teacher, alone, *distilled = recorded
    assert {training.threads for training in recorded} == {1}
    assert all(training.options['randomness.seed'] == 7 for training in (alone, *distilled))
    assert all(training.options['model.teacher.checkpoint'] == teacher.checkpoint for training in distilled)


def test_the_textbook_form_is_the_same_distillation(recorded, tmp_path):
    pytest.importorskip('mmpretrain')
    study.time_to_accuracy(tmp_path)
    losses = []
    for config in (tmp_path / 'textbook.py', 'configs/fashion_mnist/resnet8_review-resnet14.py'):
        cfg = Config.fromfile(config)
        cfg.model.update(warmup_iters=0)
        cfg.model.teacher.checkpoint = 'init_cfg'
        torch.manual_seed(0)
        distiller = MODELS.build(cfg.model)
        distiller.init_weights()
        states = distiller.connector.state_dict()
        torch.manual_seed(1)
        distiller.connector.load_state_dict({key: torch.rand(value.shape).to(value) for key, value in states.items()})
        from mmpretrain.structures import DataSample
        samples = [DataSample().set_gt_label(k) for k in range(4)]
        losses.append(distiller.train().loss(torch.rand(4, 1, 28, 28), samples))
    assert type(distiller.connector) is not study.TextbookConnector
    assert losses[0].keys() == losses[1].keys()
    torch.testing.assert_close(losses[0]['loss_distill'], losses[1]['loss_distill'])
