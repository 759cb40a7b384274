"""Test a checkpoint."""

import functools
import inspect
import pickle
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict

from mmreviewkd.models import ReviewDistiller
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checkpoint import check_fit, load_checkpoint, save_atomically, state_dict_of
from mmreviewkd.utils.config_errors import build_errors_named
from mmreviewkd.utils.convert_checkpoint import convert_state
from mmreviewkd.utils.errors import CheckpointError, ConfigError
from mmreviewkd.utils.files import check_writable, full_disk_named

from .checks import TESTING, check_kinds, require_keys
from .runner import build_runner, read_config


def test(
        config: str,
        checkpoint: str,
        work_dir: str | None = None,
        out: str | None = None,
        show_dir: str | None = None,
        tta: bool = False,
        cfg_options: dict | None = None,
        launcher: str = 'none') -> dict[str, float]:
    """Test a checkpoint of a config's model, or of the student if the model is a distiller.

    Args:
        config (str): A path, or ``'package::path/of/config.py'``.
        checkpoint (str): A path or URL.
        work_dir (str, optional): The folder for logs. Defaults to the config's ``work_dir``, or
            ``work_dirs/CONFIG_NAME`` if it has none.
        out (str, optional): The ``.pkl`` file to write predictions to.
        show_dir (str, optional): The folder to write images with drawn predictions to.
        tta (bool): Average over the augmentations of the config's ``tta_model``. Defaults to False.
        cfg_options (dict, optional): Settings that override the config's, by dotted keys.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.

    Returns:
        dict[str, float]: The metrics.

    Raises:
        ConfigError: If the config, the checkpoint or the work dir is invalid.
    """
    cfg = read_config(config, work_dir, cfg_options, launcher)
    check_kinds(cfg)
    require_keys(cfg, ('model',))
    require_keys(cfg, TESTING, 'needed to test')
    cfg.load_from, cfg.resume = checkpoint, False
    if out:
        if not out.endswith(('.pkl', '.pickle')):
            raise ConfigError(f'--out: {out!r} must be the path of a pickle file, such as predictions.pkl')
        check_writable(str(Path(out).parent), '--out')
    if show_dir:
        _draw(cfg, show_dir)
    if tta:
        require_keys(cfg, ('tta_model', 'tta_pipeline'), 'needed by --tta')
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(**cfg.tta_model, module=cfg.model)
    runner = build_runner(cfg)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    model = model.module if tta else model
    state = state_dict_of(load_checkpoint(checkpoint), f'checkpoint: {checkpoint!r}')
    if isinstance(model, ReviewDistiller):
        state = {name[len('student.'):]: value for name, value in state.items() if name.startswith('student.')}
        model = model.student
    if convert_state(model, state)[1]:
        raise CheckpointError(
            f'checkpoint: {checkpoint!r} names its layers in another layout; convert it first with '
            f'tools/model_converters/to_openmmlab.py {config} {checkpoint} converted.pth')
    check_fit(model, state, f'checkpoint: {checkpoint!r}')
    runner.register_hook(FindWeightsHook())
    if tta:
        runner.register_hook(LoadAverageHook())
    kept = KeepPredictionsHook()
    if out:
        runner.register_hook(kept)
    with full_disk_named(cfg.work_dir), build_errors_named('config'):
        metrics = runner.test()
    if out and is_main_process():
        # Written when the metrics are already logged, so that a full disk does not cost them.
        save_atomically(functools.partial(_dump, kept.predictions), Path(out))
        print_log(f'The predictions are in {out}', 'current')
    return metrics


class FindWeightsHook(Hook):
    """Move weights that a checkpoint keeps under another name to 'state_dict', where MMEngine reads them."""

    priority = 'VERY_HIGH'  # before EMAHook, which reads them, too

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Move the weights to 'state_dict' if they are elsewhere.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint; changed in place.
        """
        if 'state_dict' not in checkpoint:
            checkpoint['state_dict'] = state_dict_of(checkpoint, f'checkpoint: {runner._load_from!r}')


class LoadAverageHook(Hook):
    """Load averaged weights with test-time augmentation, which mmpretrain's ``EMAHook`` then leaves random.

    It looks for them under the names of the model itself, but its copy is wrapped.
    """

    priority = 'VERY_LOW'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Load what ``EMAHook`` has taken for the averaged weights into its copy of the model.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint.
        """
        for hook in runner.hooks:
            if getattr(hook, 'load_ema_from_ckpt', False):
                averaged = {name.removeprefix('module.'): value
                            for name, value in checkpoint['ema_state_dict'].items() if name.startswith('module.')}
                load_state_dict(hook.ema_model.module, averaged)


class KeepPredictionsHook(Hook):
    """Collect the predictions of all processes, whatever evaluator they are tested by."""

    def __init__(self) -> None:
        self._results = _KeptResults('unwritten.pkl')
        self._evaluator = Evaluator(self._results)

    @property
    def predictions(self) -> list[dict]:
        """The data samples of the whole data set as dicts, in its order, in the main process."""
        return self._results.kept

    def after_test_iter(
            self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Keep the predictions of a batch."""
        self._evaluator.process(data_samples=outputs, data_batch=data_batch)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Collect the predictions of all processes."""
        self._evaluator.evaluate(len(runner.test_dataloader.dataset))


class _KeptResults(DumpResults):
    """MMEngine's ``DumpResults`` that keeps the predictions instead of writing them."""

    kept: list

    def compute_metrics(self, results: list) -> dict:
        """Keep the predictions; they give no metric."""
        self.kept = results
        return {}


def _dump(results: list, path: str) -> None:
    with open(path, 'wb') as file:
        pickle.dump(results, file, protocol=pickle.HIGHEST_PROTOCOL)


def _draw(cfg: Config, show_dir: str) -> None:
    """Enable the config's visualization hook for all predictions; the libraries' settings differ."""
    require_keys(cfg, ('default_hooks',), 'needed by --show-dir')
    require_keys(cfg.default_hooks, ('visualization',), 'needed by --show-dir', 'default_hooks')
    hook = cfg.default_hooks.visualization
    scope = hook.get('_scope_', cfg.get('default_scope', 'mmengine'))
    kind = hook.type
    if isinstance(kind, str):
        kind = HOOKS.get(kind if '.' in kind else f'{scope}.{kind}')
    known = inspect.signature(kind).parameters
    folder = str(Path(show_dir).absolute())
    wanted = dict(enable=True, draw=True, interval=1, out_dir=folder, test_out_dir=folder)
    hook.update({key: value for key, value in wanted.items() if key in known})
    if not {'out_dir', 'test_out_dir'} & set(known):  # mmsegmentation's draws by the visualizer's backends only
        cfg.visualizer = dict(
            cfg.get('visualizer') or dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
            save_dir=folder)
