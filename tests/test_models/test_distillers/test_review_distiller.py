"""The distiller at its public surface: a config in, losses and gradients out."""

import copy

import numpy as np
import pytest
import textbook
import torch
from conftest import STAGES, STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.utils import ConfigError, TapError

DataSample = pytest.importorskip('mmpretrain.structures').DataSample


def built(**changes):
    torch.manual_seed(0)
    distiller = MODELS.build(review_config(**changes))
    distiller.init_weights()
    return distiller


def step(distiller, **batch):
    return distiller(**distiller.data_preprocessor(gray_batch(**batch), True), mode='loss')


def imagenet_resnet(depth):
    return dict(
        type='ImageClassifier',
        data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
        backbone=dict(type='ResNet', depth=depth, base_channels=16, stem_channels=16),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=128, loss=dict(type='CrossEntropyLoss')))


def test_a_whole_step_equals_the_step_by_hand():
    """Loss and all student gradients of a ResNet-18 distilled from a ResNet-34, in double precision."""
    taps = [*(f'backbone.layer{i}[-1].relu:input' for i in (1, 2, 3, 4)), 'neck']
    torch.manual_seed(0)
    distiller = MODELS.build(dict(
        type='mmreviewkd.ReviewDistiller',
        student=dict(model=imagenet_resnet(18), taps=taps),
        teacher=dict(model=imagenet_resnet(34), taps=taps, checkpoint='init_cfg'),
        distill_loss=dict(type='HierarchicalContextLoss', loss_weight=3.0)))
    distiller.init_weights()
    distiller.double()
    batch = gray_batch(4, pixels=64)
    batch['inputs'] = batch['inputs'].repeat(1, 3, 1, 1)
    data = distiller.data_preprocessor(batch, True)
    inputs = data['inputs'].double()
    twin, teacher = copy.deepcopy(distiller.student), distiller.frozen_teacher.model
    path = dict(copy.deepcopy(distiller.connector).named_parameters())

    losses = distiller(inputs, data['data_samples'], mode='loss')
    total, _ = distiller.parse_losses(losses)
    total.backward()

    def by_hand(net, x):
        net = net.backbone
        x = net.maxpool(torch.relu(net.bn1(net.conv1(x))))
        levels = []
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            for block in stage:
                shortcut = x if block.downsample is None else block.downsample(x)
                before = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x))))) + shortcut
                x = torch.relu(before)
            levels.append(before)
        return [*levels, x.mean((2, 3), keepdim=True)]

    students = by_hand(twin, inputs)
    with torch.no_grad():
        teachers = by_hand(teacher, inputs)
    labels = torch.cat([sample.gt_label for sample in data['data_samples']])
    own = nn.functional.cross_entropy(twin.head.fc(students[-1].flatten(1)), labels)
    outputs = textbook.review_path(students, [t.shape[2:] for t in teachers], path)
    expected = own + 3.0 * textbook.hcl(outputs, teachers)
    expected.backward()

    torch.testing.assert_close(losses['loss_student'], own, rtol=1e-10, atol=0)
    torch.testing.assert_close(total, expected, rtol=1e-10, atol=0)
    for (name, ours), theirs in zip(distiller.student.named_parameters(), twin.parameters()):
        torch.testing.assert_close(
            ours.grad, theirs.grad, rtol=1e-8, atol=1e-10 * float(theirs.grad.abs().max()), msg=name)
    for name, ours in distiller.connector.named_parameters():
        torch.testing.assert_close(
            ours.grad, path[name].grad, rtol=1e-8, atol=1e-10 * float(path[name].grad.abs().max()), msg=name)


