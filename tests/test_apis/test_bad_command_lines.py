"""What a user can mistype on a command line or in a config file ends in one line, without a traceback."""

import logging
import math
import runpy
import sys
import uuid

import pytest
import torch
from conftest import ROOT, run_tool, small_run
from mmengine.registry import DefaultScope

from mmreviewkd.models.build import build_model

TOOLS = ROOT / 'tools'
pytestmark = pytest.mark.slow
LAUNCHED = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'SLURM_PROCID', 'SLURM_NTASKS',
            'SLURM_NODELIST', 'OMPI_COMM_WORLD_LOCAL_RANK')


@pytest.fixture(scope='module')
def files(tmp_path_factory, fashion_mnist):
    """A folder with a good config, a checkpoint, and files that are not what they should be."""
    folder = tmp_path_factory.mktemp('files')
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist, **{'model.warmup_iters': 1})
    cfg.dump(folder / 'good.py')
    small_run('resnet8.py', fashion_mnist).dump(folder / 'alone.py')
    DefaultScope.overwrite_default_scope('mmpretrain')
    student = build_model(dict(cfg.model.student.model, _scope_='mmpretrain'), 'model')
    torch.save(dict(state_dict={f'student.{name}': value for name, value in student.state_dict().items()}),
               folder / 'student.pth')
    broken = {name: value.clone() for name, value in student.state_dict().items()}
    broken['head.fc.bias'][0] = math.nan
    torch.save(dict(state_dict={f'student.{name}': value for name, value in broken.items()}), folder / 'nan.pth')
    (folder / 'folder.pth').mkdir()
    (folder / 'file').write_text('')
    texts = dict(
        empty='', comment='# nothing\n', syntax='model = dict(type=\n', indent='model = 1\n  x = 2\n',
        missing_import="_base_ = './good.py'\nimport no_such_module\n",
        bad_import="from torch.nn import nonsense\nmodel = dict(type=nonsense)\n",
        raises='raise ValueError("my own mistake")\n', undefined='model = modle\n', division='x = 1 / 0\n',
        missing_base="_base_ = './absent.py'\n", base_number='_base_ = 5\n', base_scope="_base_ = 'mmnone::x.py'\n",
        base_syntax="_base_ = './syntax.py'\n", custom_imports="_base_ = './good.py'\ncustom_imports = dict("
        "imports=['no_such_module'], allow_failed_imports=False)\n", binary='\0\1', reserved='filename = 5\n',
        no_train="_base_ = './good.py'\ntrain_dataloader = None\n",
        trains_nothing="_base_ = './good.py'\ntrain_dataloader = train_cfg = optim_wrapper = None\n",
        tests_nothing="_base_ = './good.py'\ntest_dataloader = test_cfg = test_evaluator = None\n",
        misspelt="_base_ = './good.py'\noptim_wraper = dict()\noptim_wrapper = None\n",
        no_model="_base_ = './good.py'\nmodle = dict()\nmodel = None\n", model_text="model = 'resnet'\n",
        no_type='model = dict(a=1)\n', hook="_base_ = './good.py'\ncustom_hooks = "
        "[dict(type='mmreviewkd.ExportStudentHok')]\n", only_model="model = dict(type='ReviewDistiller')\n")
    for name, text in texts.items():
        (folder / f'{name}.py').write_text(text)
    (folder / 'broken.json').write_text('{"model": ')
    (folder / 'broken.yaml').write_text('model: [')
    (folder / 'text.txt').write_text('hello')
    return folder


