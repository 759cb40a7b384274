"""The compiled Winograd convolution, in the form that a level uses."""

import torch
from adjoint import normal

from mmreviewkd.ops.review_level.compiled_winograd_convolution import CompiledWinogradConvolution
from mmreviewkd.ops.review_level.direct_convolution import DirectConvolution


def test_equals_the_direct_convolution_chunk_by_chunk():
    rows, weight, grad = normal(4, 9, 7, 5), normal(6, 5, 3, 3, seed=1), normal(4, 9, 7, 6, seed=2)

    def results(convolution_class, dtype):
        kernels = convolution_class.kernels(weight.to(dtype), None)
        convolution = convolution_class(kernels, dtype)
        chunks = [slice(0, 3), slice(3, 4)]
        outputs = [convolution.forward(rows[chunk].to(dtype)) for chunk in chunks]
        grads = [convolution.backward(grad[chunk].to(dtype), rows[chunk].to(dtype)) for chunk in chunks]
        assert convolution.gradients[0].shape == kernels[0].shape
        return torch.cat(outputs), torch.cat(grads), *convolution.gradients

    exact = results(DirectConvolution, torch.float64)
    for a, b in zip(results(CompiledWinogradConvolution, torch.float32), exact):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=2e-5 * float(b.abs().max()))