def test_the_student_is_built_and_initialized_as_alone():
    torch.manual_seed(5)
    np.random.seed(5)
    alone = MODELS.build(cifar_classifier())
    alone.init_weights()
    after = torch.rand(3), np.random.rand(3)

    torch.manual_seed(5)
    np.random.seed(5)
    distiller = MODELS.build(review_config())
    distiller.init_weights()
    for ours, theirs in zip(distiller.student.state_dict().values(), alone.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    step(distiller)
    assert torch.equal(torch.rand(3), after[0])
    assert np.array_equal(np.random.rand(3), after[1])


def test_the_log_shows_the_students_losses_and_the_weight():
    distiller = built()
    losses = step(distiller)
    assert list(losses) == ['loss_student', 'loss_distill', 'distill_weight']
    total, log = distiller.parse_losses(losses)
    torch.testing.assert_close(total, losses['loss_student'] + losses['loss_distill'])
    assert log['distill_weight'] == 1.0
    assert log['loss'] == total


@pytest.mark.parametrize(('warmup', 'now', 'factor'), [
    (dict(warmup_epochs=20), dict(epoch=0), 0.0),
    (dict(warmup_epochs=20), dict(epoch=5), 0.25),
    (dict(warmup_epochs=20), dict(epoch=30), 1.0),
    (dict(warmup_iters=100), dict(iter=1), 0.01),
    (dict(warmup_iters=100), dict(iter=100), 1.0),
    (dict(warmup_ratio=0.05), dict(iter=0), 0.0),
    (dict(warmup_ratio=0.05), dict(iter=10), 0.25),
    (dict(warmup_ratio=0.05), dict(iter=500), 1.0),
])
def test_warm_up_follows_the_runner(warmup, now, factor):
    hub = MessageHub.get_instance(f'warmup_{warmup}_{now}')
    hub.update_info_dict(dict(loop_stage='train', max_epochs=40, max_iters=800, **now))
    full = step(built())['loss_distill']
    hub.update_info('loop_stage', 'train')
    losses = step(built(distill_loss=dict(type='HierarchicalContextLoss', loss_weight=2.0), **warmup))
    torch.testing.assert_close(losses['loss_distill'], 2 * factor * full)
    assert losses['distill_weight'] == pytest.approx(2 * factor)


def test_a_warm_up_that_never_ends_is_refused():
    hub = MessageHub.get_instance('one_epoch')
    hub.update_info_dict(dict(loop_stage='train', max_epochs=1, epoch=0))
    with pytest.raises(ConfigError, match='use warmup_iters'):
        step(built(warmup_epochs=5))


def test_predicting_needs_no_teacher(tmp_path):
    distiller = MODELS.build(review_config(
        teacher=dict(model=cifar_classifier(14), checkpoint=str(tmp_path / 'absent.pth'), taps=STAGES_BEFORE_RELU)))
    distiller.eval()
    with torch.no_grad():
        predictions = distiller.test_step(gray_batch())
        expected = distiller.student.test_step(gray_batch())
        logits = distiller(torch.zeros(2, 1, 28, 28))
    assert not distiller.frozen_teacher.loaded
    assert logits.shape == (2, 10)
    for ours, theirs in zip(predictions, expected):
        assert torch.equal(ours.pred_score, theirs.pred_score)


def test_logit_and_feature_losses_combine():
    distiller = built(
        student=dict(model=cifar_classifier(), taps=STAGES, logits='head.fc'),
        teacher=dict(
            model=cifar_classifier(14), checkpoint='init_cfg', taps=STAGES_BEFORE_RELU, logits='head.fc'),
        logit_loss=dict(type='LogitDistillationLoss', temperature=2.0))
    losses = step(distiller)
    assert {'loss_student', 'loss_distill', 'loss_logit'} <= set(losses)
    distiller.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in distiller.parameters())