OPTIONS = [
    # What --cfg-options are given, and what the message must contain.
    ('nonsense', 'key=value'), ('=5', 'key=value'), ('a..b=5', 'key=value'), ('.=5', 'key=value'),
    ('a=1,(2', 'brackets'), ('model.taps=[1', 'brackets do not match'),
    ('model=5', '`model` must be a dict'), ('model.type=mmreviewkd.ReviewDistiler', 'mmreviewkd.ReviewDistiller'),
    ('model.type=5', 'type must be'), ('model.warmup_iters=-1', 'warmup_iters'),
    ('model.warmup_iters=x', 'warmup_iters'),
    ('model.warmup_iters=100', 'longer than the run of 12 iterations'),
    ('model.warmup_epochs=5 model.warmup_iters=0', 'longer than the run of 2 epochs'),
    ('model.distill_loss.loss_weight=-1', 'loss_weight'), ('model.distill_loss.loss_weight=nan', 'loss_weight'),
    ('model.distill_loss.type=HierarchicalContextLos', 'HierarchicalContextLoss'),
    ('model.student.model.type=ImageClasifier', 'mmpretrain.ImageClassifier'),
    ('model.student.tap=x', "did you mean 'taps'"), ('model.student.taps=backbone', 'student.taps must be a list'),
    ('model.teacher.checkpoint=missing.pth', 'missing.pth'), ('model.teacher.checkpoint=folder.pth', 'folder.pth'),
    ('model.teacher.model=mmpretrain::resnet/resnet8.py', 'has no config'), ('model.connector.with_cp=no', 'with_cp'),
    ('model.compile=yes', 'compile'), ('model.0=5', 'unknown key'), ('model.student.taps.9=5', '--cfg-options'),
    ('model.student.taps.x=5', '--cfg-options'), ('train_dataloader=5', '`train_dataloader` must be a dict'),
    ('train_dataloader.batch_size=x', 'cannot be built'), ('train_dataloader.batch_size=0', 'cannot be built'),
    ('train_dataloader.num_workers=-1', 'cannot be built'), ('train_dataloader.nonsense=1', 'nonsense'),
    ('train_dataloader.dataset.type=FashionMNST', 'mmpretrain.FashionMNIST'),
    ('train_dataloader.dataset.data_root=/nowhere', 'cannot be built'),
    ('train_dataloader.sampler.type=DefaultSamplr', 'mmengine.DefaultSampler'),
    ('train_cfg=None', '`train_cfg`'), ('train_cfg=5', '`train_cfg` must be a dict'),
    ('train_cfg.max_epochs=x', 'train_cfg.max_epochs must be an integer'), ('train_cfg.nonsense=1', 'nonsense'),
    ('train_cfg.type=EpochBasedTrainLop', 'by_epoch'), ('train_cfg.max_epochs=0', 'train_cfg.max_epochs'),
    ('train_cfg.by_epoch=yes', 'train_cfg.by_epoch must be True or False'),
    ('train_cfg.val_interval=0', 'train_cfg.val_interval'), ('train_cfg.val_begin=9', 'never be validated'),
    ('train_dataloader.sampler.type=InfiniteSampler', 'never ends'),
    ('train_cfg.dynamic_intervals=5', 'train_cfg.dynamic_intervals must be a list'),
    ('default_hooks.checkpoint.interval=x', 'default_hooks.checkpoint.interval must be an integer'),
    ('default_hooks.checkpoint.intervall=1', "did you mean 'interval'"),
    ('default_hooks.checkpoint.save_last=no', 'default_hooks.checkpoint.save_last must be True or False'),
    ('default_hooks.checkpoint.filename_tmpl=x.pth', 'gives every checkpoint the same name'),
    ('default_hooks.checkpoint.out_dir=/proc/x', 'default_hooks.checkpoint.out_dir: cannot write'),
    ('train_dataloader.batch_size=1000 train_dataloader.drop_last=True', 'give no batch of 1000'),
    ('train_dataloader.dataset.indices=0', 'it has no samples'),
    ('val_dataloader.dataset.indices=0', 'it has no samples'),
    ('optim_wrapper.clip_grad.max_norm=-1', 'optim_wrapper.clip_grad.max_norm must be a finite number above 0'),
    ('sync_bn=nope', "sync_bn must be 'torch' or 'mmcv'"),
    ('find_unused_parameters=x', 'find_unused_parameters must be True or False'),
    ('param_scheduler.total_steps=1', 'the cycle of OneCycleLR has 6 steps, but the run 12 iterations'),
    ('optim_wrapper.optimizer.lr=x', 'cannot be built'), ('optim_wrapper.optimizer.lr=-1', 'cannot be built'),
    ('optim_wrapper.optimizer.type=SDG', 'SGD'), ('optim_wrapper.type=OptimWraper', 'mmengine.OptimWrapper'),
    ('optim_wrapper=5', '`optim_wrapper` must be a dict'), ('optim_wrapper=None', '`optim_wrapper`'),
    ('param_scheduler.type=OneCycleLRR', 'OneCycleLR'), ('param_scheduler.nonsense=1', 'nonsense'),
    ('default_hooks=5', '`default_hooks` must be a dict'), ('default_hooks.logger.interval=x', 'interval'),
    ('default_hooks.logger.type=LogerHook', 'mmengine.LoggerHook'), ('custom_hooks=5', '`custom_hooks` must be a list'),
    ('custom_hooks=[1,2]', '`custom_hooks` must be a list'), ('val_evaluator=None', '`val_evaluator`'),
    ('val_evaluator.type=Acuracy', 'mmpretrain.Accuracy'), ('val_dataloader=None', '`val_dataloader`'),
    ('env_cfg=5', '`env_cfg` must be a dict'), ('randomness.seed=x', 'cannot be built'), ('log_level=LOUD', 'LOUD'),
    ('visualizer.type=Visualiser', 'Visualizer'), ('default_scope=mmnone', 'mmpretrain.ImageClassifier'),
    ('launcher=none model=1', 'model'),
    ('runner_type=Runnr', 'mmengine.Runner'), ('load_from=missing.pth', 'missing.pth'),
    ('load_from=folder.pth', 'folder.pth'),
]
CONFIGS = dict(
    absent='there is no config file', empty='no `model`', comment='no `model`', syntax='line 1', indent='line 2',
    missing_import='no_such_module', bad_import='nonsense', raises='my own mistake', undefined='modle',
    division='division by zero', missing_base='absent.py', base_number='cannot be read', base_scope='cannot be read',
    base_syntax='syntax.py', custom_imports='no_such_module', binary='binary.py', reserved='filename',
    no_train='`train_dataloader`', trains_nothing='needed to train', misspelt='did you mean `optim_wrapper`',
    no_model='did you mean `model`', model_text='`model` must be a dict', no_type='`model` must be a dict',
    hook="did you mean 'mmreviewkd.ExportStudentHook'", only_model='needed to train')
