"""The shape of the training images is that of what the model gets in training."""

import pytest
import torch
from conftest import ROOT, cifar_classifier, review_config, small_run
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmreviewkd.apis.first_batch import NoBatchError
from mmreviewkd.apis.runner import build_runner
from mmreviewkd.apis.training_image import add_training_image, images_of, training_image
from mmreviewkd.models.build import build_model
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config import load_config, model_config, without_pretrained


def shape_of(config):
    package = config.partition('::')[0]
    pytest.importorskip(package)
    model = without_pretrained(model_config(config, 'model'))
    with DefaultScope.overwrite_default_scope(package):
        student = build_model(model, 'model')
        state = torch.get_rng_state()
        found = training_image(load_config(config, 'config'), model, student)
    assert torch.equal(torch.get_rng_state(), state)
    return found


@pytest.mark.parametrize(('config', 'shape'), [
    ('mmpretrain::resnet/resnet18_8xb32_in1k.py', (3, 224, 224)),
    ('mmpretrain::resnet/resnet18_8xb16_cifar10.py', (3, 32, 32)),
    ('mmpretrain::lenet/lenet5_mnist.py', (1, 32, 32)),
    ('mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py', (3, 224, 224)),
    ('mmpretrain::convnext/convnext-small_32xb128_in1k-384px.py', (3, 384, 384)),
    ('mmdet::ssd/ssd300_coco.py', (3, 300, 300)),
    ('mmdet::yolox/yolox_nano_8xb8-300e_coco.py', (3, 640, 640)),
    ('mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py', (3, 512, 512)),
    ('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', (3, 800, 1088)),  # padded to a multiple of 32
    ('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', (3, 1024, 1024)),
])
def test_the_pipeline_and_the_data_preprocessor_tell_the_size(config, shape):
    assert shape_of(config) == shape


def test_images_that_keep_their_size_are_read(fashion_mnist):
    cfg = small_run('resnet8.py', fashion_mnist)
    model = model_config(str(ROOT / 'configs/fashion_mnist/resnet8.py'), 'model')
    assert training_image(cfg, model, build_model(model, 'model')) == (1, 28, 28)
    cfg.train_dataloader.dataset.data_root = 'nowhere'
    assert training_image(cfg, model, build_model(model, 'model')) == (1, 28, 28)
    cfg.train_dataloader.dataset.pipeline.insert(0, dict(type='Resize', scale=(48, 40)))
    cfg.train_dataloader.dataset.pipeline[1]['crop_size'] = (36, 44)
    assert training_image(cfg, model, build_model(model, 'model')) == (1, 36, 44)


def test_a_pipeline_that_makes_no_batch_is_named(fashion_mnist):
    cfg = small_run('resnet8.py', fashion_mnist)
    cfg.train_dataloader.dataset.pipeline[0]['crop_size'] = -1
    with pytest.raises(ConfigError, match='train_dataloader: no batch can be made'):
        training_image(cfg, cfg.model, build_model(cfg.model, 'model'))
    cfg.pop('train_dataloader')
    with pytest.raises(NoBatchError, match='the config has no train_dataloader'):
        training_image(cfg, cfg.model, build_model(cfg.model, 'model'))


def test_proposed_taps_of_a_config_are_those_at_the_training_size(fashion_mnist, tmp_path):
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist, work_dir=str(tmp_path))
    add_training_image(cfg)
    assert 'image_shape' not in cfg.model
    cfg.model.student.taps = cfg.model.teacher.taps = 'auto'
    cfg.train_dataloader.dataset.pipeline.append(dict(type='Resize', scale=20))
    cfg.train_dataloader.dataset.pipeline.append(cfg.train_dataloader.dataset.pipeline.pop(-2))
    runner = build_runner(cfg)
    assert runner.cfg.model.image_shape == (1, 20, 20)
    assert runner.model.taps.taps == (*(f'backbone.layer{i}[-1].relu:input' for i in (1, 2, 3)), 'neck')


def test_a_config_whose_training_images_are_unknown_is_built_at_a_usual_size(fashion_mnist, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmreviewkd.apis.training_image.print_log', lambda text, *_: said.append(text))
    cfg = Config(dict(model=review_config(), default_scope='mmpretrain'))
    cfg.model.student.taps = cfg.model.teacher.taps = 'auto'
    add_training_image(cfg)
    assert 'image_shape' not in cfg.model
    assert 'the size of the training images is not known (the config has no train_dataloader)' in said[0]


@pytest.mark.parametrize('wrong', [(3, 32), (1, 0, 4), 32, 'large'])
def test_a_shape_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match=r'image_shape(\[1\])? must be'):
        build_model(review_config(
            image_shape=wrong, student=dict(model=cifar_classifier(), taps='auto'),
            teacher=dict(model=cifar_classifier(), checkpoint='init_cfg', taps='auto')), 'model')


def test_the_images_of_a_batch_are_found():
    image = torch.zeros(3, 4, 5)
    assert images_of(dict(inputs=image[None])).shape == (1, 3, 4, 5)
    assert images_of(dict(inputs=[image, image])) is image
    assert images_of(dict(inputs=dict(sup=[image, None], unsup_student=[None, image[:, :2]]))).shape == (3, 2, 5)
    with pytest.raises(ConfigError, match='have no images under the key `inputs`'):
        images_of(dict(img=image))
