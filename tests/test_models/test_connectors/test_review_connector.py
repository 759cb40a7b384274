"""The review path against reference numbers: outputs, loss, gradients and running statistics."""

import pytest
import textbook
import torch
from conftest import ReferenceCase

from mmreviewkd.models import ReviewConnector, hierarchical_context_loss
from mmreviewkd.registry import MODELS
from mmreviewkd.utils import ConfigError


def reference_connector(case: ReferenceCase, implementation: str = 'auto') -> ReviewConnector:
    state = case.group('state')
    students, teachers = case.levels('student'), case.levels('teacher')
    connector = ReviewConnector(
        [s.shape[1] for s in students], [t.shape[1] for t in teachers],
        mid_channels=state['blocks.0.conv1.0.weight'].shape[0], implementation=implementation)
    connector.load_state_dict(state, strict=True)
    return connector.to(case.dtype)


def close(actual, expected, tolerance, noise=0.0):
    """Compare at the scale of the largest entry, beside what rounding is known to do to it."""
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=tolerance * expected.abs().max().item() + float(noise) + 1e-15)


def exact_gradients(name: str) -> dict[str, torch.Tensor]:
    """Gradients of a case by the formulas, in double precision."""
    case = ReferenceCase(name, torch.float64)
    students, teachers = [s.requires_grad_() for s in case.levels('student')], case.levels('teacher')
    path = dict(reference_connector(case).named_parameters())
    textbook.hcl(textbook.review_path(students, [t.shape[-2:] for t in teachers], path), teachers).backward()
    return {**{key: value.grad for key, value in path.items()}, **{i: s.grad for i, s in enumerate(students)}}


@pytest.mark.parametrize('implementation', ['plain', 'fast'])
def test_equals_the_reference(review_case_name, implementation):
    """In double precision, as the rounding of single precision depends on the number of threads."""
    case = ReferenceCase(review_case_name, torch.float64)
    connector = reference_connector(case, implementation)
    students = [s.requires_grad_() for s in case.levels('student')]
    teachers = case.levels('teacher')

    outputs = connector(students, [t.shape[-2:] for t in teachers])
    loss = hierarchical_context_loss(outputs, teachers)
    loss.backward()

    for output, expected in zip(outputs, case.levels('out')):
        close(output, expected, 1e-5)
    close(loss, case.tensor('loss'), 1e-5)
    # The reference is of single precision, of which gradients that are sums of opposite numbers lose some digits.
    exact = exact_gradients(review_case_name)
    gradients = {
        **dict(enumerate(case.levels('grad_student'))), **case.group('grad')}
    actual = {**dict(enumerate(students)), **dict(connector.named_parameters())}
    assert actual.keys() == gradients.keys()
    for name, expected in gradients.items():
        rounding = (expected - exact[name]).abs().max()
        assert rounding <= 1e-4 * expected.abs().max() + 1e-15
        close(actual[name].grad, expected, 1e-5, rounding)
    expected_buffers = case.group('after')
    assert len(expected_buffers) >= 4 * len(students)
    for name, expected in expected_buffers.items():
        close(connector.get_buffer(name), expected, 1e-5)


@pytest.mark.parametrize('implementation', ['plain', 'fast'])
def test_equals_the_formulas_in_double_precision(review_case_name, implementation):
    case = ReferenceCase(review_case_name, torch.float64)
    connector = reference_connector(case, implementation)
    students = [s.requires_grad_() for s in case.levels('student')]
    teachers = case.levels('teacher')
    sizes = [t.shape[-2:] for t in teachers]
    inputs = [*students, *connector.parameters()]

    loss = hierarchical_context_loss(connector(students, sizes), teachers)
    by_hand = textbook.hcl(textbook.review_path(students, sizes, dict(connector.named_parameters())), teachers)

    close(loss, by_hand, 1e-12)
    for ours, theirs in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(by_hand, inputs)):
        close(ours, theirs, 1e-9)


def test_middle_channels_default_to_the_coarsest_up_to_512():
    assert ReviewConnector([4, 8], [3, 3]).blocks[0].conv1[0].out_channels == 8
    assert ReviewConnector([4, 600], [3, 3]).blocks[0].conv1[0].out_channels == 512


@pytest.mark.parametrize('sizes', [[(7, 5), (4, 3), (1, 1)], [(3, 11), (2, 2), (5, 1)]])
def test_takes_any_sizes_and_ratios(sizes):
    connector = ReviewConnector([2, 3, 4], [5, 6, 7])
    features = [torch.randn(2, c, h, w) for c, (h, w) in zip([2, 3, 4], sizes)]
    targets = [(9, 6), (4, 4), (1, 1)]
    outputs = connector(features, targets)
    assert [tuple(o.shape) for o in outputs] == [(2, o, *t) for o, t in zip([5, 6, 7], targets)]


def test_is_built_by_name_in_any_scope():
    connector = MODELS.build(dict(type='mmreviewkd.ReviewConnector', in_channels=[2], out_channels=[3]))
    assert type(connector) is ReviewConnector


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(in_channels=[1, 2], out_channels=[1]), r'\[1, 2\] and \[1\]'),
    (dict(in_channels=[], out_channels=[]), 'same levels'),
    (dict(in_channels=[1, 0], out_channels=[1, 1]), 'at least 1'),
    (dict(in_channels=[1], out_channels=[1], mid_channels=0), 'mid_channels'),
    (dict(in_channels=[1], out_channels=[1], mid_chanels=4), "did you mean 'mid_channels'"),
])
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ReviewConnector(**arguments)


def test_wrong_number_of_features_is_named():
    with pytest.raises(ValueError, match='2 levels, but was given 1'):
        ReviewConnector([1, 1], [1, 1])([torch.zeros(2, 1, 2, 2)], [(2, 2)])
