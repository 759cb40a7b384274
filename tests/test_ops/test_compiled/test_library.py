"""Compiling the C++ functions: where the library is kept, and what happens if there is no compiler, or a bad one."""

import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from torch._subclasses.fake_tensor import FakeTensorMode

from mmreviewkd.ops.compiled import compiled_functions, library

compile_again = compiled_functions.__wrapped__


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_EXTENSIONS_DIR', str(tmp_path))
    return tmp_path / 'mmreviewkd'


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(library, 'print_log', lambda message, *_: lines.append(message))
    return lines


def compiler(tmp_path, monkeypatch, script):
    path = tmp_path / 'compiler'
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv('CXX', str(path))


def test_the_library_is_compiled_once(folder, monkeypatch, logged):
    assert compile_again() is not None
    path, = folder.iterdir()
    assert path.suffix == '.so' and str(path) in logged.pop()
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: pytest.fail('compiled twice'))
    assert compile_again() is not None and not logged


def test_another_cpu_has_a_library_of_its_own(folder, monkeypatch):
    compile_again()
    monkeypatch.setattr(library, 'cpu_fields', lambda *_: 'another')
    compile_again()
    assert len([*folder.iterdir()]) == 2


@pytest.mark.parametrize(('script', 'reason'), [
    ('echo "sorry, no such option" >&2; exit 1', 'sorry, no such option'),
    ('exit 0', 'No such file'),  # writes nothing
    ('kill -9 $$', 'compiler ended with exit status -9'),
    ('for last; do :; done; while [ "$1" != -o ]; do shift; done; echo nonsense > "$2"', 'file too short|invalid ELF')])
def test_without_a_compiler_tensor_operations_compute_the_same(folder, tmp_path, monkeypatch, logged, script, reason):
    compiler(tmp_path, monkeypatch, script)
    assert compile_again() is None
    line = logged[-1]
    assert any(part in line for part in reason.split('|')), line
    assert '$CXX' in line and '\n' not in line


def test_a_compiler_that_is_not_there(folder, monkeypatch, logged):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    assert compile_again() is None and 'no-such-compiler' in logged[0]


def test_a_compiler_that_does_not_end(folder, tmp_path, monkeypatch, logged):
    monkeypatch.setattr(library, 'MOST_SECONDS', 0.1)
    compiler(tmp_path, monkeypatch, 'exec sleep 5')
    assert compile_again() is None and 'compiler took more than 0.1 seconds' in logged[0]
    assert not [*folder.iterdir()], 'something unfinished is left'


def test_no_home_directory(monkeypatch, logged):
    def missing():
        raise RuntimeError('Could not determine home directory.')
    monkeypatch.delenv('TORCH_EXTENSIONS_DIR', raising=False)
    monkeypatch.setattr(library.Path, 'home', missing)
    assert compile_again() is None and 'home directory' in logged[0]


def test_subclasses_of_tensors_are_not_handed_to_compiled_functions():
    with FakeTensorMode():
        assert not library.is_compiled(torch.empty(2))
    assert library.is_compiled(torch.empty(2)) and not library.is_compiled(torch.empty(2, dtype=torch.float64))


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, logged):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('TORCH_EXTENSIONS_DIR', str(tmp_path / 'file'))
    assert compile_again() is None and str(tmp_path / 'file') in logged[0]


@pytest.mark.slow
def test_processes_that_compile_at_once(folder):
    """As the ranks of a first training on several processes do."""
    program = 'from mmreviewkd.ops.compiled import compiled_functions as c; print(c() is not None)'
    processes = [
        subprocess.Popen([sys.executable, '-c', program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)]
    assert [process.communicate()[0].split()[-1] for process in processes] == ['True'] * 2
    assert len([*folder.iterdir()]) == 1
