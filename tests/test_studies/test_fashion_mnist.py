"""Fashion-MNIST's files are checked, whatever they come from."""

import gzip
import hashlib
import shutil

import pytest
from conftest import DATA

from mmreviewkd.studies import fashion_mnist
from mmreviewkd.utils import ConfigError


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The few images of the fixture, as if they were the whole data set."""
    digests = {
        packed.stem: hashlib.md5(gzip.decompress(packed.read_bytes())).hexdigest()
        for packed in (DATA / 'fashion_mnist').glob('*.gz')}
    assert set(digests) == set(fashion_mnist._FILES)
    monkeypatch.setattr(fashion_mnist, '_FILES', digests)
    return shutil.copytree(DATA / 'fashion_mnist', tmp_path / 'source')


def test_extracts_packed_and_copies_extracted_files(source, tmp_path):
    name = 't10k-labels-idx1-ubyte'
    (source / name).write_bytes(gzip.decompress((source / f'{name}.gz').read_bytes()))
    (source / f'{name}.gz').unlink()
    out = fashion_mnist.prepare_fashion_mnist(tmp_path / 'out', source)
    assert len(list(out.iterdir())) == 4


def test_whole_files_are_kept_and_damaged_ones_made_anew(source, tmp_path):
    out = fashion_mnist.prepare_fashion_mnist(tmp_path / 'out', source)
    damaged, kept = out / 'train-labels-idx1-ubyte', out / 'train-images-idx3-ubyte'
    whole, written = damaged.read_bytes(), kept.stat().st_mtime_ns
    damaged.write_bytes(whole[:100])
    fashion_mnist.prepare_fashion_mnist(out, source)
    assert damaged.read_bytes() == whole
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize(('spoil', 'message'), [
    (lambda file: file.unlink(), 'contains neither train-images-idx3-ubyte.gz nor'),
    (lambda file: file.write_bytes(file.read_bytes()[:999]), r'train-images-idx3-ubyte.gz is damaged or incomplete'),
    (lambda file: file.write_bytes(gzip.compress(b'other')), 'train-images-idx3-ubyte is damaged or incomplete'),
])
def test_a_missing_or_damaged_file_is_named(source, tmp_path, spoil, message):
    spoil(source / 'train-images-idx3-ubyte.gz')
    with pytest.raises(ConfigError, match=message):
        fashion_mnist.prepare_fashion_mnist(tmp_path / 'out', source)
    assert not (tmp_path / 'out' / 'train-images-idx3-ubyte').exists()
