"""Downloads, from a server of our own."""

import contextlib
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from conftest import ROOT

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint
from mmreviewkd.utils.checkpoint.download import cached_path


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        time.sleep(self.server.delay)
        super().do_GET()

    def send_header(self, keyword, value):
        super().send_header(keyword, str(int(value) + self.server.excess) if keyword == 'Content-Length' else value)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves the folder `server.folder`; `server.asked` lists the requests."""
    folder = tmp_path / 'served'
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
            ('127.0.0.1', 0), lambda *args: Handler(*args, directory=str(folder))) as found:
        found.folder, found.asked, found.delay, found.excess = folder, [], 0, 0
        found.url = f'http://127.0.0.1:{found.server_port}'
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        for proxy in ('http_proxy', 'HTTP_PROXY'):
            monkeypatch.delenv(proxy, raising=False)
        monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
        yield found
        found.shutdown()


def serve(server, path: str, number: float = 1.0) -> str:
    """Save weights of a number under the path; returns the URL."""
    file = server.folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(weight=torch.tensor(float(number))), file)
    return f'{server.url}/{path}'


def files(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / 'hub').rglob('*') if path.is_file() and path.name != 'lock')


def test_two_urls_of_one_file_name_are_two_files(server):
    first, second = serve(server, 'a/weights.pth', 1), serve(server, 'b/weights.pth', 2)
    assert [load_checkpoint(url)['weight'].item() for url in (first, second, first)] == [1, 2, 1]
    assert server.asked == ['/a/weights.pth', '/b/weights.pth']
    assert cached_path(first).is_file() and cached_path(first) != cached_path(second)


def test_a_hash_in_the_name_is_compared(server, tmp_path):
    url = serve(server, 'weights-01234567.pth')
    with pytest.raises(CheckpointError, match=f'^teacher.checkpoint: could not download {url!r} .*SHA-256'):
        load_checkpoint(url, where='teacher.checkpoint')
    assert files(tmp_path) == []
    digest = hashlib.sha256((server.folder / 'weights-01234567.pth').read_bytes()).hexdigest()[:8]
    good = f'weights-{digest}.pth'
    (server.folder / 'weights-01234567.pth').rename(server.folder / good)
    assert load_checkpoint(f'{server.url}/{good}')['weight'] == 1


def test_a_short_download_is_noticed(server, tmp_path):
    url = serve(server, 'weights.pth')
    server.excess = 1000
    size = (server.folder / 'weights.pth').stat().st_size
    with pytest.raises(CheckpointError, match=f'could not download .*{size} of {size + 1000} bytes were received'):
        load_checkpoint(url)
    assert files(tmp_path) == []


def test_what_cannot_be_downloaded_is_named(server):
    for url, reason in ((f'{server.url}/absent.pth', 'HTTP Error 404'), ('http://127.0.0.1:9/a.pth', 'refused')):
        with pytest.raises(CheckpointError, match=f'could not download {url!r} .*{reason}.*get it elsewhere'):
            load_checkpoint(url)
    with pytest.raises(CheckpointError, match='could not download'):
        load_checkpoint('http://[::1/a.pth')


def test_a_file_of_torch_hub_counts_only_if_its_hash_is_right(server, tmp_path):
    cached = tmp_path / 'hub' / 'checkpoints'
    cached.mkdir(parents=True)
    torch.save(dict(weight=torch.tensor(7.0)), cached / 'file')
    digest = hashlib.sha256((cached / 'file').read_bytes()).hexdigest()[:8]
    (cached / 'file').rename(cached / f'weights-{digest}.pth')
    assert load_checkpoint(f'{server.url}/weights-{digest}.pth')['weight'] == 7
    assert server.asked == []
    url = serve(server, 'plain.pth', 2)
    torch.save(dict(weight=torch.tensor(7.0)), cached / 'plain.pth')
    assert load_checkpoint(url)['weight'] == 2


RANK = '''
import sys, torch
from mmreviewkd.utils.checkpoint import load_checkpoint
url, meet, rank, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
torch.distributed.init_process_group('gloo', init_method=meet, rank=rank, world_size=2)
torch.hub.set_dir(f'{folder}/shared')
both = load_checkpoint(url)['weight'].item()  # at once, into one folder
torch.distributed.barrier()
torch.hub.set_dir(f'{folder}/{rank}')
if rank:
    load_checkpoint(url)  # now only one of the two has the file
torch.distributed.barrier()
print(both, load_checkpoint(url)['weight'].item())
torch.distributed.barrier()
'''


@pytest.mark.slow
def test_two_processes_share_one_download(server, tmp_path):
    url = serve(server, 'weights.pth', 5)
    server.delay = 0.5
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'GLOO_SOCKET_IFNAME': 'lo'}
    processes = [subprocess.Popen(
        [sys.executable, '-c', RANK, url, f'file://{tmp_path}/meet', str(rank), str(tmp_path)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for rank in range(2)]
    try:
        outputs = [process.communicate(timeout=90) for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    assert [out.split() for out, _ in outputs] == [['5.0', '5.0']] * 2, outputs
    assert len(server.asked) == 3  # one for the shared folder, one for each of the others
