"""The fast way through the review path against the plain one, which defines it."""

import copy
import io
import os
import random
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from conftest import ROOT, ReferenceCase
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations

from mmreviewkd.models import ReviewConnector, hierarchical_context_loss
from mmreviewkd.ops.review_level import plan, winograd_convolution
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.kept_bytes import bytes_kept

WAYS = ['direct', 'composed', 'winograd']


@pytest.fixture
def small_pieces(monkeypatch):
    """Few images and rows at a time, as large maps would have it."""
    monkeypatch.setattr(plan, 'CHUNK_BYTES', 4096)
    monkeypatch.setattr(winograd_convolution, 'STRIP_BYTES', 4096)
    monkeypatch.setattr(winograd_convolution, 'STRIP_TILES', 1)


def force(monkeypatch, way):
    def chosen(costs):
        return 'direct' if way == 'composed' and way not in costs else way
    monkeypatch.setattr(plan, 'cheapest_convolution', chosen)


class Case:
    """A random review path, its inputs, and weights of its outputs."""

    def __init__(self, seed: int, kernel_size: int = 3) -> None:
        dice = random.Random(seed)
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator)

        levels, batch = dice.randint(1, 4), dice.randint(1, 4)
        channels = [dice.choice([1, 2, 3, 8, 17, 33]) for _ in range(levels)]
        out_channels = [dice.choice([1, 2, 5, 16]) for _ in range(levels)]
        sides = dice.randint(1, 3), dice.randint(1, 3)
        sizes, self.target_sizes = [], []
        for level in range(levels):
            pyramid = tuple(side * 2**(levels - 1 - level) for side in sides)
            sizes.append(pyramid if dice.random() < 0.6 else (dice.randint(1, 13), dice.randint(1, 13)))
            other = dice.randint(1, 14), dice.randint(1, 14)
            self.target_sizes.append(sizes[-1] if dice.random() < 0.7 else other)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.plain = ReviewConnector(
                channels, out_channels, dice.choice([2, 3, 8, 24]), implementation='plain', kernel_size=kernel_size)
        with torch.no_grad():
            for name, tensor in [*self.plain.named_parameters(), *self.plain.named_buffers()]:
                if tensor.dim() == 1:
                    tensor.copy_(1 + 0.3 * normal(*tensor.shape) if 'var' not in name else normal(*tensor.shape)**2)
        if dice.random() < 0.25:
            self.plain.eval()
        self.features = [2 * normal(batch, c, *size) + 1 for c, size in zip(channels, sizes)]
        self.weights = [normal(batch, c, *size) for c, size in zip(out_channels, self.target_sizes)]
        self.levels = sum(
            batch * min(size[0] * size[1], target[0] * target[1]) >= 8
            for size, target in zip(sizes, self.target_sizes))

    def run(self, dtype, implementation, memory_format=torch.contiguous_format, **settings):
        """Outputs, gradients and running statistics by name; and the number of levels that ran the fast way."""
        connector = copy.deepcopy(self.plain).to(dtype).to(memory_format=memory_format)
        connector.implementation = implementation
        for name, value in settings.items():
            setattr(connector, name, value)
        features = [f.to(dtype).contiguous(memory_format=memory_format).requires_grad_() for f in self.features]
        outputs = connector(features, self.target_sizes)
        ways = sum('FusedLevel' in type(output.grad_fn.next_functions[0][0]).__name__ for output in outputs)
        torch.autograd.backward(outputs, [w.to(o.dtype) for w, o in zip(self.weights, outputs)])
        return results(connector, features, outputs), ways


def results(connector, features, outputs):
    return {
        **{f'out.{i}': output.detach() for i, output in enumerate(outputs)},
        **{f'grad.{i}': feature.grad for i, feature in enumerate(features) if feature.grad is not None},
        **{f'grad.{name}': p.grad for name, p in connector.named_parameters() if p.grad is not None},
        **dict(connector.named_buffers())}


def assert_equal_results(actual, expected, tolerance, noise):
    """At the scale of each tensor; gradients that all but cancel, down to the noise of the largest gradient."""
    assert actual.keys() == expected.keys()
    largest = max((value.abs().max() for name, value in expected.items() if 'grad' in name), default=0.0)
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        allowed = tolerance * value.abs().max() + (noise * largest if 'grad' in name else noise)
        error = (actual[name].to(value.dtype) - value).abs().max()
        assert error <= allowed, f'{name}: off by {error:.2e} where {allowed:.2e} is allowed'


def runs_or_refuses(case, *arguments, **settings):
    """None where the plain path refuses a batch of one value a channel, after the fast one has refused it, too."""
    try:
        return case.run(*arguments, **settings)
    except ValueError as error:
        assert 'more than 1 value per channel' in str(error)
        return None


