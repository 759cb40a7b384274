"""Both entries of a model reach their part of it."""

import torch
from conftest import cifar_classifier
from mmengine.registry import MODELS

from mmreviewkd.models.taps.entry import ENTRIES, run_entry


def test_extract_feat_stops_before_the_head_and_tensor_runs_it():
    model = MODELS.build(cifar_classifier())
    ran = []
    for name in ('backbone', 'neck', 'head.fc'):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    for entry in ENTRIES:
        run_entry(model, torch.zeros(2, 1, 28, 28), None, entry)
    assert ran == ['backbone', 'neck', 'backbone', 'neck', 'head.fc']
