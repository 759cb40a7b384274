"""The report of a run shows its curves, the student alone, and its levels."""

import json

import pytest

from mmreviewkd.studies.curves import level_curves, training_curve
from mmreviewkd.studies.run_report import run_report
from mmreviewkd.utils import ConfigError

TRAINING = [dict(step=step, time=0.5, loss=6.0 / step, loss_student=2.0 / step, loss_distill=4.0 / step)
            for step in range(1, 11)]
LEVELS = [
    {'step': 0, 'distance/level1': 2.0, 'distance/level2': 1.0},
    {'step': 1, 'loss_distill/level1': 3.0, 'loss_distill/level2': 1.0, 'grad_norm/own': 2.0, 'grad_norm/distill': 4.0},
    {'step': 10, 'loss_distill/level1': 0.3, 'grad_norm/own': 1.0, 'grad_norm/distill': 4.0},
    {'step': 1, 'distance/level1': 0.5, 'distance/level2': 0.25}]


def work_dir(folder, accuracies, levels=()):
    place = folder / '20260101_000000' / 'vis_data'
    place.mkdir(parents=True)
    lines = [*TRAINING, *levels, *({'step': i, 'acc': value} for i, value in enumerate(accuracies, start=1))]
    (place / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n{"step": 3, "lo')
    return folder


def test_a_run_is_compared_with_the_student_alone(tmp_path):
    run = work_dir(tmp_path / 'review', [60.0, 80.0, 79.0], LEVELS)
    pictures = run / '20260101_000000' / 'vis_data' / 'vis_image'
    pictures.mkdir()
    for step in (0, 2, 10):
        (pictures / f'levels_image1_{step}.png').write_bytes(bytes([step]))
    report = run_report(run, work_dir(tmp_path / 'alone', [50.0, 70.0, 75.0]))
    text = report.read_text()
    assert report == run / 'report' / 'report.md' and text.startswith('# review')
    assert '| distilled | 79 | 80 | 0.2 | 10 | 0.1 |' in text
    assert '| gain | +4 | +5 |' in text and 'no proof of a gain' in text
    assert '| distance/level2 | 1 (at 0) | 0.25 (at 1) | 0.25 |' in text
    assert '3 times as long' in text and '(median of 2 iterations; 2 to 4)' in text
    assert (report.parent / 'levels_image1.png').read_bytes() == bytes([10])
    assert all((report.parent / f'{name}.png').stat().st_size > 5000 for name in ('curves', 'levels'))


def test_of_a_detector_the_mean_aps_of_boxes_and_masks_are_shown(tmp_path):
    run = work_dir(tmp_path / 'run', [])
    names = ['coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75', 'coco/bbox_mAP_s', 'coco/segm_mAP']
    place = run / '20260101_000000' / 'vis_data' / 'scalars.json'
    place.write_text('\n'.join(map(json.dumps, [*TRAINING, dict(dict.fromkeys(names, 0.5), step=1)])))
    header = run_report(run).read_text().splitlines()[2]
    assert header.startswith('| | coco/bbox_mAP, last | coco/segm_mAP, last | coco/bbox_mAP_50, last |')


def test_a_run_without_levels_or_validation_says_so(tmp_path):
    text = run_report(work_dir(tmp_path / 'plain', []), out=tmp_path / 'out').read_text()
    assert 'logged nothing about its levels' in text and 'LevelScalarsHook' in text
    assert 'was not validated' in text and 'gain' not in text.partition('## Levels')[0]
    assert not (tmp_path / 'out' / 'levels.png').exists()


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(ConfigError, match='holds no log of a training'):
        run_report(tmp_path)
    (tmp_path / 'a' / 'vis_data').mkdir(parents=True)
    (tmp_path / 'a' / 'vis_data' / 'scalars.json').write_text('{"step": 1, "acc": 3.0}\n')
    with pytest.raises(ConfigError, match='no training iteration'):
        run_report(tmp_path)


def test_the_scalars_of_levels_are_no_validation(tmp_path):
    run = work_dir(tmp_path, [60.0], LEVELS)
    assert training_curve(run)['curve']['validation'] == {'acc': [(1, 60.0)]}
    assert level_curves(run)['distance/level1'] == [(0, 2.0), (1, 0.5)]


def test_of_an_error_the_lowest_is_the_best(tmp_path):
    errors = [dict(step=step, NME=value) for step, value in ((1, 10.0), (2, 4.0), (3, 5.0))]
    run = work_dir(tmp_path / 'pose', [], errors)
    assert '| distilled | 5 | 4 |' in run_report(run).read_text()
