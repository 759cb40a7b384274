"""Python functions of the command line tools."""

from mmreviewkd.engine.export import export_student, export_student_of_checkpoint

from .convert import convert_checkpoint
from .runner import build_runner, read_config
from .test import test
from .train import train

__all__ = [
    'build_runner', 'convert_checkpoint', 'export_student', 'export_student_of_checkpoint', 'read_config', 'test',
    'train'
]
