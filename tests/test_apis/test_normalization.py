"""Images that a pipeline normalizes, instead of the data preprocessor."""

import pytest
from mmengine.config import Config

from mmreviewkd.apis.normalization import check_normalization
from mmreviewkd.utils import ConfigError

IMAGENET = dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
OTHER = dict(type='mmcv.Normalize', mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
BY_PREPROCESSOR = dict(mean=[127.5] * 3, std=[127.5] * 3)


def loader(*steps):
    return dict(dataset=dict(type='Repeat', dataset=dict(pipeline=[dict(type='Load'), *steps, dict(type='Pack')])))


@pytest.fixture
def check(tmp_path):
    def run(own=(), other=(), preprocessor=None, as_dict=False):
        teacher = dict(type='Classifier', data_preprocessor=preprocessor)
        if not as_dict:
            Config(dict(model=teacher, test_dataloader=loader(*other))).dump(tmp_path / 'teacher.py')
            teacher = str(tmp_path / 'teacher.py')
        check_normalization(Config(dict(
            model=dict(type='mmreviewkd.ReviewDistiller', student=dict(), teacher=dict(model=teacher)),
            train_dataloader=loader(*own))))

    return run


def test_a_teacher_whose_pipeline_normalizes_is_refused(check):
    with pytest.raises(ConfigError, match=r'teacher.model: .* normalizes images \(mean \[127.5.*, which does not'):
        check(other=[OTHER])
    with pytest.raises(ConfigError, match='which does it differently'):
        check(own=[IMAGENET], other=[OTHER])


@pytest.mark.parametrize('as_dict', [True, False])
def test_images_are_not_normalized_twice(as_dict, check):
    with pytest.raises(ConfigError, match=r"train_dataloader: the student's pipeline .* would do it again"):
        check(own=[IMAGENET], preprocessor=BY_PREPROCESSOR, as_dict=as_dict)


def test_what_both_pipelines_do_alike_is_right(check):
    check(own=[IMAGENET], other=[dict(IMAGENET, type='mmcv.Normalize')])
    check(preprocessor=BY_PREPROCESSOR)
    check(own=[IMAGENET], as_dict=True)
    check_normalization(Config(dict(model=dict(type='ImageClassifier'), train_dataloader=loader(IMAGENET))))
