"""The benchmark's reference implementation computes the reference numbers, from the same weights as ours."""

import pytest
import torch
from conftest import ReferenceCase

from mmreviewkd.models import ReviewConnector
from mmreviewkd.studies.benchmark.steps import textbook_of
from mmreviewkd.studies.benchmark.textbook import TextbookLoss


def test_equals_the_reference(review_case_name):
    case = ReferenceCase(review_case_name, torch.float64)
    state, students, teachers = case.group('state'), case.levels('student'), case.levels('teacher')
    ours = ReviewConnector(
        [s.shape[1] for s in students], [t.shape[1] for t in teachers],
        mid_channels=state['blocks.0.conv1.0.weight'].shape[0])
    ours.load_state_dict(state, strict=True)
    textbook = textbook_of(ours).double()
    assert list(textbook.state_dict()) == list(ours.state_dict())
    outputs = textbook(students, [t.shape[-2:] for t in teachers])
    for output, expected in zip(outputs, case.levels('out'), strict=True):
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert TextbookLoss(2.0)(outputs, teachers).item() == pytest.approx(2 * case.tensor('loss').item(), rel=1e-5)
