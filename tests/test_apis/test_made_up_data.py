"""Made-up data pass through the training pipelines of the zoo."""

import pytest
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, set_random_seed

from mmreviewkd.apis.made_up_data import made_up_data
from mmreviewkd.utils.config import load_config


@pytest.mark.parametrize(('config', 'classes'), [
    ('mmpretrain::resnet/resnet18_8xb32_in1k.py', 1000),
    ('mmpretrain::resnet/resnet18_8xb16_cifar10.py', 10),
    ('mmpretrain::lenet/lenet5_mnist.py', 10),
    ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 80),
    ('mmdet::solo/solo_r50_fpn_1x_coco.py', 80),
    ('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', 80),
    ('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py', 80),
    ('mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py', 80),
    ('mmdet::pascal_voc/retinanet_r50_fpn_1x_voc0712.py', 20),
])
def test_pipelines_of_the_zoo_make_a_batch(config, classes):
    package = config.partition('::')[0]
    pytest.importorskip(package)
    cfg = load_config(config, 'config')
    loader = cfg.train_dataloader
    loader.update(num_workers=0, persistent_workers=False, batch_size=2)
    loader.pop('prefetch_factor', None)
    set_random_seed(0)  # a mosaic may lose every object
    with DefaultScope.overwrite_default_scope(package), made_up_data(loader, cfg, 2) as made_up:
        batch = next(iter(Runner.build_dataloader(made_up, seed=0)))
    assert len(batch['inputs']) == len(batch['data_samples']) == 2
    for sample in batch['data_samples']:
        labels = sample.gt_instances.labels if package == 'mmdet' else sample.gt_label
        assert (labels < classes).all()
    if package == 'mmdet':
        assert sum(len(sample.gt_instances) for sample in batch['data_samples'])
