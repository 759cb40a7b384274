"""Values noted in one run, and the levels they become."""

import pytest
import torch

from mmreviewkd.models.taps import ChannelsLastToMap
from mmreviewkd.models.taps.recording import AllTapsPassed, Recording, image_size_of
from mmreviewkd.utils import TapError

MAP, VECTOR, TOKENS = torch.randn(2, 3, 4, 4), torch.randn(2, 5), torch.randn(2, 16, 6)


def recorded(value, tap='stage', **settings):
    recording = Recording([tap], where='student.taps', **settings)
    recording.note(tap, value)
    return recording


def test_a_vector_is_a_map_of_one_pixel():
    assert recorded(VECTOR).features()[0].shape == (2, 5, 1, 1)


def test_elements_of_a_tuple_without_features_are_skipped_and_level_names_are_taps():
    def names(value, tap='stage'):
        return [name for name, _ in recorded(value, tap).levels()]

    assert names((MAP, VECTOR)) == ['stage:output[0]', 'stage:output[1]']
    mixed = [None, MAP, (4, 4), VECTOR, torch.zeros(2, dtype=torch.long)]
    assert names(mixed) == ['stage:output[1]', 'stage:output[3]']
    assert names((MAP, (4, 4))) == ['stage']
    assert names((MAP, VECTOR), 'neck:input') == ['neck:input[0]', 'neck:input[1]']
    assert names((MAP, VECTOR), 'neck:output[2]') == ['neck:output[2][0]', 'neck:output[2][1]']


@pytest.mark.parametrize(('value', 'message'), [
    (TOKENS, r"'stage' gives no feature map but a tensor \(2, 16, 6\).*dict\(type='TokensToMap', tap='stage'\) makes"),
    ((TOKENS, VECTOR), r"dict\(type='TokensToMap', tap='stage:output\[0\]'\) makes one"),
    ((None, [MAP, MAP]), r"'stage:output\[1\]' gives no feature map but a list of 2.*stage:output\[1\]\[0\] selects"),
    ((4, 4), "'stage' gives no feature map but a tuple of 2; a level is"),
    (None, 'but a NoneType'),
    (MAP.long(), r'but a tensor \(2, 3, 4, 4\) of torch.int64'),
    (MAP[:, :, :0], r'a map of shape \(2, 3, 0, 4\), smaller than 1 pixel'),
])
def test_a_value_that_is_no_feature_map_is_named_with_advice(value, message):
    with pytest.raises(TapError, match=f'student.taps: .*{message}'):
        recorded(value).features()


def test_a_dict_is_read_as_its_values():
    recording = recorded(dict(fine=MAP, size=(4, 4), pool=VECTOR))
    assert [name for name, _ in recording.levels()] == ['stage:output[0]', 'stage:output[2]']
    VECTOR.add_(0)
    assert recording.overwritten() == ['stage']


def test_a_tap_that_was_not_passed_is_named():
    recording = Recording(['stage', 'neck'])
    recording.note('stage', MAP)
    assert not recording.complete
    with pytest.raises(TapError, match="'neck' is never called when the model runs"):
        recording.features()


def test_the_last_value_counts_and_the_run_ends_after_the_expected_calls():
    recording = Recording(['stage'], stop_after=dict(stage=2))
    recording.note('stage', VECTOR)
    with pytest.raises(AllTapsPassed):
        recording.note('stage', MAP)
    assert recording.calls['stage'] == 2
    assert recording.features()[0] is MAP


def test_values_changed_in_place_are_listed():
    value = torch.zeros(1, 2)
    recording = recorded((value, (4, 4)))
    assert recording.overwritten() == []
    value.add_(1)
    assert recording.overwritten() == ['stage']


def test_an_adapter_makes_maps_of_every_element():
    recording = recorded((MAP, (4, 4), MAP), adapters=dict(stage=ChannelsLastToMap()))
    assert [feature.shape for feature in recording.features()] == [(2, 4, 3, 4)] * 2


def test_the_image_size_of_a_batch_is_found():
    assert image_size_of(torch.zeros(2, 3, 5, 7)) == (5, 7)
    assert image_size_of([torch.zeros(3, 5, 7)]) is None
