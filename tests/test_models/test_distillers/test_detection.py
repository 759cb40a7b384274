"""What mmdet asks of the distiller."""

import copy
import functools
from pathlib import Path

import pytest
import torch
from detection import CAFFE, few_rois, gradients, raw_batch, same, without_pretrained
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from textbook import hcl, review_path

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / 'configs'


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


@functools.cache
def _config(path):
    return Config.fromfile(path)


def fashion_model(name):
    return copy.deepcopy(_config(CONFIGS / f'fashion_scenes/{name}.py').model)


def distiller(student, teacher, weight=1.0, **kwargs):
    """A distiller of FPN levels whose teacher has random weights."""
    return MODELS.build(ConfigDict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=student, taps=['neck']),
        teacher=dict(model=teacher, checkpoint='init_cfg', taps=['neck']),
        connector=dict(type='ReviewConnector', mid_channels=16),
        distill_loss=dict(type='HierarchicalContextLoss', loss_weight=weight), **kwargs))


@pytest.fixture
def student():
    return fashion_model('mask-rcnn_r18')


@pytest.fixture
def teacher():
    return fashion_model('mask-rcnn_r34')


def started(model):
    model.init_weights()
    return model.train()


def losses_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    return model(**data, mode='loss')


def total(model, losses):
    return model.parse_losses(losses)[0]


@pytest.mark.parametrize('pair', ['mask-rcnn', 'faster-rcnn', 'retinanet'])
def test_every_student_parameter_learns_and_no_teacher_parameter_does(pair):
    model = started(distiller(fashion_model(f'{pair}_r18'), fashion_model(f'{pair}_r34')))
    loss = total(model, losses_of(model, raw_batch()))
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, grad in gradients(model).items() if grad is None] == []
    assert all(parameter.grad is None for parameter in model.frozen_teacher.model.parameters())
    assert not any('teacher' in name for name in model.state_dict())


def test_one_step_equals_the_step_assembled_by_hand(student, teacher):
    """The loss and every gradient of a Mask R-CNN, from plain mmdet, the paper's formulas and autograd."""
    set_random_seed(0)
    model = started(distiller(student, teacher, weight=3.0))
    batch = raw_batch()
    set_random_seed(1)
    losses = losses_of(model, batch)
    total(model, losses).backward()
    found = gradients(model)

    model.zero_grad()
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    set_random_seed(1)
    own = model.student.loss(data['inputs'], data['data_samples'])
    features = model.student.extract_feat(data['inputs'])
    with torch.no_grad():
        guides = model.frozen_teacher.model.extract_feat(data['inputs'])
    state = dict(model.connector.named_parameters())
    outputs = review_path(features, [guide.shape[2:] for guide in guides], state)
    by_hand = 3.0 * hcl(outputs, guides)
    (total(model, own) + by_hand).backward()

    assert len(guides) == 5
    torch.testing.assert_close(losses['loss_distill'], by_hand, rtol=1e-4, atol=1e-6)
    assert {name: value for name, value in losses.items() if name in own}.keys() == own.keys()
    for name, grad in gradients(model).items():
        torch.testing.assert_close(found[name], grad, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f'{n}: {text}')


def test_without_weight_a_run_equals_plain_mmdet(student, teacher):
    """Same losses and same weights after three steps, bit for bit."""
    histories = []
    for distilled in (False, True):
        set_random_seed(0)
        model = started(distiller(student, teacher, weight=0.0) if distilled else MODELS.build(student))
        optim = build_optim_wrapper(model, dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
            clip_grad=dict(max_norm=10)))
        logs = [model.train_step(raw_batch(), optim) for _ in range(3)]
        histories.append((logs, (model.student if distilled else model).state_dict()))
    (plain_logs, plain), (logs, found) = histories
    assert same(found, plain)
    for log, plain_log in zip(logs, plain_logs):
        assert log.pop('loss_distill') == 0
        log.pop('distill_weight')
        assert log.keys() == plain_log.keys()
        assert all(torch.equal(log[key], plain_log[key]) for key in log if key != 'grad_norm')


