"""ShuffleNetV2 for small images."""

from cifar import check_outputs, check_public_network, check_taps_around_relus

from mmreviewkd.models import CIFARShuffleNetV2


def test_is_the_public_network():
    check_public_network('shufflev2')


def test_a_training_step_reads_features_before_and_after_relus():
    check_taps_around_relus('shufflev2')


def test_outputs_the_stages_asked_for():
    check_outputs(CIFARShuffleNetV2, (116, 232, 464, 1024))
