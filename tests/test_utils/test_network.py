"""The network interface that Gloo is told to use."""

import os

import pytest

from mmreviewkd.utils.network import choose_gloo_interface, interface_towards


@pytest.fixture
def environment(monkeypatch):
    """A copy of the environment, without the variables of a distributed run."""
    kept = {key: value for key, value in os.environ.items() if key not in ('MASTER_ADDR', 'GLOO_SOCKET_IFNAME')}
    monkeypatch.setattr(os, 'environ', kept)
    return kept


def test_this_machine_is_reached_through_the_loopback_interface():
    assert interface_towards('127.0.0.1') == 'lo'


def test_an_address_that_is_not_valid_has_no_interface():
    assert interface_towards('256.0.0.1') is None


@pytest.mark.parametrize('given, chosen', [
    ({}, None),
    ({'MASTER_ADDR': '127.0.0.1'}, 'lo'),
    ({'MASTER_ADDR': '256.0.0.1'}, None),
    ({'MASTER_ADDR': '127.0.0.1', 'GLOO_SOCKET_IFNAME': 'eth7'}, 'eth7'),
])
def test_gloo_uses_the_interface_towards_the_master_unless_one_is_set(given, chosen, environment):
    environment.update(given)
    choose_gloo_interface()
    assert environment.get('GLOO_SOCKET_IFNAME') == chosen