@pytest.mark.parametrize('padding', [0.0, 7.0])
def test_a_caffe_teacher_sees_what_its_own_preprocessor_gives(student, teacher, padding):
    """BGR with std 1 beside RGB with std 57, padded pixels included."""
    teacher.data_preprocessor.update(CAFFE, pad_value=padding)
    model = started(distiller(student, teacher))
    alone = model.frozen_teacher.model
    batch = raw_batch()
    mine = model.data_preprocessor(copy.deepcopy(batch), training=True)
    theirs = alone.data_preprocessor(copy.deepcopy(batch), training=True)
    assert mine['inputs'].shape[-2:] == (96, 128)
    with torch.no_grad():
        expected = alone.extract_feat(theirs['inputs'])
    found = model.frozen_teacher.levels(mine['inputs'], mine['data_samples'])
    for f, e in zip(found, expected):
        torch.testing.assert_close(f, e, rtol=1e-4, atol=1e-4)


def test_batch_resizing_keeps_both_views_aligned(student, teacher):
    augment = [dict(type='BatchSyncRandomResize', random_size_range=(64, 160), size_divisor=32, interval=1)]
    student.data_preprocessor.batch_augments = augment
    teacher.data_preprocessor.update(CAFFE, batch_augments=copy.deepcopy(augment))
    model = started(distiller(student, teacher))
    alone = model.frozen_teacher.model
    MessageHub.get_current_instance().update_info('iter', 0)
    sizes = set()
    for seed in range(4):
        views = []
        for preprocessor in (model.data_preprocessor, alone.data_preprocessor):
            batch = raw_batch()
            set_random_seed(seed)
            preprocessor(copy.deepcopy(batch), training=True)  # draws the size that the next batch has
            views.append(preprocessor(batch, training=True))
        mine, theirs = views
        sizes.add(mine['inputs'].shape[-2:])
        with torch.no_grad():
            expected = alone.extract_feat(theirs['inputs'])
        found = model.frozen_teacher.levels(mine['inputs'], mine['data_samples'])
        for f, e in zip(found, expected):
            torch.testing.assert_close(f, e, rtol=1e-4, atol=1e-4)
    assert len(sizes) > 1


def test_pyramids_of_differing_levels_are_refused_with_both_tables(student, teacher):
    teacher.neck.num_outs = 4
    teacher.rpn_head.anchor_generator.strides = [4, 8, 16, 32]
    with pytest.raises(ConfigError, match=r'(?s)5 levels of the student but 4 of the teacher.*'
                                          r'neck:output\[4\] +16 channels.*teacher.*neck:output\[3\] +32 channels'):
        distiller(student, teacher)


def test_frozen_stages_and_norm_eval_stay_as_in_plain_mmdet(student, teacher):
    student.backbone.update(frozen_stages=1, norm_eval=True)
    plain = MODELS.build(student).train()
    model = distiller(student, teacher).train()
    inside = model.student
    assert {n: m.training for n, m in inside.named_modules()} == {n: m.training for n, m in plain.named_modules()}
    frozen = {n for n, p in plain.named_parameters() if not p.requires_grad}
    assert {n for n, p in inside.named_parameters() if not p.requires_grad} == frozen
    assert 'backbone.layer1.0.conv1.weight' in frozen


def test_checkpointing_in_the_student_changes_no_gradient(student, teacher):
    found = []
    for with_cp in (False, True):
        student.backbone.with_cp = with_cp
        set_random_seed(0)
        model = started(distiller(student, teacher))
        set_random_seed(1)
        total(model, losses_of(model, raw_batch())).backward()
        found.append(gradients(model))
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, rtol=1e-4, atol=1e-6)


