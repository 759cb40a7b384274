"""Make the pictures of docs/watching.md from a short training on Fashion-MNIST.

`levels` writes levels.png; `tensorboard` writes tensorboard.png, and needs tensorboard and chromium.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from mmreviewkd.apis import train
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.run_report import latest_pictures
from mmreviewkd.utils.errors import ConfigError, one_line_errors

CONFIGS = 'configs/fashion_mnist'
HOOKS = [dict(type='mmreviewkd.ChannelsLastHook'), dict(type='mmreviewkd.LevelScalarsHook', interval=4),
         dict(type='mmreviewkd.LevelPicturesHook', num_images=2)]
BACKENDS = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
CHROMIUM = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars',
    '--window-size=1500,1100', '--virtual-time-budget=30000']


def short_training(out: Path, images: int, epochs: int) -> Path:
    """Train the teacher and the distilled student of the demo shortly, and return the student's work dir."""
    data = str(prepare_fashion_mnist('data/fashion_mnist'))
    places = {f'{name}_dataloader.dataset.data_root': data for name in ('train', 'val', 'test')}
    train(f'{CONFIGS}/resnet14.py', str(out / 'teacher'), cfg_options={
        **places, 'train_dataloader.dataset.indices': 20 * images, 'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1, 'param_scheduler.total_steps': 1})
    train(f'{CONFIGS}/resnet8_review-resnet14.py', str(out / 'review'), cfg_options={
        **places, 'train_dataloader.dataset.indices': images, 'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': epochs, 'param_scheduler.total_steps': epochs, 'custom_hooks': HOOKS,
        'visualizer': dict(type='UniversalVisualizer', vis_backends=BACKENDS),
        'model.teacher.checkpoint': (out / 'teacher' / 'last_checkpoint').read_text(encoding='utf-8')})
    return out / 'review'


def screenshot_of_tensorboard(log_dir: Path, file: Path) -> None:
    """Show a run in TensorBoard and take a picture of its image page with headless Chromium."""
    chromium = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
    if chromium is None:
        raise ConfigError('no chromium on the PATH; Debian: apt-get install chromium')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'http://127.0.0.1:{free.getsockname()[1]}/'
    server = subprocess.Popen(
        [sys.executable, '-m', 'tensorboard.main', '--logdir', log_dir, '--host', '127.0.0.1', '--port',
         address[:-1].rpartition(':')[2], '--load_fast', 'false'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while not _answers(f'{address}data/plugin/images/tags', b'levels_image'):
            if server.poll() is not None or time.monotonic() > deadline:
                raise ConfigError('tensorboard did not start; is it installed (pip install tensorboard)?')
            time.sleep(1)
        with tempfile.TemporaryDirectory() as profile:
            subprocess.run(
                [chromium, *CHROMIUM, f'--user-data-dir={profile}', f'--screenshot={file.absolute()}',
                 f'{address}#images'], check=True, capture_output=True, timeout=600)
    finally:
        server.terminate()
        server.wait()


def _answers(address: str, content: bytes) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=30) as response:
            return content in response.read()
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('pictures', nargs='+', choices=['levels', 'tensorboard'])
    parser.add_argument('--out', type=Path, default=Path('docs'), help='the folder of the pictures')
    parser.add_argument('--images', type=int, default=500, help='training images of the student')
    parser.add_argument('--epochs', type=int, default=10, help='epochs of the student')
    args = parser.parse_args()
    with one_line_errors(), tempfile.TemporaryDirectory() as scratch:
        run = short_training(Path(scratch), args.images, args.epochs)
        if 'levels' in args.pictures:
            shutil.copy(latest_pictures(run)['levels_image1'][1], args.out / 'levels.png')
        if 'tensorboard' in args.pictures:
            screenshot_of_tensorboard(run, args.out / 'tensorboard.png')


if __name__ == '__main__':
    main()
