"""A compiled student is distilled like a plain one: the graph gives its features, too."""

import copy

import pytest
import torch
from plain import LAYERS, Small, batches, step

from mmreviewkd import distiller
from mmreviewkd.utils import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests():
    torch._dynamo.reset()


def trained(review, data):
    optimizer = torch.optim.SGD(review.parameters(), lr=0.05, momentum=0.9)
    return [step(review, optimizer, *batch) for batch in data]


def expected_and_state(student, teacher, data):
    review = distiller(copy.deepcopy(student), teacher, taps=LAYERS)
    return trained(review, data), review.state_dict()


@pytest.mark.parametrize('way', [
    'torch.compile(student)', 'student.compile()', 'student.compile(), run before', 'torch.compile(review)'])
def test_equals_the_plain_student(way):
    student, teacher, data = Small(4), Small(8, seed=1), batches(3, 4)
    expected, weights = expected_and_state(student, teacher, data)
    compiled, start = student, copy.deepcopy(student.state_dict())
    if way == 'torch.compile(student)':
        compiled = torch.compile(student, backend='eager')
        compiled(data[0][0])  # compiled without the hooks of the taps
        student.load_state_dict(start)
    elif way.startswith('student.compile()'):
        student.compile(backend='eager')
        if 'run before' in way:
            student(data[0][0])
            student.load_state_dict(start)
    review = distiller(compiled, teacher, taps=LAYERS)
    assert review.student is student and not any('_orig_mod' in name for name in review.state_dict())
    graphs = torch._dynamo.utils.counters['stats']['unique_graphs']
    found = trained(torch.compile(review, backend='eager') if way == 'torch.compile(review)' else review, data)
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] > graphs
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-3, atol=1e-4)
    for name, value in review.state_dict().items():
        torch.testing.assert_close(value.float(), weights[name].float(), rtol=1e-2, atol=1e-3, msg=name)
    with torch.no_grad():
        output, twin = compiled.eval()(data[0][0]), student.eval()(data[0][0])
    torch.testing.assert_close(output, twin, rtol=1e-4, atol=1e-4)


def test_graphs_are_not_compiled_again_in_every_step():
    review = distiller(torch.compile(Small(4), backend='eager'), Small(8, seed=1), taps=LAYERS)
    data = batches(4, 4)
    trained(review, data[:1])
    graphs = torch._dynamo.utils.counters['stats']['unique_graphs']
    trained(review, data[1:])
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == graphs


@pytest.mark.skipif(not hasattr(torch.compiler, 'set_stance'), reason='this torch always evaluates guards')
def test_a_graph_that_was_compiled_in_place_without_the_taps_is_named():
    student = Small(4)
    student.compile(backend='eager')
    images, _ = batches(1, 4)[0]
    student(images)
    review = distiller(student, Small(8, seed=1), taps=LAYERS)
    # Without its guards, the graph does not notice the hooks of the taps; some versions of torch skip these guards.
    with torch.compiler.set_stance(skip_guard_eval_unsafe=True), \
            pytest.raises(ConfigError, match=r'compiled in place.*torch.compile\(student\)'):
        review(images)
