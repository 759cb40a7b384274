"""Weights are converted to the layout of a config's model, of any package."""

import pytest
import torch
import torchvision

from mmreviewkd.apis import convert_checkpoint
from mmreviewkd.models.build import build_model
from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.config import model_config

pytest.importorskip('mmpretrain')

CONFIG = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'


def test_torchvisions_weights_become_a_checkpoint_of_a_zoo_config(tmp_path):
    source = torchvision.models.resnet18()
    torch.save(source.state_dict(), tmp_path / 'published.pth')
    report = convert_checkpoint(CONFIG, str(tmp_path / 'published.pth'), str(tmp_path / 'converted.pth'))
    assert 'entries mapped' in report and 'fc -> head.fc' in report
    converted = torch.load(tmp_path / 'converted.pth', weights_only=True)
    assert converted['meta']['mmreviewkd_version']
    model = build_model(model_config(CONFIG, 'config'), 'model')
    model.load_state_dict(converted['state_dict'], strict=True)
    assert torch.equal(model.backbone.layer4[1].conv2.weight, source.layer4[1].conv2.weight)


def test_weights_of_another_network_leave_no_file(tmp_path):
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / 'published.pth')
    with pytest.raises(CheckpointError, match='does not fit'):
        convert_checkpoint(CONFIG, str(tmp_path / 'published.pth'), str(tmp_path / 'converted.pth'))
    assert [path.name for path in tmp_path.iterdir()] == ['published.pth']
