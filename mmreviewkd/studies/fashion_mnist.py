"""Prepare the files of Fashion-MNIST for mmpretrain's dataset class."""

import gzip
import hashlib
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import ConfigError

# MD5 of the extracted files; that of the archives depends on the program that compressed them.
_FILES = {
    'train-images-idx3-ubyte': 'f4a8712d7a061bf5bd6d2ca38dc4d50a',
    'train-labels-idx1-ubyte': '9018921c3c673c538a1fc5bad174d6f9',
    't10k-images-idx3-ubyte': '8181f5470baa50b63fa0f6fddb340f0a',
    't10k-labels-idx1-ubyte': '15d484375f8d13e6eb1aabb0c3f46965',
}
_DEBIAN_PACKAGE = 'dataset-fashion-mnist'
_DEBIAN_FOLDER = 'usr/share/datasets/fashion-mnist'


def prepare_fashion_mnist(out_dir: str, source: str | None = None) -> Path:
    """Extract the four files of Fashion-MNIST into a folder and verify their checksums.

    They come from ``source`` if given, else from Debian's package ``dataset-fashion-mnist`` (if it is installed or can
    be downloaded), else from the URL of mmpretrain's dataset class. Valid files in the folder are kept.

    Args:
        out_dir (str): The folder to write to.
        source (str, optional): A folder with the four files, gzipped or not.

    Returns:
        Path: ``out_dir``.

    Raises:
        ConfigError: If a file is missing or damaged, or cannot be downloaded.
    """
    out = Path(out_dir)
    missing = [name for name, digest in _FILES.items() if not _is_whole(out / name, digest)]
    if not missing:
        return out
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(source) if source else _debian_folder(Path(scratch)) or _downloaded_folder(Path(scratch))
        for name in missing:
            data = _read(folder, name)
            if hashlib.md5(data).hexdigest() != _FILES[name]:
                raise ConfigError(
                    f'{folder / name} is damaged or incomplete: its {len(data)} bytes do not have the checksum of '
                    'Fashion-MNIST; download it again')
            save_atomically(lambda path, data=data: Path(path).write_bytes(data), out / name)
    return out


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.md5(path.read_bytes()).hexdigest() == digest


def _read(folder: Path, name: str) -> bytes:
    try:
        if (folder / name).is_file():
            return (folder / name).read_bytes()
        with gzip.open(folder / f'{name}.gz') as file:
            return file.read()
    except FileNotFoundError:
        raise ConfigError(f'{folder} contains neither {name}.gz nor {name}') from None
    except (OSError, EOFError) as error:
        raise ConfigError(f'{folder / name}.gz is damaged or incomplete ({error}); download it again') from error


def _debian_folder(scratch: Path) -> Path | None:
    installed = Path('/') / _DEBIAN_FOLDER
    if installed.is_dir():
        return installed
    if not (shutil.which('apt-get') and shutil.which('dpkg-deb')):
        return None
    for update in (False, True):
        if update:
            subprocess.run(['apt-get', 'update'], capture_output=True)
        subprocess.run(['apt-get', 'download', _DEBIAN_PACKAGE], cwd=scratch, capture_output=True)
        for package in scratch.glob('*.deb'):
            if subprocess.run(['dpkg-deb', '-x', package, scratch], capture_output=True).returncode == 0:
                return scratch / _DEBIAN_FOLDER
    return None


def _downloaded_folder(scratch: Path) -> Path:
    from mmpretrain.datasets import FashionMNIST
    for name in _FILES:
        url = f'{FashionMNIST.url_prefix}{name}.gz'
        try:
            urllib.request.urlretrieve(url, scratch / f'{name}.gz')
        except OSError as error:
            raise ConfigError(
                f'cannot download Fashion-MNIST: neither the Debian package {_DEBIAN_PACKAGE} nor {url} ({error}) is '
                'available; name a folder with its four .gz files (--data, or --source)') from error
    return scratch