@pytest.mark.slow
@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('block', range(4))
def test_equals_the_plain_path_whatever_the_shapes(way, block, monkeypatch, small_pieces):
    force(monkeypatch, way)
    compared = 0
    for seed in range(30 * block, 30 * block + 30):
        case = Case(seed)
        fast = runs_or_refuses(case, torch.float64, 'fast')
        plain = runs_or_refuses(case, torch.float64, 'plain')
        assert (fast is None) == (plain is None)
        if plain is None:
            continue
        expected, ways = plain
        assert ways == 0 and fast[1] == case.levels
        assert_equal_results(fast[0], expected, 1e-9, 1e-13)
        memory_format = random.Random(seed).choice([torch.contiguous_format, torch.channels_last])
        assert_equal_results(case.run(torch.float32, 'fast', memory_format)[0], expected, 1e-4, 5e-6)
        compared += case.levels
    assert compared > 40


def test_equals_the_plain_path_with_kernels_of_one_pixel(small_pieces):
    compared = 0
    for seed in range(20):
        case = Case(seed, kernel_size=1)
        fast, plain = (runs_or_refuses(case, torch.float64, way) for way in ('fast', 'plain'))
        assert (fast is None) == (plain is None)
        if plain is not None:
            assert fast[1] == case.levels
            assert_equal_results(fast[0], plain[0], 1e-9, 1e-13)
            compared += case.levels
    assert compared > 20