def test_mixed_precision_compares_features_in_single_precision():
    model = started(distiller(fashion_model('retinanet_r18'), fashion_model('retinanet_r34')))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = losses_of(model, raw_batch())
    assert losses['loss_distill'].dtype == torch.float32
    total(model, losses).backward()
    assert all(torch.isfinite(grad).all() for grad in gradients(model).values())


def test_hooks_find_the_detector_in_the_student(student, teacher):
    from types import SimpleNamespace

    from mmdet.engine.hooks import NumClassCheckHook
    model = distiller(student, teacher)
    assert model.with_neck
    assert model.with_mask
    assert model.roi_head is model.student.roi_head

    def check(classes):
        dataset = SimpleNamespace(metainfo=dict(classes=tuple('abcdefghijkl'[:classes])))
        runner = SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))
        NumClassCheckHook().before_train_epoch(runner)

    check(10)
    with pytest.raises(AssertionError, match='num_classes'):
        check(11)


def test_a_mode_switch_reaches_the_students_head():
    from types import SimpleNamespace

    from mmdet.engine.hooks import YOLOXModeSwitchHook
    small = without_pretrained(Config.fromfile(_mmdet_config('yolox/yolox_tiny_8xb8-300e_coco.py')).model)
    model = distiller(small, copy.deepcopy(small))
    loader = SimpleNamespace(dataset=SimpleNamespace(update_skip_type_keys=lambda keys: None), persistent_workers=False)
    runner = SimpleNamespace(
        epoch=9, max_epochs=10, model=model, train_dataloader=loader, logger=SimpleNamespace(info=lambda text: None))
    assert not model.student.bbox_head.use_l1
    YOLOXModeSwitchHook(num_last_epochs=1).before_train_epoch(runner)
    assert model.student.bbox_head.use_l1


def _mmdet_config(path):
    import mmdet
    return Path(mmdet.__file__).parent / '.mim/configs' / path


def test_the_exported_student_is_the_one_inside(student, teacher, tmp_path):
    """The same boxes, masks and scores from plain mmdet's own entry points."""
    import numpy as np
    from mmdet.apis import inference_detector, init_detector

    from mmreviewkd.apis import export_student
    cfg = Config.fromfile(CONFIGS / 'fashion_scenes/mask-rcnn_r18_review-r34.py')
    cfg.model.teacher.update(checkpoint='init_cfg')
    set_random_seed(0)
    model = started(MODELS.build(cfg.model))
    optim = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)))
    model.train_step(raw_batch(), optim)
    config = export_student(cfg, model.state_dict(), tmp_path)

    text = config.read_text()
    assert 'mmreviewkd' not in text
    plain = init_detector(str(config), str(tmp_path / 'student.pth'), device='cpu')
    assert {n: tuple(v.shape) for n, v in plain.state_dict().items()} == {
        n: tuple(v.shape) for n, v in model.student.state_dict().items()}

    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    model.eval().cfg = plain.cfg
    for detector in (plain, model):
        (detector if detector is plain else detector.student).roi_head.test_cfg.score_thr = 0.0
    expected, found = inference_detector(plain, image).pred_instances, inference_detector(model, image).pred_instances
    assert len(expected) > 0
    for key in ('bboxes', 'labels', 'scores', 'masks'):
        assert torch.equal(torch.as_tensor(found[key]), torch.as_tensor(expected[key]))