LINES = [
    *[(f'train.py {{files}}/{name}.py', needle) for name, needle in CONFIGS.items()],
    ('train.py {files}', 'is a folder'), ('train.py {files}/broken.json', 'broken.json'),
    ('train.py {files}/broken.yaml', 'broken.yaml'), ('train.py {files}/text.txt', 'text.txt'),
    ('train.py mmnone::x.py', 'mmnone'), ('train.py mmpretrain::resnet/resnet8.py', 'has no config'),
    ('train.py ::', '::'), ('train.py', 'config'), ('train.py {files}/good.py --nonsense', '--nonsense'),
    ('train.py {files}/good.py --cfg-options', '--cfg-options'),
    ('train.py {files}/good.py --launcher x', '--launcher'),
    ('train.py {files}/good.py --launcher pytorch', 'RANK'),
    ('train.py {files}/good.py --launcher slurm', 'SLURM_PROCID'),
    ('train.py {files}/good.py --launcher mpi', 'OMPI_COMM_WORLD'),
    ('train.py {files}/good.py --local_rank x', 'local_rank'),
    ('train.py {files}/good.py --auto-scale-lr', 'auto_scale_lr'),
    ('train.py {files}/good.py --work-dir {files}/file', 'work_dir: cannot write'),
    ('train.py {files}/good.py --work-dir {files}/file/below', 'work_dir: cannot write'),
    ('train.py {files}/good.py --work-dir /proc/nowhere', 'work_dir: cannot write'),
    ('train.py {files}/good.py --resume missing.pth', 'missing.pth'),
    ('train.py {files}/good.py --resume {files}/folder.pth', 'folder.pth'),
    ('test.py {files}/good.py', 'checkpoint'), ('test.py {files}/good.py missing.pth', 'missing.pth'),
    ('test.py {files}/good.py {files}/folder.pth', 'folder.pth'), ('test.py {files}/good.py {files}/file', 'file'),
    ('test.py {files}/good.py {files}/student.pth --tta', 'tta_model'),
    ('test.py {files}/good.py {files}/student.pth --show-dir x', 'visualization'),
    ('test.py {files}/good.py {files}/student.pth --out x.json', 'pkl'),
    ('test.py {files}/tests_nothing.py {files}/student.pth', 'needed to test'),
    ('test.py {files}/empty.py {files}/student.pth', 'no `model`'), ('test.py {files} x', 'is a folder'),
    ('test.py {files}/good.py {files}/student.pth --cfg-options nonsense', 'key=value'),
    ('test.py {files}/good.py {files}/student.pth --cfg-options test_evaluator.type=Acuracy', 'mmpretrain.Accuracy'),
    ('test.py {files}/good.py {files}/student.pth --launcher pytorch', 'RANK'),
    ('export_student.py {files}/good.py {files}/student.pth', '--out'),
    ('export_student.py {files}/good.py missing.pth --out x', 'missing.pth'),
    ('export_student.py {files}/good.py {files}/folder.pth --out x', 'folder.pth'),
    ('export_student.py {files}/good.py {files}/nan.pth --out x', 'head.fc.bias'),
    ('export_student.py {files}/good.py {files}/student.pth --out {files}/file', 'file'),
    ('export_student.py {files}/good.py {files}/student.pth --out /proc/x', '/proc/x'),
    ('export_student.py {files}/empty.py {files}/student.pth --out x', 'model must be a ReviewDistiller'),
    ('export_student.py {files}/model_text.py {files}/student.pth --out x', 'model must be a ReviewDistiller'),
    ('export_student.py {files}/good.py {files}/student.pth --out x --cfg-options nonsense', 'key=value'),
    ('model_converters/to_openmmlab.py {files}/good.py missing.pth x', 'missing.pth'),
    ('model_converters/to_openmmlab.py {files}/empty.py {files}/student.pth x', 'model'),
    ('model_converters/to_openmmlab.py {files}/syntax.py {files}/student.pth x', 'line 1'),
    ('model_converters/to_openmmlab.py {files}/good.py {files}/folder.pth x', 'folder.pth'),
    ('demo.py --seeds x', '--seeds'), ('demo.py --data {files}', 'contains neither'),
    ('demo_detection.py --detector x', '--detector'), ('demo_detection.py --data {files}', 'contains neither'),
    ('ablation.py --workers x', '--workers'), ('ablation.py --workers 0', '--workers'),
    ('ablation.py --docs {files}', 'ablations.md'),
    ('benchmark.py --pair x', '--pair'), ('benchmark.py --runs 0', '--runs'),
    ('benchmark.py --device x', "'x' is no device of this machine"), ('benchmark.py --page absent.md', 'absent.md'),
    ('benchmark.py --page {files}/text.txt', 'must hold <!-- measured -->'), ('benchmark.py --config x.py', 'x.py'),
    ('measure_costs.py --runs -1', '--runs'), ('kill_test.py --kills 0', '--kills'),
    ('kill_test.py --config absent.py', 'absent.py'),
    ('kill_test.py --out-dir {files} --config {files}/good.py', 'is not empty'),
    ('sweep_pairs.py nonsense', "families: 'nonsense'"), ('sweep_pairs.py lenet --page absent.md', 'absent.md'),
    ('sweep_pairs.py lenet --json {files}/broken.json', 'holds no outcomes of a sweep'),
    ('list_taps.py absent.py', 'absent.py'), ('list_taps.py {files}/model_text.py', 'contains no `model`'),
    ('list_taps.py {files}/good.py --size 0', '--size'), ('list_taps.py {files}/empty.py', 'contains no `model`'),
    ('distill.py a', 'teacher'), ('distill.py absent.py {files}/good.py init_cfg', 'absent.py'),
    ('distill.py {files}/good.py {files}/good.py init_cfg', 'is itself a distillation'),
    ('distill.py {files}/alone.py {files}/only_model.py init_cfg --out {files}/file', 'must be the path of a Python'),
    ('distill.py {files}/alone.py {files}/alone.py init_cfg --out {files}/good.py', '--force'),
    ('distill.py {files}/alone.py {files}/alone.py missing.pth --out x.py', 'missing.pth'),
    ('distill.py {files}/alone.py {files}/alone.py init_cfg --out x.py --cfg-options nonsense', 'key=value'),
    ('dataset_converters/fashion_mnist.py --source {files}', 'contains neither'),
    ('dataset_converters/fashion_scenes.py x --train 0', '--train'),
    ('dataset_converters/fashion_scenes.py x --raw r --source {files}', 'contains neither'),
    ('model_converters/to_openmmlab.py {files}/alone.py {files}/nan.pth', 'out'),
]


