"""Norms of the gradients of several losses."""

import pytest
import torch
from conftest import gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.models.distillers.gradient_norms import gradient_norms


def test_norms_of_gradients_known_by_hand():
    x, y = torch.tensor([3.0, 4.0], requires_grad=True), torch.tensor(2.0, requires_grad=True)
    found = gradient_norms(dict(task=(x * x).sum() / 2 + 7 * y, distill=3 * x[0], none=torch.tensor(1.0)), [x, y])
    torch.testing.assert_close(found, dict(
        task=torch.tensor([5.0, 7.0]), distill=torch.tensor([3.0, 0.0]), none=torch.zeros(2)))


def test_the_step_goes_on_as_if_nothing_was_measured():
    """The norms over the parameters are those of backward(), and the gradients of the step do not change."""
    torch.manual_seed(0)
    distiller = MODELS.build(review_config())
    distiller.init_weights()
    data = distiller.data_preprocessor(gray_batch(), True)
    parameters = list(distiller.student.backbone.parameters())
    losses = distiller(**data, mode='loss')
    parts = {name: losses[name] for name in ('loss_student', 'loss_distill')}
    found = gradient_norms(parts, parameters)
    assert all(parameter.grad is None for parameter in parameters)
    for name, loss in parts.items():
        distiller.zero_grad()
        loss.backward(retain_graph=True)
        torch.testing.assert_close(found[name], torch.stack([
            torch.zeros(()) if parameter.grad is None else parameter.grad.norm() for parameter in parameters]))
        assert found[name].norm() > 0


def test_half_precision_gradients_do_not_overflow():
    x = torch.ones(4096, dtype=torch.float16, requires_grad=True)
    norms = gradient_norms(dict(loss=(x * 60000).sum()), [x])['loss']
    assert norms.dtype == torch.float32 and norms.item() == pytest.approx(64 * 60000, rel=1e-3)


@pytest.mark.parametrize('tensors', [[], [torch.ones(2)]])
def test_tensors_without_gradients_are_refused(tensors):
    with pytest.raises(ValueError, match='require gradients'):
        gradient_norms(dict(loss=torch.ones((), requires_grad=True)), tensors)