def test_any_size_of_image_and_any_pair():
    distiller = built(
        student=dict(model=dict(
            type='ImageClassifier',
            backbone=dict(type='MobileNetV2', widen_factor=0.35, out_indices=(1, 2, 4)),
            neck=dict(type='GlobalAveragePooling')), taps=['backbone']),
        teacher=dict(
            model=dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=8)),
            checkpoint='init_cfg', taps=['backbone.layer1', 'backbone.layer2', 'backbone.layer3']))
    channels = [block.conv1[0].in_channels for block in distiller.connector.blocks]
    assert channels == [8, 16, 32]
    features = {}
    distiller.student.loss = lambda inputs, data_samples: features.update(
        f=distiller.student.extract_feat(inputs)) or dict(loss=inputs.sum() * 0)
    for size in ((65, 97), (224, 160)):
        losses = distiller(torch.randn(2, 3, *size), [], mode='loss')
        assert torch.isfinite(losses['loss_distill'])


def test_a_student_of_tokens_has_the_same_gradients_with_fast_and_plain_review():
    transformer = dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer', img_size=64,
            arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)),
        head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=24))
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    found = []
    for implementation in ('plain', 'fast'):
        torch.manual_seed(0)
        distiller = built(
            student=dict(model=transformer, taps=[
                dict(type='TokensToMap', tap=f'backbone.layers[{i}]', num_extra_tokens=1) for i in (0, 1)]),
            teacher=dict(
                model=dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=8)),
                checkpoint='init_cfg', taps=['backbone.layer2', 'backbone.layer3']),
            connector=dict(type='ReviewConnector', implementation=implementation))
        distiller(images, [DataSample().set_gt_label(i) for i in (0, 1)], mode='loss')['loss_distill'].backward()
        found.append({name: p.grad for name, p in distiller.named_parameters() if p.grad is not None})
    plain, fast = found
    assert plain.keys() == fast.keys()
    assert plain['student.backbone.patch_embed.projection.weight'].abs().max() > 0
    for name, grad in plain.items():
        torch.testing.assert_close(fast[name], grad, rtol=1e-3, atol=1e-4 * float(grad.abs().max()) + 1e-7)


def test_what_hooks_look_for_is_found_in_the_student():
    distiller = built()
    assert distiller.head is distiller.student.head
    assert distiller.with_head
    assert distiller.data_preprocessor is distiller.student.data_preprocessor
    with pytest.raises(AttributeError, match='no_such_thing'):
        distiller.no_such_thing  # noqa: B018