@pytest.mark.parametrize(('in_channels', 'mid_channels', 'size'), [(8, 4, 24), (4, 24, 24), (24, 24, 24)])
def test_statistics_come_from_input_or_output(in_channels, mid_channels, size):
    torch.manual_seed(0)
    case = Case(0)
    case.plain = ReviewConnector([in_channels] * 2, [6, 6], mid_channels)
    case.features = [torch.randn(2, in_channels, s, s) for s in (size, size // 2)]
    case.weights = [torch.randn(2, 6, s, s) for s in (size, size // 2)]
    case.target_sizes = [f.shape[-2:] for f in case.features]
    assert_equal_results(case.run(torch.float64, 'fast')[0], case.run(torch.float64, 'plain')[0], 1e-9, 1e-13)


@pytest.mark.parametrize('way', WAYS)
def test_equals_the_reference(review_case_name, way, monkeypatch):
    force(monkeypatch, way)
    monkeypatch.setattr(plan, 'LEAST_PIXELS', 2)
    case = ReferenceCase(review_case_name, torch.float32)
    state, students, teachers = case.group('state'), case.levels('student'), case.levels('teacher')
    connector = ReviewConnector(
        [s.shape[1] for s in students], [t.shape[1] for t in teachers],
        mid_channels=state['blocks.0.conv1.0.weight'].shape[0], implementation='fast')
    connector.load_state_dict(state, strict=True)
    for student in students:
        student.requires_grad_()
    outputs = connector(students, [t.shape[-2:] for t in teachers])
    hierarchical_context_loss(outputs, teachers).backward()
    assert all('FusedLevel' in type(output.grad_fn.next_functions[0][0]).__name__ for output in outputs)
    expected = {
        **{f'out.{i}': o for i, o in enumerate(case.levels('out'))},
        **{f'grad.{i}': g for i, g in enumerate(case.levels('grad_student'))},
        **{f'grad.{name}': g for name, g in case.group('grad').items()}, **case.group('after')}
    actual = results(connector, students, outputs)
    # The pooled level has two pixels, which nearly cancels what flows back through their statistics.
    assert_equal_results({name: actual[name] for name in expected}, expected, 1e-4, 2e-5)


def autocast_error(actual, expected):
    return {
        name: ((actual[name].double() - value).norm() / value.norm()).item()
        for name, value in expected.items() if 'num_batches' not in name and value.norm() > 0}


@pytest.mark.parametrize('seed', [1, 7, 23])
def test_is_as_precise_as_the_plain_path_under_autocast(seed):
    torch.manual_seed(seed)
    case = Case(seed)
    case.plain = ReviewConnector([8, 16], [6, 8], 16)
    case.features = [torch.randn(4, 8, 12, 10), torch.randn(4, 16, 6, 5)]
    case.weights = [torch.randn(4, 6, 12, 10), torch.randn(4, 8, 6, 5)]
    case.target_sizes = [(12, 10), (6, 5)]
    exact, _ = case.run(torch.float64, 'plain')
    with torch.autocast('cpu', torch.bfloat16):
        plain, _ = case.run(torch.float32, 'plain')
        fast, ways = case.run(torch.float32, 'fast')
    assert ways == 2
    assert {name: value.dtype for name, value in fast.items()} == {name: value.dtype for name, value in plain.items()}
    plain_error = autocast_error(plain, exact)
    for name, error in autocast_error(fast, exact).items():
        assert error < 2 * plain_error[name] + 0.01, name


def test_states_are_the_same_and_can_be_exchanged():
    case = Case(3)
    fast = ReviewConnector(
        [b.conv1[0].in_channels for b in case.plain.blocks], [b.conv2[0].out_channels for b in case.plain.blocks],
        case.plain.mid_channels, implementation='fast')
    assert [*fast.state_dict()] == [*case.plain.state_dict()]
    fast.load_state_dict(case.plain.state_dict(), strict=True)
    fast.train(case.plain.training)
    expected, _ = case.run(torch.float32, 'plain')
    case.plain = fast
    actual, ways = case.run(torch.float32, 'fast')
    assert ways == case.levels
    assert_equal_results(actual, expected, 1e-4, 5e-6)


def two_levels(implementation='fast', **settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ReviewConnector([4, 6], [5, 7], 8, implementation=implementation, **settings)


SIZES = [(8, 6), (4, 3)]


def two_features(seed=0, requires_grad=True):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, c, *size, generator=generator).requires_grad_(requires_grad) for c, size in zip([4, 6], SIZES)]


def ways_of(connector, features=None):
    outputs = connector(two_features() if features is None else features, SIZES)
    return ['fast' if 'FusedLevel' in type(o.grad_fn.next_functions[0][0]).__name__ else 'plain' for o in outputs]


def test_copies_and_pickles_run_the_same_way():
    connector = two_levels()
    stored = io.BytesIO()
    torch.save(connector, stored)
    stored.seek(0)
    expected = connector.eval()(two_features(), SIZES)
    for other in (copy.deepcopy(connector), torch.load(stored, weights_only=False).eval()):
        assert ways_of(other) == ['fast', 'fast']
        for actual, value in zip(other(two_features(), SIZES), expected):
            torch.testing.assert_close(actual, value)


def test_runs_without_gradients():
    fast, plain = two_levels(), two_levels('plain')
    with torch.no_grad():
        for actual, expected in zip(fast(two_features(), SIZES), plain(two_features(), SIZES)):
            assert not actual.requires_grad
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_frozen_stages_and_parameters_get_no_gradient():
    fast, plain = two_levels(), two_levels('plain')
    collected = []
    for connector in (fast, plain):
        for name in ('conv1.1.weight', 'conv2.0.weight', 'att_conv.0.bias'):
            connector.blocks[0].get_parameter(name).requires_grad_(False)
        connector.blocks[1].conv1[1].eval()
        features = two_features()
        features[1].requires_grad_(False)
        outputs = connector(features, SIZES)
        sum(o.square().sum() for o in outputs[:1]).backward()
        assert features[1].grad is None
        collected.append(results(connector, features, outputs))
    assert_equal_results(*collected, 1e-4, 5e-6)


def test_there_is_no_double_backward():
    features = two_features()
    loss = two_levels()(features, SIZES)[0].square().sum()
    gradient, = torch.autograd.grad(loss, features[:1], create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


def swap_norm(connector):
    connector.blocks[0].conv2[1] = nn.InstanceNorm2d(5, affine=True)


def synchronize(connector):
    connector.blocks[0] = nn.SyncBatchNorm.convert_sync_batchnorm(connector.blocks[0])


def hook(connector):
    connector.blocks[0].conv1[0].register_forward_hook(lambda module, inputs, output: 2 * output)


def parametrize(connector):
    parametrizations.weight_norm(connector.blocks[0].conv2[0])


def old_parametrize(connector):
    nn.utils.spectral_norm(connector.blocks[0].conv1[0])


def cumulate(connector):
    connector.blocks[0].conv1[1].momentum = None


def track_nothing(connector):
    connector.blocks[0].conv2[1] = nn.BatchNorm2d(5, track_running_stats=False)


def replace_convolution(connector):
    connector.blocks[0].conv2[0] = nn.Conv2d(8, 5, 3, padding=2, dilation=2, bias=False)


def add_bias(connector):
    connector.blocks[0].conv1[0].bias = nn.Parameter(torch.ones(8))


@pytest.mark.parametrize('change', [
    swap_norm, synchronize, hook, parametrize, old_parametrize, cumulate, track_nothing, replace_convolution,
    add_bias])
def test_a_level_with_changed_modules_is_computed_by_them(change):
    fast = two_levels()
    change(fast)
    if change is synchronize:  # runs on GPUs alone, but its running statistics anywhere
        fast.eval()
    plain = copy.deepcopy(fast)
    plain.implementation = 'plain'
    assert ways_of(fast) == ['plain', 'fast'] and ways_of(plain) == ['plain', 'plain']
    for actual, expected in zip(fast(two_features(), SIZES), plain(two_features(), SIZES)):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    for (name, actual), expected in zip(fast.named_buffers(), plain.buffers()):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4, msg=name)


def test_hooks_are_called():
    connector, calls = two_levels(), []
    connector.blocks[1].register_forward_hook(lambda *arguments: calls.append('block'))
    connector.blocks[0].conv2[0].register_full_backward_hook(lambda *arguments: calls.append('conv'))
    sum(o.sum() for o in connector(two_features(), SIZES)).backward()
    assert calls == ['block', 'conv']


def test_auto_runs_large_levels_fast_and_small_ones_plain():
    connector = ReviewConnector([4, 4], [4, 4], 64)
    features = [torch.randn(2, 4, 64, 64), torch.randn(2, 4, 8, 8)]
    outputs = connector(features, [(64, 64), (8, 8)])
    assert ['FusedLevel' in type(o.grad_fn.next_functions[0][0]).__name__ for o in outputs] == [True, False]


def test_an_unknown_implementation_is_named():
    with pytest.raises(ConfigError, match="'auto', 'plain' or 'fast', but is 'fsat'; did you mean 'fast'"):
        two_levels('fsat')


def test_keeps_a_fraction_for_the_backward_pass():
    sizes, kept = [(32, 32), (16, 16)], {}
    for implementation, with_cp in (('plain', False), ('fast', False), ('fast', True)):
        connector = ReviewConnector([8, 8], [8, 8], 64, implementation=implementation, with_cp=with_cp)
        features = [torch.randn(2, 8, *size, requires_grad=True) for size in sizes]
        teachers = [torch.randn(2, 8, *size) for size in sizes]
        kept[implementation, with_cp], loss = bytes_kept(
            lambda: hierarchical_context_loss(connector(features, sizes), teachers))  # noqa: B023
        loss.backward()
    assert kept['fast', False] < 0.25 * kept['plain', False]
    assert kept['fast', True] < kept['fast', False]


@pytest.mark.parametrize('implementation', ['plain', 'fast'])
@pytest.mark.parametrize('seed', [2, 5, 11])
def test_checkpointing_changes_nothing_but_the_memory(implementation, seed):
    case = Case(seed)
    expected, _ = case.run(torch.float64, implementation)
    actual, _ = case.run(torch.float64, implementation, with_cp=True)
    assert_equal_results(actual, expected, 1e-12, 1e-14)


def trained(implementation, steps=25):
    torch.manual_seed(0)
    student = nn.ModuleList([
        nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)])
    connector = two_levels(implementation)
    optimizer = torch.optim.SGD([*student.parameters(), *connector.parameters()], 0.05, momentum=0.9)
    images = torch.randn(16, 3, 16, 12)
    teachers = [torch.randn(16, 5, 8, 6), torch.randn(16, 7, 4, 3)]
    losses = []
    for _ in range(steps):
        fine = student[0](images)
        coarse = student[1](fine.relu())
        loss = hierarchical_context_loss(connector([fine, coarse], SIZES), teachers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), connector


def test_a_training_run_has_the_same_losses():
    (plain, plain_connector), (fast, fast_connector) = trained('plain'), trained('fast')
    assert plain[-1] < 0.8 * plain[0]
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=0)
    for actual, expected in zip(fast_connector.buffers(), plain_connector.buffers()):
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


def train_in_a_pair(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    gradients = {}
    for implementation in ('plain', 'fast'):
        model = DistributedDataParallel(two_levels(implementation))
        for step in range(2):
            model.zero_grad()
            outputs = model(two_features(seed=10 * step + rank), SIZES)
            sum(o.square().mean() for o in outputs).backward()
        gradients[implementation] = {name: p.grad for name, p in model.module.named_parameters()}
    torch.save(gradients, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.slow
def test_gradients_are_those_of_the_plain_path_in_a_pair_of_processes(tmp_path):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / 'tests')]))
    processes = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], env=environment) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in range(2))
    for name, expected in first['plain'].items():
        torch.testing.assert_close(first['fast'][name], second['fast'][name], rtol=0, atol=0)
        torch.testing.assert_close(first['fast'][name], expected, rtol=1e-3, atol=1e-5)


if __name__ == '__main__':
    train_in_a_pair(int(sys.argv[1]), sys.argv[2])
