"""Training curves are read from what MMEngine logs."""

import json

import cv2

from mmreviewkd.studies.curves import plot_curves, training_curve


def log(work_dir, run, lines):
    folder = work_dir / run / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))


def test_a_resumed_run_replaces_the_steps_that_it_repeats(tmp_path):
    log(tmp_path, '20260101_000000', [
        dict(step=1, time=60.0, loss=3.0, loss_student=2.0, loss_distill=1.0, distill_weight=5.0),
        dict(step=2, time=60.0, loss=9.0, loss_student=9.0, loss_distill=0.0), {'step': 1, 'acc': 10.0, 'time': 0.1}])
    log(tmp_path, '20260102_000000', [
        dict(step=2, time=30.0, loss=2.5, loss_cls=1.0, loss_box=0.5, loss_distill=0.6, loss_logit=0.4),
        {'step': 2, 'acc': 20.0, 'data_time': 0.1}])
    found = training_curve(tmp_path)
    assert found['curve'] == dict(
        iteration=[1, 2], loss=[2.0, 1.5], validation=dict(acc=[(1, 10.0), (2, 20.0)]))
    assert found['train_minutes'] == 1.5


def test_a_model_of_one_loss_is_shown_by_it(tmp_path):
    log(tmp_path, 'run', [dict(step=10, time=6.0, loss=0.7)])
    found = training_curve(tmp_path)
    assert found['curve']['loss'] == [0.7]
    assert found['train_minutes'] == 1.0


def test_runs_are_plotted_with_and_without_a_validation(tmp_path):
    curve = dict(iteration=[1, 2], loss=[2.0, 1.0], validation=dict(acc=[(1, 50.0), (2, 60.0)]))
    both = [dict(name='a', curve=curve), dict(name='b', curve={**curve, 'loss': [1.0, 0.5], 'validation': {}})]
    for name, results in (('one', both[:1]), ('two', both)):
        plot_curves(results, 'acc', tmp_path / f'{name}.png')
    one, two = (cv2.imread(str(tmp_path / f'{name}.png')) for name in ('one', 'two'))
    assert one.shape == two.shape == (480, 1200, 3)
    assert (one != two).any()


def test_damaged_lines_are_left_out(tmp_path):
    log(tmp_path, 'run', [dict(step=1, time=6.0, loss=0.7), 5])
    with open(tmp_path / 'run' / 'vis_data' / 'scalars.json', 'ab') as file:
        file.write(b'\n{"step": 2, "lo\xff')
    assert training_curve(tmp_path)['curve']['iteration'] == [1]
