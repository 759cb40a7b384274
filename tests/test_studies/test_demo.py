"""What the demos share."""

import pytest
from tables import rows_of

from mmreviewkd.studies.demo import ALONE, REVIEW, TEACHER, Demo, results_table
from mmreviewkd.studies.training import Training


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """A demo whose trainings give a result at once; the fixture is the demo and the list of those asked for."""
    asked = []

    def run(training):
        asked.append(training)
        training.work_dir.mkdir(parents=True, exist_ok=True)
        (training.work_dir / 'last_checkpoint').write_text(f'{training.work_dir}/last.pth')
        return dict(name=training.name)

    monkeypatch.setattr(Training, 'run', run)
    students = {ALONE: 'configs/a/small.py', REVIEW: 'configs/a/small_review-big.py', 'KD': 'configs/a/small_kd-big.py'}
    return Demo(tmp_path, Training(TEACHER, 'configs/a/big.py', tmp_path / 'big'), students), asked


def test_students_share_seeds_and_the_distilled_ones_the_teacher(trained):
    demo, asked = trained
    results = demo.run([3, 5])
    assert [training.work_dir.name for training in asked] == ['big', *(
        f'{name}_seed{seed}' for seed in (3, 5) for name in ('small', 'small_review-big', 'small_kd-big'))]
    assert [training.options for training in asked[1:4]] == [
        {'randomness.seed': 3}, *[{'randomness.seed': 3, 'model.teacher.checkpoint': demo.teacher.checkpoint}] * 2]
    assert {name: len(group) for name, group in results.items()} == {TEACHER: 1, ALONE: 2, REVIEW: 2, 'KD': 2}
    assert demo.exported(REVIEW, 5).parent.parent == demo.student(REVIEW, 5).work_dir


def test_the_table_has_means_spreads_and_gains_over_the_student_alone():
    def result(ap, mask):
        return dict(metrics=dict(box=ap, mask=mask), parameters=1234, flops=5_600_000, train_minutes=2.0)

    results = {
        TEACHER: [result(0.5, 0.4)], ALONE: [result(0.1, 0.2), result(0.3, 0.2)],
        REVIEW: [result(0.3, 0.1), result(0.4, 0.1)]}
    metrics = {'box AP': 'box', 'mask AP': 'mask', 'not measured': 'other'}
    rows = rows_of(results_table('Scenes', results, metrics, scale=100, digits=1))
    assert rows['title'] == ['Scenes, 2 seeds']
    assert rows[TEACHER] == ['50.0', '', '40.0', '', '1,234', '5.60', '2.0']
    assert rows[ALONE] == ['20.0 ± 14.1', '', '20.0 ± 0.0', '', '1,234', '5.60', '2.0']
    assert rows[REVIEW] == ['35.0 ± 7.1', '+15.0', '10.0 ± 0.0', '-10.0', '1,234', '5.60', '2.0']
    assert len(rows_of(results_table('Scenes', results, {'box AP': 'box'}, flops=False))[REVIEW]) == 4
