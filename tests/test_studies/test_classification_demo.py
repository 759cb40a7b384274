"""The demo on Fashion-MNIST, with trainings that are already recorded."""

import json

import pytest
from tables import rows_of

from mmreviewkd.studies import classification_demo as demo
from mmreviewkd.studies.training import Training

TOP1 = {'resnet8': 76.0, 'resnet8_review-kd-resnet14': 82.0, 'resnet8_review-resnet14': 81.0,
        'resnet8_kd-resnet14': 80.0, 'resnet8_l2-resnet14': 78.0}


@pytest.fixture
def recorded(monkeypatch):
    """Trainings give a result by their config at once; the fixture is the list of those asked for."""
    asked = []

    def run(training, trained=lambda: None):
        asked.append(training)
        name = training.work_dir.name.partition('_seed')
        seed = int(name[2] or 0)
        training.work_dir.mkdir(parents=True, exist_ok=True)
        (training.work_dir / 'last_checkpoint').write_text(f'{training.work_dir}/epoch_8.pth')
        trained()
        curve = dict(iteration=[1, 2], loss=[2.0, 1.0], validation={demo.METRIC: [(1, 70.0)]})
        return dict(name=training.name, metrics={demo.METRIC: TOP1.get(name[0], 88.0) + seed}, parameters=5142,
                    flops=640_000, train_minutes=1.5, curve=curve)

    monkeypatch.setattr(Training, 'run', run)
    return asked


def test_students_share_seeds_and_the_distilled_ones_the_teacher(recorded, tmp_path):
    results = demo.run_demo(tmp_path, seeds=[0, 2], baselines=True)
    trainings = {training.work_dir.name: training for training in recorded}
    teacher = trainings.pop('teacher')
    assert sorted(trainings) == sorted(f'{config}_seed{seed}' for seed in (0, 2) for config in TOP1)
    for name, training in trainings.items():
        assert training.options['randomness.seed'] == int(name[-1])
        checkpoint = training.options.get('model.teacher.checkpoint')
        assert checkpoint == (None if training.name == 'student alone' else teacher.checkpoint)
    assert {name: len(group) for name, group in results.items()} == {
        'teacher': 1, 'student alone': 2, 'Knowledge Review': 2, 'Knowledge Review as in its paper': 2,
        'logit KD': 2, 'same-level L2': 2}
    assert len(json.loads((tmp_path / 'results.json').read_text())) == 11
    assert (tmp_path / 'curves.png').stat().st_size > 5000
    assert demo.distilled_student(tmp_path, 2).parent.parent in [training.work_dir for training in recorded]


def test_the_table_shows_means_spreads_and_gains(recorded, tmp_path):
    rows = rows_of(demo.results_table(demo.run_demo(tmp_path, seeds=[0, 2])))
    assert '10,000 test images, 2 seeds' in rows['title'][0]
    assert rows['student alone'] == ['77.00 ± 1.41', '', '5,142', '0.64', '1.5']
    assert rows['Knowledge Review'] == ['83.00 ± 1.41', '+6.00', '5,142', '0.64', '1.5']
    assert rows['teacher'][:2] == ['88.00', '']