def test_test_time_augmentation_takes_distiller_and_exported_student_alike(tmp_path):
    from mmdet.apis import init_detector
    from mmdet.models import DetTTAModel

    from mmreviewkd.apis import export_student
    cfg = Config.fromfile(CONFIGS / 'fashion_scenes/retinanet_r18_review-r34.py')
    cfg.model.teacher.checkpoint = 'init_cfg'
    cfg.model.student.model.test_cfg.score_thr = 0.0
    model = MODELS.build(cfg.model)
    model.student.init_weights()
    config = export_student(cfg, model.state_dict(), tmp_path)
    plain = init_detector(str(config), str(tmp_path / 'student.pth'), device='cpu')

    straight, flipped = raw_batch(with_mask=False), raw_batch(with_mask=False)
    flipped['inputs'] = [image.flip(-1) for image in flipped['inputs']]
    for sample in flipped['data_samples']:
        sample.set_metainfo(dict(flip=True, flip_direction='horizontal'))
    views = {key: [straight[key], flipped[key]] for key in straight}
    settings = ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=10)
    found, expected = (
        DetTTAModel(settings, module=module.eval()).test_step(copy.deepcopy(views))
        for module in (model, plain))
    for ours, theirs in zip(found, expected):
        assert len(theirs.pred_instances) == 10
        assert torch.equal(ours.pred_instances.bboxes, theirs.pred_instances.bboxes)
        assert torch.equal(ours.pred_instances.scores, theirs.pred_instances.scores)


def test_ddp_finds_no_unused_parameter(student, teacher, tmp_path):
    from mmengine.model import MMDistributedDataParallel
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(started(distiller(student, teacher)))
        optim = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)))
        for _ in range(3):  # a parameter without a gradient stops the step after
            log = model.train_step(raw_batch(), optim)
        assert torch.isfinite(log['loss'])
    finally:
        torch.distributed.destroy_process_group()


def _mmdet_model(path):
    return without_pretrained(_config(_mmdet_config(path)).model)


def _narrower(config):
    student = copy.deepcopy(config)
    student.backbone.depth = 18
    student.neck.in_channels = [64, 128, 256, 512][-len(student.neck.in_channels):]
    return student


BEYOND_THE_PAPER = {
    'fcos': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'atss': 'atss/atss_r50_fpn_1x_coco.py',
    'cascade': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'condinst': 'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    'solov2': 'solov2/solov2-light_r50_fpn_ms-3x_coco.py',
    'deformable_detr': 'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'rtmdet': 'rtmdet/rtmdet_s_8xb32-300e_coco.py',
    'swin': 'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
}


def _pair_beyond_the_paper(family):
    teacher = few_rois(_mmdet_model(BEYOND_THE_PAPER[family]))
    if family == 'rtmdet':
        return _mmdet_model('rtmdet/rtmdet_tiny_8xb32-300e_coco.py'), teacher
    if family == 'swin':
        return _narrower(few_rois(_mmdet_model('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'))), teacher
    if family == 'deformable_detr':
        teacher.encoder.num_layers = teacher.decoder.num_layers = 1
    if family == 'cascade':
        for head in teacher.roi_head.bbox_head:
            head.fc_out_channels = 32
    if family == 'solov2':
        teacher.test_cfg.nms_pre = 10
    return _narrower(teacher), teacher


@pytest.mark.parametrize('family', BEYOND_THE_PAPER)
def test_families_beyond_the_paper(family):
    student, teacher = _pair_beyond_the_paper(family)
    # Some of these models leave parameters to init_weights, as whatever was in memory.
    model = started(distiller(student, teacher))
    batch = raw_batch([(3, 64, 96), (3, 64, 80)], num_classes=80, with_mask=family in ('condinst', 'solov2', 'swin'))
    loss = total(model, losses_of(model, batch))
    loss.backward()
    assert torch.isfinite(loss)
    plain = MODELS.build(student)
    total(started(plain), losses_of(plain, batch)).backward()
    unused = {name for name, p in plain.named_parameters() if p.requires_grad and p.grad is None}
    grads = gradients(model)
    assert {name for name, p in model.named_parameters() if p.requires_grad and grads[name] is None} <= {
        f'student.{name}' for name in unused}
    assert all(parameter.grad is None for parameter in model.frozen_teacher.model.parameters())
    results = model.eval().test_step(batch)
    assert [len(result.pred_instances.bboxes) == len(result.pred_instances.scores) for result in results] == [True] * 2
