"""ShuffleNet for small images."""

from cifar import check_outputs, check_public_network, check_taps_around_relus

from mmreviewkd.models import CIFARShuffleNetV1


def test_is_the_public_network():
    check_public_network('shufflev1')


def test_a_training_step_reads_features_before_and_after_relus():
    check_taps_around_relus('shufflev1')


def test_outputs_the_stages_asked_for():
    check_outputs(CIFARShuffleNetV1, (240, 480, 960))
