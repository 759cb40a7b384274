"""What is known about the CPU."""

import pathlib
import platform

from mmreviewkd.utils.cpu import cpu_fields


def test_fields_of_the_first_core(monkeypatch):
    lines = ['processor\t: 0', 'vendor_id\t: Someone', 'model name\t: A CPU: fast', 'flags\t\t: a b']
    text = '\n'.join(lines) + '\n\n' + '\n'.join(lines).replace('Someone', 'Another')
    monkeypatch.setattr(pathlib.Path, 'read_text', lambda *_, **__: text)
    fields = cpu_fields.__wrapped__
    assert fields('vendor_id', 'model name') == 'Someone A CPU: fast'
    assert fields('flags') == 'a b'
    assert fields('Features') == (platform.processor() or platform.machine())


def test_without_a_list_of_cores(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError
    monkeypatch.setattr(pathlib.Path, 'read_text', missing)
    assert cpu_fields.__wrapped__('model name') == (platform.processor() or platform.machine())
