"""Detect hosts of a run that no longer respond."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from mmengine.dist import get_dist_info
from torch.distributed import TCPStore

INTERVAL, PATIENCE = 5.0, 40.0  # seconds


@contextlib.contextmanager
def watched_hosts() -> Iterator[None]:
    """End this process with a one-line message when another host of its run is silent for 40 seconds.

    A process that ends closes its connections, which ends the other processes at once. A host that loses power or
    network does not close them, and the others would wait in a collective for half an hour. The first process of each
    host therefore increments a counter in the store of the process group, and checks that the others' counters rise.
    """
    rank, world = get_dist_info()
    per_host = int(os.environ.get('LOCAL_WORLD_SIZE', world))
    if per_host >= world or int(os.environ.get('LOCAL_RANK', 0)) or 'MASTER_PORT' not in os.environ:
        yield
        return
    store = TCPStore(
        os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']), is_master=False,
        timeout=timedelta(seconds=PATIENCE / 2))
    ended = threading.Event()
    thread = threading.Thread(
        target=watch, args=(store, rank // per_host, world // per_host, ended, _end), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(PATIENCE)


def watch(
        store: TCPStore, host: int, hosts: int, ended: threading.Event, lost: Callable[[str], None],
        interval: float = INTERVAL, patience: float = PATIENCE) -> None:
    """Increment this host's counter and check the others' counters until the run ends or a host is lost.

    Args:
        store (TCPStore): The store shared by all hosts.
        host (int): The number of this host.
        hosts (int): The number of hosts.
        ended (threading.Event): Set when this host's part of the run has ended.
        lost (Callable[[str], None]): Called with a message that names the lost host.
        interval (float): Seconds between two checks. Defaults to 5.
        patience (float): Seconds without a sign after which a host is lost. Defaults to 40.
    """
    begin = time.monotonic()
    seen = {other: (0, begin) for other in range(hosts) if other != host}
    answered, failures = [begin], []

    def exchange() -> None:
        try:
            while not ended.wait(interval):
                store.add(_key(host), 1)
                for other, (count, _) in list(seen.items()):
                    now = store.add(_key(other), 0)
                    if now < 0:  # the host has ended regularly
                        del seen[other]
                    elif now != count:
                        seen[other] = now, time.monotonic()
                answered[0] = time.monotonic()
            store.add(_key(host), -2**40)
        except RuntimeError as error:
            failures.append(error)

    # The store is on the first host; if that host is lost, a call waits forever.
    thread = threading.Thread(target=exchange, daemon=True)
    thread.start()
    while not ended.wait(interval):
        if failures or time.monotonic() - answered[0] > patience:
            lost(f'the host of the first process, {os.environ.get("MASTER_ADDR")}, does not answer')
            return
        for other, (_, since) in list(seen.items()):
            if time.monotonic() - since > patience:
                lost(f'host {other} has not answered for {patience:.0f} s')
                return
    thread.join(interval)


def _key(host: int) -> str:
    return f'mmreviewkd/host_watch/{os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)}/{host}'


def _end(what: str) -> None:
    print(
        f'error: {what}; the run ends here. Resume it with --resume on all hosts', file=sys.stderr, flush=True)
    os._exit(1)
