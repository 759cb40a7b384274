"""The command-line tools as Python functions."""

from mmreviewkd.engine.export import export_student, export_student_of_checkpoint

from .convert import convert_checkpoint
from .distill import distill
from .find_loss_weight import WeightSearch, find_loss_weight
from .list_taps import list_taps
from .runner import build_runner, read_config
from .test import test
from .train import train

__all__ = [
    'WeightSearch', 'build_runner', 'convert_checkpoint', 'distill', 'export_student', 'export_student_of_checkpoint',
    'find_loss_weight', 'list_taps', 'read_config', 'test', 'train'
]
