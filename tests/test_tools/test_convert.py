"""A public checkpoint, converted by the tool, is tested, and loaded, as mmpretrain's own are."""

import pytest
import torch
from cifar import CONFIGS, network, public_state
from conftest import ROOT, run_tool

from mmreviewkd.apis import convert_checkpoint
from mmreviewkd.utils import CheckpointError, ConfigError

CONFIG = str(CONFIGS / 'wrn-16-2.py')


@pytest.fixture
def published(tmp_path):
    """As parallel training leaves it: under 'model', each name behind 'module.'."""
    state = {f'module.{entry}': value.float() for entry, value in public_state('wrn_16_2').items()}
    torch.save(dict(epoch=240, model=state, best_acc=75.0), tmp_path / 'published.pth')
    return tmp_path / 'published.pth'


def test_the_tool_writes_what_mmpretrain_loads_strictly(published, tmp_path):
    out = tmp_path / 'new' / 'wrn.pth'
    done = run_tool(ROOT / 'tools/model_converters/to_openmmlab.py', CONFIG, published, out, cwd=tmp_path)
    assert '83 of 83 entries mapped' in done.stdout and 'fc -> head.fc' in done.stdout
    assert list(out.parent.iterdir()) == [out]
    model = network('wrn_16_2')
    model.load_state_dict(torch.load(out, weights_only=True)['state_dict'], strict=True)
    assert torch.equal(model.head.fc.weight, public_state('wrn_16_2')['fc.weight'].float())
    again = tmp_path / 'again.pth'
    assert '83 entries already have the names of the model' in convert_checkpoint(CONFIG, str(out), str(again))


def test_weights_that_do_not_fit_leave_no_file(published, tmp_path):
    out = tmp_path / 'out.pth'
    with pytest.raises(CheckpointError, match='missing'):
        convert_checkpoint(str(CONFIGS / 'wrn-40-2.py'), str(published), str(out))
    with pytest.raises(ConfigError, match='no config file'):
        convert_checkpoint('absent.py', str(published), str(out))
    assert not out.exists()
