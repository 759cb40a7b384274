"""The demo of semantic segmentation, with trainings that are already recorded."""

import json

import pytest
from tables import rows_of

from mmreviewkd.studies import segmentation_demo as demo
from mmreviewkd.studies.training import Training

MIOU = {'fpn_r34': 80.0, 'fpn_r18': 50.0, 'fpn_r18_review-r34': 56.0, 'fpn_r18_cwd-r34': 53.0}


@pytest.fixture
def drawn(monkeypatch):
    """Trainings give a result by their config at once; the fixture is the list of pictures asked for."""
    def run(training, trained=lambda: None):
        name, _, seed = training.work_dir.name.partition('_seed')
        training.work_dir.mkdir(parents=True, exist_ok=True)
        (training.work_dir / 'last_checkpoint').write_text(f'{training.work_dir}/iter_2.pth')
        trained()
        return dict(name=training.name, metrics=dict(mIoU=MIOU[name] + int(seed or 0)), parameters=90000,
                    flops=12_000_000, train_minutes=2.0)

    pictures = []
    monkeypatch.setattr(Training, 'run', run)
    monkeypatch.setattr(demo, 'draw_segmentations', lambda *arguments: pictures.append(arguments))
    return pictures


def test_the_picture_shows_the_segmentors_of_the_last_seed(drawn, tmp_path):
    demo.run_demo(tmp_path, seeds=[0, 2])
    (segmentors, dataset, file), = drawn
    assert file == tmp_path / 'predictions.png' and dataset == 'configs/fashion_scenes/fpn_r18.py'
    student = demo.distilled_student(tmp_path, 2)
    assert segmentors['Knowledge Review'] == (student, student.with_name('student.pth'))
    assert str(segmentors['student alone'][1]) == f'{tmp_path}/fpn_r18_seed2/iter_2.pth'
    assert len(json.loads((tmp_path / 'results.json').read_text())) == 5
    assert '| worst | 50.00 | 56.00 | +6.00 |' in (tmp_path / 'seeds.md').read_text()


def test_baselines_are_compared_seed_by_seed(drawn, tmp_path):
    rows = rows_of(demo.results_table(demo.run_demo(tmp_path, seeds=[0, 2], baselines=True)))
    assert rows['CWD'] == ['54.00 ± 1.41', '+3.00', '90,000', '12.00', '2.0']
    compared = (tmp_path / 'seeds_cwd.md').read_text()
    assert '| seed | CWD, mIoU | Knowledge Review, mIoU | gain |' in compared
    assert '| 2 | 55.00 | 58.00 | +3.00 |' in compared
