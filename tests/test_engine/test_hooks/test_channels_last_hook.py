"""Training in the channels-last memory format."""

from types import SimpleNamespace

import torch
from conftest import gray_batch, review_config
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import EpochBasedTrainLoop


def test_student_connector_and_teacher_are_converted_and_give_the_same_losses():
    torch.manual_seed(0)
    model = MODELS.build(review_config())
    model.init_weights()
    model.train()
    batch = model.data_preprocessor(gray_batch(), True)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    before = model(**batch, mode='loss')
    model.load_state_dict(buffers, strict=False)

    HOOKS.build(dict(type='mmreviewkd.ChannelsLastHook')).before_run(
        SimpleNamespace(model=model, _train_loop=object.__new__(EpochBasedTrainLoop)))
    weights = [
        model.student.backbone.layer2[0].conv1.weight, model.connector.blocks[0].conv2[0].weight]
    model.frozen_teacher.apply(lambda teacher: weights.append(teacher.backbone.layer2[0].conv1.weight))
    assert len(weights) == 3
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    after = model(**batch, mode='loss')
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-5)
