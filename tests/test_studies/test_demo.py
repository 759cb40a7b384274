"""What the demos share."""

import threading

import pytest
from tables import rows_of

from mmreviewkd.studies.demo import ALONE, REVIEW, TEACHER, Demo, results_table
from mmreviewkd.studies.training import Training
from mmreviewkd.utils.errors import ConfigError


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """A demo whose trainings give a result at once; the fixture is the demo and the list of those asked for."""
    asked = []

    def run(training, trained=lambda: None):
        asked.append(training)
        training.work_dir.mkdir(parents=True, exist_ok=True)
        (training.work_dir / 'last_checkpoint').write_text(f'{training.work_dir}/last.pth')
        trained()
        return dict(name=training.name)

    monkeypatch.setattr(Training, 'run', run)
    students = {ALONE: 'configs/a/small.py', REVIEW: 'configs/a/small_review-big.py', 'KD': 'configs/a/small_kd-big.py'}
    return Demo(tmp_path, Training(TEACHER, 'configs/a/big.py', tmp_path / 'big'), students), asked


@pytest.fixture
def on_cores(monkeypatch):
    """Sets the number of cores that a demo sees, each for a training of one thread."""
    def set_cores(count):
        monkeypatch.setattr('os.sched_getaffinity', lambda process: set(range(count)), raising=False)

    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    return set_cores


def test_students_share_seeds_and_the_distilled_ones_the_teacher(trained, on_cores):
    demo, asked = trained
    on_cores(1)
    results = demo.run([3, 5])
    names = [f'{name}_seed{seed}' for seed in (3, 5) for name in ('small_review-big', 'small_kd-big')]
    assert [training.work_dir.name for training in asked] == ['big', 'small_seed3', 'small_seed5', *names]
    options = {training.work_dir.name: training.options for training in asked}
    assert options['small_seed3'] == {'randomness.seed': 3}
    assert options['small_kd-big_seed5'] == {
        'randomness.seed': 5, 'model.teacher.checkpoint': demo.teacher.checkpoint}
    assert {name: len(group) for name, group in results.items()} == {TEACHER: 1, ALONE: 2, REVIEW: 2, 'KD': 2}
    assert demo.exported(REVIEW, 5).parent.parent == demo.student(REVIEW, 5).work_dir


@pytest.mark.parametrize('variable, threads', [(None, 1), ('3', 3), ('many', 1)])
def test_each_training_computes_with_one_thread_or_as_many_as_the_environment_says(
        trained, monkeypatch, variable, threads):
    demo, asked = trained
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    if variable:
        monkeypatch.setenv('OMP_NUM_THREADS', variable)
    demo.run([0])
    assert {training.threads for training in asked} == {threads}


def test_only_distilled_students_wait_for_the_teacher(trained, monkeypatch, on_cores):
    demo, asked = trained
    on_cores(2)
    alone_is_done, run = threading.Event(), Training.run

    def in_turn(training, *trained):
        if training.name == TEACHER:
            assert alone_is_done.wait(60)
        result = run(training, *trained)
        if training.name == ALONE:
            alone_is_done.set()
        return result

    monkeypatch.setattr(Training, 'run', in_turn)
    demo.run([0])
    assert [training.name for training in asked[:2]] == [ALONE, TEACHER]


def test_no_distilled_student_waits_for_the_teachers_test(trained, monkeypatch, on_cores):
    demo, asked = trained
    on_cores(2)
    distilled, run = threading.Event(), Training.run

    def in_turn(training, *trained):
        result = run(training, *trained)
        if training.name == TEACHER:
            assert distilled.wait(60)  # where the teacher is tested
        if training.name == REVIEW:
            distilled.set()
        return result

    monkeypatch.setattr(Training, 'run', in_turn)
    demo.run([0])
    assert len(asked) == 4


def test_a_failed_teacher_ends_the_demo(trained, monkeypatch, on_cores):
    demo, _ = trained
    on_cores(2)

    def fail(training, *trained):
        raise ConfigError('no images')

    monkeypatch.setattr(demo.teacher.__class__, 'run', fail)
    with pytest.raises(ConfigError, match='no images'):
        demo.run([0, 1])


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
