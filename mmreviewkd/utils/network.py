"""The network between the hosts of a run."""

import os
import socket
import struct


def interface_towards(host: str) -> str | None:
    """The network interface through which this machine and a host reach each other.

    Args:
        host (str): A name or IPv4 address; it may be this machine's own.

    Returns:
        str or None: Its name, such as 'eth0'; None where it cannot be told.
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
    """Have Gloo connect through the interface that leads to ``MASTER_ADDR``.

    By itself it takes the address that this machine's own name resolves to, often 127.0.0.1: the hosts of a run then
    wait for each other in vain. A ``GLOO_SOCKET_IFNAME`` that is set stays.
    """
    master = os.environ.get('MASTER_ADDR')
    if master and 'GLOO_SOCKET_IFNAME' not in os.environ:
        name = interface_towards(master)
        if name is not None:
            os.environ['GLOO_SOCKET_IFNAME'] = name
