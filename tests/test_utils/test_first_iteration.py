"""Models that ask for the iteration run as in the first one, and later runs do not notice."""

import pytest
from mmengine.logging import MessageHub

from mmreviewkd.utils.first_iteration import first_iteration


@pytest.mark.parametrize('earlier', [{}, dict(iter=7, max_iters=9)])
def test_epoch_and_iteration_are_zero_and_restored(earlier):
    info = MessageHub.get_current_instance().runtime_info
    info.clear()
    info.update(earlier)
    with pytest.raises(RuntimeError), first_iteration():
        assert (info['iter'], info['epoch']) == (0, 0)
        raise RuntimeError
    assert dict(info) == earlier
    info.clear()
