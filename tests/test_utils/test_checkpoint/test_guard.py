"""MMEngine reads checkpoints as data by every scheme and entry point."""

import re
from pathlib import Path

import pytest
import torch
from conftest import run_tool, small_run
from hostile import HOSTILE
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner import checkpoint as mmengine_checkpoint
from pickles import write_archive
from torch import nn

import mmreviewkd.registry  # noqa: F401  (guards MMEngine's loader)
from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint.download import cached_path

SCHEMES = {
    'torchvision://resnet18': 'https://download.pytorch.org/models/resnet18-f37072fd.pth',
    'modelzoo://resnet18': 'https://download.pytorch.org/models/resnet18-f37072fd.pth',
    'open-mmlab://vgg16_caffe': None, 'openmmlab://vgg16_caffe': None, 'mmcls://vgg11': None,
    'https://example.invalid/weights.pth': 'https://example.invalid/weights.pth',
    'http://example.invalid/weights.pth': 'http://example.invalid/weights.pth',
}


def url_of(source: str) -> str:
    models = mmengine_checkpoint.get_mmcls_models() if source.startswith('mmcls') else (
        mmengine_checkpoint.get_external_models())
    return SCHEMES[source] or models[source.partition('://')[2]]


@pytest.fixture
def hub_file(tmp_path, monkeypatch):
    """Puts a hostile file where the download of a URL would be, by our name and by that of torch's hub."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    monkeypatch.chdir(tmp_path)

    def place(url, pickled=HOSTILE['os.system']):
        for path in (cached_path(url), tmp_path / 'hub' / 'checkpoints' / url.rpartition('/')[2]):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_archive(path, pickled)
    return place


@pytest.mark.parametrize('source', SCHEMES)
def test_no_scheme_runs_a_file_of_the_cache(source, hub_file, tmp_path):
    hub_file(url_of(source))

    class Network(BaseModule):
        def __init__(self):
            super().__init__(init_cfg=dict(type='Pretrained', checkpoint=source))

    for read in (
            lambda: CheckpointLoader.load_checkpoint(source), lambda: load_checkpoint(nn.Linear(1, 1), source),
            lambda: mmengine_checkpoint.load_from_http(source), Network().init_weights):
        with pytest.raises(CheckpointError, match='holds more than data'):
            read()
    assert not (tmp_path / 'pwned').exists()


def test_schemes_that_are_registered_later_are_guarded(hub_file, tmp_path):
    @CheckpointLoader.register_scheme(prefixes='later://', force=True)
    def load_from_later(filename, map_location=None):
        (tmp_path / 'pwned').mkdir()

    with pytest.raises(CheckpointError, match=r"'later://weights.pth' cannot be read by MMEngine's file backends"):
        CheckpointLoader.load_checkpoint('later://weights.pth')
    assert not (tmp_path / 'pwned').exists()


def test_weights_of_a_list_are_loaded(hub_file, tmp_path):
    source = 'mmcls://vgg11'
    torch.save(dict(state_dict={'backbone.weight': torch.ones(1), 'head.weight': torch.ones(1)}), tmp_path / 'file')
    hub_file(url_of(source))
    cached_path(url_of(source)).write_bytes((tmp_path / 'file').read_bytes())
    assert [*CheckpointLoader.load_checkpoint(source)['state_dict']] == ['weight']


TRAIN_BY_ANOTHER_TOOL = """
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

@DATASETS.register_module()
class Numbers(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.ones(1)

@MODELS.register_module()
class Weight(BaseModel):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fc = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.fc(torch.stack(inputs)).sum())

for name in ('load_from', 'init_cfg'):
    try:
        Runner.from_cfg(Config.fromfile(f'{name}.py')).train()
    except ValueError as error:
        print(name, error)
"""


@pytest.mark.slow
def test_other_tools_are_guarded_once_the_config_names_the_plugin(tmp_path):
    """As mmpretrain's and mmdet's own tools train: nothing of ours is called but what the config names."""
    write_archive(tmp_path / 'evil.pth', HOSTILE['os.system'])
    for key, model, load_from in (
            ('load_from', {}, 'evil.pth'),
            ('init_cfg', dict(init_cfg=dict(type='Pretrained', checkpoint='evil.pth')), None)):
        Config(dict(
            model=dict(type='Weight', **model), load_from=load_from, work_dir='run', experiment_name=key,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), train_cfg=dict(by_epoch=True, max_epochs=1),
            custom_hooks=[dict(type='mmreviewkd.ChannelsLastHook')],
            train_dataloader=dict(
                dataset=dict(type='Numbers'), sampler=dict(type='DefaultSampler', shuffle=False), batch_size=1,
                collate_fn=dict(type='pseudo_collate')))).dump(tmp_path / f'{key}.py')
    (tmp_path / 'train.py').write_text(TRAIN_BY_ANOTHER_TOOL)
    done = run_tool(tmp_path / 'train.py', cwd=tmp_path)
    for key in ('load_from', 'init_cfg'):
        assert re.search(f'^{key} .* holds more than data', done.stdout, re.MULTILINE), done.stdout[-3000:]
    assert not (tmp_path / 'pwned').exists()


@pytest.mark.slow
def test_mmpretrains_own_tool_is_guarded(fashion_mnist, tmp_path):
    mmpretrain = pytest.importorskip('mmpretrain')
    write_archive(tmp_path / 'evil.pth', HOSTILE['os.system'])
    small_run('resnet8_review-resnet14.py', fashion_mnist).dump(tmp_path / 'config.py')
    done = run_tool(
        Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py', 'config.py', '--cfg-options',
        'load_from=evil.pth', cwd=tmp_path, check=False)
    assert done.returncode and "'evil.pth' (528 bytes) holds more than data" in done.stderr, done.stderr[-3000:]
    assert not (tmp_path / 'pwned').exists()


class Inferencer(BaseInferencer):
    preprocess = visualize = postprocess = _init_pipeline = None


def test_the_config_text_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    """MMEngine runs `meta.config` when it resumes, and `runtime_info.cfg` when it infers."""
    monkeypatch.chdir(tmp_path)
    text = "x = __import__('os').mkdir('pwned')\ngpu_ids = [0]\ncustom_imports = dict(imports=['absent'])"
    with pytest.raises(ImportError):
        Config.fromstring(text, '.py')
    (tmp_path / 'pwned').rmdir()
    torch.save(dict(state_dict={}, meta=dict(config=text), message_hub=dict(
        runtime_info=dict(cfg=text, lr=0.1), log_scalars=dict(loss=HistoryBuffer([1.0], [1])))), 'file.pth')
    found = CheckpointLoader.load_checkpoint('file.pth')
    assert Config.fromstring(found['meta']['config'], '.py').gpu_ids == [0]
    assert found['message_hub']['runtime_info'] == dict(cfg='gpu_ids = [0]', lr=0.1)
    with pytest.raises(AttributeError, match="no attribute 'model'"):
        Inferencer(weights='file.pth', scope='mmengine')
    assert not (tmp_path / 'pwned').exists()
