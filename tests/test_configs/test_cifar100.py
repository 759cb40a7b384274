"""Every config of CIFAR-100, from its file to a training step and a prediction, on a data set of CIFAR-100's format."""

import hashlib
import pickle
import re

import numpy as np
import pytest
import torch
import yaml
from cifar import CONFIGS, NETWORKS, cifar_config, public_state
from conftest import ROOT, others_exhaustive
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mmreviewkd.apis import convert_checkpoint, read_config
from mmreviewkd.apis import test as run_test
from mmreviewkd.utils import CheckpointError

CIFAR100 = pytest.importorskip('mmpretrain.datasets').CIFAR100

# The loss weights that the authors published, else ours, and the widths of the review paths.
PAIRS = {
    'resnet20_review-resnet56': (0.6, 64), 'resnet32_review-resnet110': (1, 64),
    'resnet8x4_review-resnet32x4': (5, 256), 'wrn-16-2_review-wrn-40-2': (5, 128),
    'wrn-40-1_review-wrn-40-2': (5, 64), 'vgg8_review-vgg13': (5, 512),
    'shufflenet-v1_review-resnet32x4': (5, 512), 'shufflenet-v1_review-wrn-40-2': (5, 512),
    'shufflenet-v2_review-resnet32x4': (8, 512), 'mobilenet-v2_review-vgg13': (5, 512),
    'mobilenet-v2_review-resnet50': (30, 512)}
ALONE = [config for config, *_ in NETWORKS.values()]

pytestmark = pytest.mark.usefixtures('probes_of_32_pixels')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A working directory with a data set of 8 images where the configs expect CIFAR-100."""
    place = tmp_path_factory.mktemp('cifar100')
    folder = place / 'data' / 'cifar100' / CIFAR100.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sums = {}
    for name in ('train', 'test'):
        labels = rng.integers(0, 100, 8).tolist()
        sums[name] = _write(folder / name, dict(
            data=rng.integers(0, 256, (8, 3072), dtype=np.uint8), fine_labels=labels,
            coarse_labels=[label // 5 for label in labels], filenames=[f'{name}_{i}.png' for i in range(8)]))
    with pytest.MonkeyPatch.context() as patch:
        # The class still compares checksums: those of these files.
        patch.setattr(CIFAR100, 'train_list', [['train', sums['train']]])
        patch.setattr(CIFAR100, 'test_list', [['test', sums['test']]])
        patch.chdir(place)
        yield place


def _write(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


def _teacher_of(cfg, place):
    """Made-up weights where the config expects those of the teacher's own training."""
    path = place / cfg.model.teacher.checkpoint
    if not path.exists():
        path.parent.mkdir(parents=True)
        torch.manual_seed(0)
        torch.save(dict(state_dict=MODELS.build(cifar_config(path.parent.name).model).state_dict()), path)


def _first_batch(loader):
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    return next(iter(Runner.build_dataloader(loader)))


def _build(cfg):
    torch.manual_seed(0)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    return MODELS.build(cfg.model)


@pytest.mark.parametrize('name', others_exhaustive([*ALONE, *PAIRS], [
    'resnet20_review-resnet56', 'resnet8x4_review-resnet32x4', 'mobilenet-v2_review-resnet50', 'wrn-16-2']))
def test_a_step_and_a_prediction(name, place):
    cfg = cifar_config(name)
    if name in PAIRS:
        _teacher_of(cfg, place)
        cfg.model.warmup_epochs = 0
    model = _build(cfg).train()
    model.init_weights()
    batch = _first_batch(cfg.train_dataloader)
    cfg.optim_wrapper.optimizer.lr *= 2 / 128
    assert batch['inputs'].shape == (2, 3, 32, 32)
    before = {key: value.clone() for key, value in model.named_parameters()}
    losses = model.train_step(batch, build_optim_wrapper(model, cfg.optim_wrapper))
    assert torch.isfinite(losses['loss'])
    still = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert still == []
    if name in PAIRS:
        assert losses['loss'] > losses['loss_distill'] > 0
        assert (losses['distill_weight'], model.connector.mid_channels) == pytest.approx(PAIRS[name])

    with torch.no_grad():
        results = model.eval().val_step(_first_batch(cfg.val_dataloader))
    assert len(results) == 2
    for result in results:
        assert result.pred_score.shape == (100,) and result.pred_score.sum() == pytest.approx(1, rel=1e-4)
        assert 0 <= int(result.gt_label) < 100


@pytest.mark.parametrize('name', PAIRS)
def test_a_pair_has_the_student_alone_and_a_teacher_of_the_same_name(name):
    cfg = cifar_config(name)
    student, teacher = name.split('_review-')
    alone = cifar_config(student)
    assert cfg.model.student.model == alone.model
    assert cfg.model.teacher.model == f'mmreviewkd::cifar100/{teacher}.py'
    assert cfg.model.teacher.checkpoint == f'work_dirs/{teacher}/epoch_{cfg.train_cfg.max_epochs}.pth'
    assert cfg.model.warmup_epochs == 20
    small = student.startswith(('shufflenet', 'mobilenet'))
    assert cfg.optim_wrapper.optimizer.lr == (0.02 if small else 0.1)
    for config in (cfg, alone):
        config.pop('model')
        config.pop('custom_hooks')
        config.pop('taps', None)
    assert cfg.to_dict() == alone.to_dict()


def test_published_weights_are_converted_and_then_tested(place):
    torch.save(dict(model=public_state('vgg8')), 'published.pth')
    config = str(CONFIGS / 'vgg8.py')
    options = {'test_dataloader.num_workers': 0, 'test_dataloader.persistent_workers': False}
    with pytest.raises(CheckpointError, match=f'to_openmmlab.py {config} published.pth converted.pth'):
        run_test(config, 'published.pth', cfg_options={**options, 'experiment_name': 'published'})
    convert_checkpoint(config, 'published.pth', 'converted.pth')
    metrics = run_test(config, 'converted.pth', cfg_options={**options, 'experiment_name': 'converted'})
    assert set(metrics) == {'accuracy/top1', 'accuracy/top5'}


def test_logits_beside_the_features_are_one_option(place):
    """As the README says it on a command line."""
    command = re.search(r'(configs/cifar100/\S+\.py) --cfg-options((?:[\s\\]+model\.\S+=\S+)+)', _readme())
    options = dict(option.split('=', 1) for option in command[2].replace('\\', ' ').split())
    cfg = read_config(str(ROOT / command[1]), cfg_options=options)
    _teacher_of(cfg, place)
    model = _build(cfg)
    losses = model.train_step(
        _first_batch(cfg.train_dataloader), build_optim_wrapper(model, cfg.optim_wrapper))
    assert losses['loss_logit'] > 0 and losses['loss_distill'] > 0 and torch.isfinite(losses['loss'])


def _readme():
    return (CONFIGS / 'README.md').read_text()


def test_the_metafile_has_them_all_and_says_whose_figures_they_are():
    models = yaml.safe_load((CONFIGS / 'metafile.yml').read_text())['Models']
    assert sorted(model['Name'] for model in models) == sorted(f'{name}_cifar100' for name in [*PAIRS, *ALONE])
    for model in models:
        assert (ROOT / model['Config']).is_file() and model['Config'].endswith(f'/{model["Name"][:-9]}.py')
        assert ('Results' in model) == (model['Metadata'].get('Figures From') == 'the paper')
    assert 'configs/cifar100/metafile.yml' in Config.fromfile(ROOT / 'model-index.yml').Import
    assert all(f']({name}.py)' in _readme() for name in [*PAIRS, *ALONE])