@pytest.fixture
def command(files, tmp_path, monkeypatch, capfd):
    """Runs a tool in this process, and gives its exit code and what it wrote to stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder.pth').mkdir()
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    # Handlers of earlier runs in this process write to streams that are closed by now.
    monkeypatch.setattr(logging, 'raiseExceptions', False)

    def run(tool: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, 'argv', [tool, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / tool), run_name='__main__')
        return ended.value.code, capfd.readouterr().err

    return run


def check(ended: tuple[int, str], needle: str) -> None:
    code, written = ended
    last = written.strip().splitlines()[-1]
    assert code == 2
    assert 'error: ' in last
    assert needle in last
    assert 'Traceback' not in written


@pytest.mark.parametrize(('line', 'needle'), LINES, ids=[line for line, _ in LINES])
def test_a_bad_command_line_ends_in_one_line(line, needle, command, files):
    check(command(*line.format(files=files).split()), needle)


@pytest.mark.parametrize(('options', 'needle'), OPTIONS, ids=[options for options, _ in OPTIONS])
def test_a_bad_option_ends_in_one_line(options, needle, command, files):
    # MMEngine's global objects go by the name of the experiment, which otherwise is the same for all runs of a second.
    name = f'experiment_name={uuid.uuid4().hex}'
    check(command('train.py', f'{files}/good.py', '--cfg-options', *options.split(), name), needle)


@pytest.mark.parametrize('processes', ['0', '-1', 'x', '1.5'])
@pytest.mark.parametrize('tool', ['dist_train.sh CONFIG', 'dist_test.sh CONFIG CHECKPOINT'])
def test_a_bad_number_of_processes_ends_in_one_line(tool, processes, tmp_path):
    script, *arguments = tool.split()
    done = run_tool(TOOLS / script, *arguments, processes, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith(f"PROCESSES must be a positive number, but is '{processes}'")
