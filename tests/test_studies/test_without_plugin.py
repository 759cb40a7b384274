"""Programs run where this package cannot be imported."""

import pytest
from conftest import ROOT, run_tool

from mmreviewkd.studies.without_plugin import command_to_test_student, command_without_plugin

PROGRAM = '''
import sys
assert __name__ == '__main__'
try:
    import mmreviewkd.version
except ImportError:
    print('absent', sys.argv[1:])
'''


def test_the_package_is_absent_even_where_it_is_on_the_path(tmp_path):
    (tmp_path / 'program.py').write_text(PROGRAM)
    here = run_tool(tmp_path / 'program.py', cwd=ROOT)
    apart = run_tool(*command_without_plugin(tmp_path / 'program.py', 'a', 1), cwd=ROOT)
    assert here.stdout == ''
    assert apart.stdout == "absent ['a', '1']\n"


def test_a_student_is_tested_by_its_own_package(tmp_path):
    mmpretrain = pytest.importorskip('mmpretrain')
    command = command_to_test_student('mmpretrain', tmp_path / 'student.py', '--work-dir', tmp_path)
    assert command[2].startswith(mmpretrain.__path__[0]) and command[2].endswith('tools/test.py')
    assert command[3:] == [str(tmp_path / name) for name in ('student.py', 'student.pth')] + [
        '--work-dir', str(tmp_path)]
