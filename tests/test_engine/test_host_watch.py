"""A host that falls silent is noticed."""

import socket
import threading

from torch.distributed import TCPStore

from mmreviewkd.engine.host_watch import watch


def started(store, host, ended, lost):
    thread = threading.Thread(target=watch, args=(store, host, 2, ended, lost.append, 0.02, 0.5), daemon=True)
    thread.start()
    return thread


def stores():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    server = TCPStore('127.0.0.1', port, is_master=True, wait_for_workers=False)
    return server, TCPStore('127.0.0.1', port, is_master=False)


def test_a_silent_host_is_lost_and_one_that_ended_is_not():
    for silent in (False, True):
        one, other = stores()
        lost, ended = ([], []), (threading.Event(), threading.Event())
        threads = [started(one, 0, ended[0], lost[0])]
        if not silent:
            threads.append(started(other, 1, ended[1], lost[1]))
            ended[1].set()
        threads[0].join(1.5)
        ended[0].set()
        threads[0].join(5)
        assert lost[0] == (['host 1 has not answered for 0 s'] if silent else [])
        assert lost[1] == []
