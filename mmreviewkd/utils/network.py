"""The network interface between the hosts of a run."""

import os
import socket
import struct


def interface_towards(host: str) -> str | None:
    """Find the network interface through which this machine and a host reach each other.

    Args:
        host (str): A name or IPv4 address; it may be this machine's own.

    Returns:
        str or None: Its name, such as 'eth0'; None if it cannot be determined.
    """
    import fcntl
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # sends nothing
            address = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                request = struct.pack('256s', name.encode()[:15])
                try:
                    found = fcntl.ioctl(probe, 0x8915, request)  # SIOCGIFADDR
                except OSError:  # an interface without an address
                    continue
                if socket.inet_ntoa(found[20:24]) == address:
                    return name
    except OSError:
        pass
    return None


def choose_gloo_interface() -> None:
    """Make Gloo connect through the network interface that leads to ``MASTER_ADDR``.

    By default, Gloo uses the address that this machine's own name resolves to. That is often 127.0.0.1, at which the
    other hosts of the run cannot reach it. A ``GLOO_SOCKET_IFNAME`` that is already set is not changed.
    """
    master = os.environ.get('MASTER_ADDR')
    if master and 'GLOO_SOCKET_IFNAME' not in os.environ:
        name = interface_towards(master)
        if name is not None:
            os.environ['GLOO_SOCKET_IFNAME'] = name
