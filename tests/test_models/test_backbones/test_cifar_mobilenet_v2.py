"""MobileNetV2 for small images."""

import functools

from cifar import check_outputs, check_public_network, check_taps_around_relus

from mmreviewkd.models import CIFARMobileNetV2


def test_is_the_public_network():
    check_public_network('mobilenetv2')


def test_a_training_step_reads_features_before_and_after_relus():
    check_taps_around_relus('mobilenetv2')


def test_outputs_the_stages_asked_for():
    check_outputs(functools.partial(CIFARMobileNetV2, 0.5), (8, 12, 16, 32, 48, 80, 160, 1280))
