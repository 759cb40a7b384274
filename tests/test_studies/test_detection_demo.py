"""The demo on Fashion-MNIST scenes, with trainings that are already recorded."""

import json

import pytest
from tables import rows_of

from mmreviewkd.studies import detection_demo as demo
from mmreviewkd.studies.training import Training

AP = {'r34': 0.376, 'r18': 0.19, 'r18_review-r34': 0.23}


@pytest.fixture
def drawn(monkeypatch):
    """Trainings give a result by their config at once; the fixture is the list of pictures asked for."""
    def run(training, trained=lambda: None):
        seed = int(training.work_dir.name.partition('_seed')[2] or 0)
        training.work_dir.mkdir(parents=True, exist_ok=True)
        (training.work_dir / 'last_checkpoint').write_text(f'{training.work_dir}/epoch_4.pth')
        trained()
        name = training.config.split('/')[-1].removesuffix('.py')
        metrics = {'coco/bbox_mAP': AP[name.partition('_')[2]] + seed / 100}
        if name.startswith('mask'):
            metrics['coco/segm_mAP'] = AP[name.partition('_')[2]] / 2
        return dict(name=training.name, metrics=metrics, parameters=315456, train_minutes=2.0)

    pictures = []
    monkeypatch.setattr(Training, 'run', run)
    monkeypatch.setattr(demo, 'draw_detections', lambda *arguments: pictures.append(arguments))
    return pictures


@pytest.mark.parametrize('detector', demo.DETECTORS)
def test_the_picture_shows_the_detectors_of_the_last_seed(detector, drawn, tmp_path):
    demo.run_demo(tmp_path, detector, seeds=[0, 2])
    (detectors, dataset, file), = drawn
    assert file == tmp_path / f'{detector}.png' and dataset == f'configs/fashion_scenes/{detector}_r18.py'
    student = demo.distilled_student(tmp_path, detector, 2)
    assert detectors['Knowledge Review'] == (student, student.with_name('student.pth'))
    assert str(detectors['student alone'][1]) == f'{tmp_path}/{detector}_r18_seed2/epoch_4.pth'
    assert str(detectors['teacher'][1]) == f'{tmp_path}/mask-rcnn_r34/epoch_4.pth'
    assert len(json.loads((tmp_path / f'{detector}.json').read_text())) == 5


def test_the_table_shows_box_and_mask_ap(drawn, tmp_path):
    rows = rows_of(demo.results_table(demo.run_demo(tmp_path, 'mask-rcnn', seeds=[0, 2])))
    assert rows['teacher'] == ['37.6', '', '18.8', '', '315,456', '2.0']
    assert rows['Knowledge Review'] == ['24.0 ± 1.4', '+4.0', '11.5 ± 0.0', '+2.0', '315,456', '2.0']


def test_a_detector_without_masks_has_no_mask_ap(drawn, tmp_path):
    rows = rows_of(demo.results_table(demo.run_demo(tmp_path, 'retinanet')))
    assert rows['student alone'] == ['19.0', '', '315,456', '2.0']