def test_amp_keeps_the_step_within_half_precision():
    distiller = built().train()
    exact = step(distiller)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        rough = step(built().train())
    for name in ('loss_student', 'loss_distill'):
        torch.testing.assert_close(rough[name].float(), exact[name], rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize(('changes', 'error', 'message'), [
    (dict(student=dict(model=cifar_classifier(), taps=STAGES[:3])), ConfigError, r'3 levels of the student but 4 of'),
    (dict(student=dict(model=cifar_classifier(), taps=['backbone.layr1'])), TapError, "did you mean 'backbone.layer1'"),
    (dict(student=dict(model=cifar_classifier(), tap=STAGES)), ConfigError, "unknown key 'tap': did you mean 'taps'"),
    (dict(student=dict(taps=STAGES)), ConfigError, 'student has no `model`'),
    (dict(student=dict(model=dict(type='mmpretrain.ResNet', depth=18), taps=STAGES)), ConfigError, 'BaseModel'),
    (dict(conector=None), ConfigError, "did you mean 'connector'"),
    (dict(connector=dict(type='ReviewConnector', mid_chanels=3)), ConfigError, "did you mean 'mid_channels'"),
    (dict(connector=dict(type='ReviewConector')), ConfigError, 'connector: .*ReviewConector is not in'),
    (dict(distill_loss=dict(type='HierarchicalContextLoss', weight=3)), ConfigError, "unknown key 'weight'"),
    (dict(distill_loss=None), ConfigError, 'nothing would be distilled'),
    (dict(warmup_epochs=1, warmup_iters=1), ConfigError, 'warmup_epochs and warmup_iters are given; keep one'),
    (dict(warmup_epochs=1, warmup_ratio=0.1), ConfigError, 'warmup_epochs and warmup_ratio are given; keep one'),
    (dict(warmup_ratio=5), ConfigError, 'warmup_ratio=5 is no share of the training'),
    (dict(logit_loss=dict(type='LogitDistillationLoss')), ConfigError, 'student.logits belong together'),
])
def test_bad_configs_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        MODELS.build(review_config(**changes))


def test_class_counts_may_differ_for_features_but_not_for_logits():
    student = dict(model=cifar_classifier(num_classes=5), taps=STAGES)
    MODELS.build(review_config(student=student))
    with pytest.raises(ConfigError, match=r'gives 5 classes and teacher.logits \(.head.fc.\) 10'):
        MODELS.build(review_config(
            student=dict(**student, logits='head.fc'),
            teacher=dict(
                model=cifar_classifier(14), checkpoint='init_cfg', taps=STAGES_BEFORE_RELU, logits='head.fc'),
            logit_loss=dict(type='LogitDistillationLoss')))


def test_images_too_small_for_a_level_are_named():
    vgg = dict(
        type='ImageClassifier', backbone=dict(type='VGG', depth=11, out_indices=(2, 3, 4)))
    taps = ['backbone']
    distiller = built(
        student=dict(model=vgg, taps=taps), teacher=dict(model=vgg, checkpoint='init_cfg', taps=taps))
    with pytest.raises(ConfigError, match='images of 20 x 20 pixels make a level smaller than 1 pixel'):
        distiller(torch.randn(2, 3, 20, 20), [], mode='loss')


def test_several_views_of_an_image_are_refused():
    with pytest.raises(ConfigError, match=r'the batch is a list of 2, such as the views of a self-supervised model'):
        built()([torch.zeros(2, 1, 28, 28)] * 2, [], mode='loss')


def test_a_student_with_a_teacher_of_its_own_is_refused():
    model = dict(type='mmdet.KnowledgeDistillationSingleStageDetector', teacher_config='configs/gfl/gfl_r101.py')
    with pytest.raises(ConfigError, match='KnowledgeDistillationSingleStageDetector, which distills from a teacher of'):
        MODELS.build(review_config(student=dict(model=model, taps=['neck'])))


@MODELS.register_module()
class ClipRecognizer(BaseModel):
    """A recognizer of clips ``[N, frames, C, H, W]`` by the mean over their frames, like mmaction2's."""

    def __init__(self, channels, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.backbone = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Linear(channels, 2)

    def extract_feat(self, inputs):
        return self.backbone(inputs.view(-1, *inputs.shape[2:]))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        scores = self.head(self.extract_feat(inputs).mean((2, 3))).unflatten(0, (len(inputs), -1)).mean(1)
        return {'loss_cls': scores.square().mean()} if mode == 'loss' else scores


def test_clips_are_distilled_frame_by_frame_by_the_shape_of_one():
    def config(**changes):
        return dict(
            type='mmreviewkd.ReviewDistiller',
            student=dict(model=dict(type='ClipRecognizer', channels=4), taps=['backbone']),
            teacher=dict(model=dict(type='ClipRecognizer', channels=6), taps=['backbone'], checkpoint='init_cfg'),
            **changes)

    with pytest.raises(ConfigError, match=r'student.taps: ClipRecognizer could not be run .*\(1, 3, 224, 224\) for cl'):
        MODELS.build(config())
    distiller = MODELS.build(config(image_shape=(1, 3, 16, 16)))
    distiller.init_weights()
    losses = distiller.loss(torch.randn(2, 5, 3, 16, 16))
    losses['loss_distill'].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in distiller.student.backbone.parameters())
    automatic = config(image_shape=(1, 3, 16, 16))
    automatic['student']['taps'] = automatic['teacher']['taps'] = 'auto'
    with pytest.raises(ConfigError, match=r"taps='auto' looks for maps of images .*but image_shape is \(1, 3, 16, 1"):
        MODELS.build(automatic)
