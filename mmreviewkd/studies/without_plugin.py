"""Run a Python program in a process that cannot import this package, as a user of an exported student would."""

import importlib
from pathlib import Path

_CODE = (
    'import runpy, sys; sys.modules["mmreviewkd"] = None; sys.argv = sys.argv[1:]; '
    'runpy.run_path(sys.argv[0], run_name="__main__")')


def command_without_plugin(program: str | Path, *arguments: object) -> list[str]:
    """Arguments for a Python interpreter that run a program in which ``import mmreviewkd`` raises an ImportError.

    Args:
        program (str or Path): The program's file.
        *arguments (object): Its command line.
    """
    return ['-c', _CODE, *map(str, (program, *arguments))]


def command_to_test_student(package: str, student: Path, *arguments: object) -> list[str]:
    """Arguments for a Python interpreter that test an exported student with a package's own ``tools/test.py``.

    Args:
        package (str): The student's package, such as 'mmpretrain' or 'mmdet'.
        student (Path): The exported ``student.py``; its weights are ``student.pth`` beside it.
        *arguments (object): Further arguments of the package's tool.
    """
    tool = Path(importlib.import_module(package).__file__).parent / '.mim' / 'tools' / 'test.py'
    return command_without_plugin(tool, student, Path(student).with_suffix('.pth'), *arguments)
