"""Each entry of a model reaches its part of it."""

import torch
from conftest import cifar_classifier
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import nn

from mmreviewkd.models.taps.entry import entries_of, run_entry


def test_extract_feat_stops_before_the_head_and_tensor_runs_it():
    model = MODELS.build(cifar_classifier())
    ran = []
    for name in ('backbone', 'neck', 'head.fc'):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    assert entries_of(model) == ['extract_feat', 'tensor']
    for entry in entries_of(model):
        run_entry(model, torch.zeros(2, 1, 28, 28), None, entry)
    assert ran == ['backbone', 'neck', 'backbone', 'neck', 'head.fc']


def test_the_student_of_a_semi_supervised_model_is_reached():
    model = nn.Module()
    model.student = MODELS.build(cifar_classifier())
    ran = []
    model.student.neck.register_forward_hook(lambda *_: ran.append('neck'))
    assert entries_of(model) == ['call', 'student.extract_feat']
    run_entry(model, torch.zeros(2, 1, 28, 28), None, 'student.extract_feat')
    assert ran == ['neck']


def test_a_module_of_plain_pytorch_is_called_with_its_images():
    model, seen = nn.Flatten(), []
    model.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    assert entries_of(model) == ['call']
    run_entry(model, torch.zeros(2, 3, 4, 4), None, 'call')
    assert seen == [(2, 48)]


def test_an_extract_feat_of_two_parameters_is_given_the_metadata():
    seen = []

    class Fusing(nn.Module):
        def extract_feat(self, batch_inputs_dict, batch_input_metas):
            seen.append((batch_inputs_dict, batch_input_metas))

    batch = dict(imgs=torch.zeros(1, 3, 4, 4))
    run_entry(Fusing(), batch, [BaseDataElement(metainfo=dict(img_shape=(4, 4)))], 'extract_feat')
    run_entry(Fusing(), batch, None, 'extract_feat')
    assert seen == [(batch, [dict(img_shape=(4, 4))]), (batch, [])]
