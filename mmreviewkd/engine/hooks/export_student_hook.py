"""Export the student at the end of training."""

from pathlib import Path

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmreviewkd.engine.export import export_student, student_files
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checks import text
from mmreviewkd.utils.errors import strict_keys
from mmreviewkd.utils.files import check_writable, remove_partial_files


@HOOKS.register_module()
@strict_keys
class ExportStudentHook(Hook):
    """Export the student at the end of training by :func:`~mmreviewkd.engine.export.export_student`.

    If the run has an EMA hook, the averaged weights are exported.

    Args:
        out_dir (str, optional): The folder to write to. Defaults to ``student`` in the work dir.
    """

    priority = 'LOWEST'

    def __init__(self, out_dir: str | None = None) -> None:
        self.out_dir = text(out_dir, 'ExportStudentHook: out_dir', 'the path of a folder, or None')

    def before_train(self, runner: Runner) -> None:
        """Refuse what could not be exported after training.

        Raises:
            ConfigError: If the config uses a component that cannot be exported, or the folder cannot be written to.
        """
        student_files(runner.cfg)
        check_writable(self._folder(runner), 'ExportStudentHook: out_dir')
        if is_main_process():
            remove_partial_files(Path(self._folder(runner)))

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Write ``student.py`` and ``student.pth``."""
        averaged = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        model = averaged[0] if averaged else runner.model
        model = model.module if averaged or is_model_wrapper(model) else model
        path = export_student(
            runner.cfg, model.state_dict(), self._folder(runner),
            meta=dict(dataset_meta=getattr(runner.train_dataloader.dataset, 'metainfo', None)))
        print_log(f'Exported the student to {path}', 'current')

    def _folder(self, runner: Runner) -> str:
        return self.out_dir or f'{runner.work_dir}/student'
