"""Two torch modules are distilled in loops of plain PyTorch."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from plain import LAYERS, STAGES, Small, batches, garments, resnet, step
from torch import nn
from torch.optim.swa_utils import AveragedModel

from mmreviewkd import distiller
from mmreviewkd.utils import CheckpointError, ConfigError, TapError


@pytest.fixture
def pair():
    return Small(4), Small(8, seed=1)


def build(pair, **changes):
    return distiller(*pair, **{'taps': LAYERS, 'image_shape': (1, 16, 16), **changes})


def all_equal(states, others):
    return states.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in states.items())


def test_the_package_is_imported_without_the_distiller_which_comes_on_its_first_use():
    code = ('import sys, mmreviewkd; assert "mmreviewkd.models" not in sys.modules; from mmreviewkd import distiller; '
            'print(distiller.__module__)')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    # Libraries may log something before.
    assert done.stdout.split()[-1] == 'mmreviewkd.models.distillers.plain_distiller'


@pytest.mark.exhaustive
def test_a_resnet_of_torchvision_learns_from_another(fashion_mnist):
    """Both losses fall, and the student classifies garments that it has not seen."""
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(garments(fashion_mnist), batch_size=64, shuffle=True)
    student, teacher = resnet(1), resnet(2, seed=1)
    review = distiller(
        student, teacher, taps=STAGES, loss_weight=0.5, image_shape=(1, 28, 28),
        connector=dict(type='ReviewConnector', mid_channels=32))
    optimizer = torch.optim.SGD(review.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    logs = [step(review, optimizer, *batch) for _ in range(3) for batch in loader]
    first, last = (torch.tensor(part).mean(0) for part in (logs[:6], logs[-6:]))
    assert last[0] < 0.7 * first[0] and last[1] < 0.9 * first[1]
    images, labels = garments(fashion_mnist, 't10k')[:]
    with torch.no_grad():
        assert (student.eval()(images).argmax(1) == labels).float().mean() > 0.5


def test_one_step_runs_the_student_once_and_the_teacher_up_to_its_deepest_tap(pair):
    student, _ = pair
    review = build(pair, taps=LAYERS[:1])
    ran = []
    student.register_forward_hook(lambda *_: ran.append('student'))
    for name in ('layer1', 'layer2', 'fc'):
        inner = getattr(review.frozen_teacher.model, name)
        (inner if name == 'fc' else inner[0]).register_forward_hook(lambda *_, name=name: ran.append(name))
    (images, _), = batches(1)
    output, distillation = review(images)
    assert ran == ['layer1', 'student']
    assert output.shape == (8, 10) and distillation.shape == ()


def test_the_student_stays_a_plain_module(pair):
    student, _ = pair
    twin = copy.deepcopy(student)
    review = build(pair)
    assert review.student is student
    before = set(vars(student)), student.state_dict().keys()
    for batch in batches(2):
        step(review, torch.optim.SGD(review.parameters(), lr=0.1), *batch)
    assert (set(vars(student)), student.state_dict().keys()) == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in student.modules())
    twin.load_state_dict(student.state_dict())
    (images, _), = batches(1)
    assert torch.equal(student.eval()(images), twin.eval()(images))


def test_the_teacher_is_a_frozen_copy_that_nothing_saves_or_trains(pair):
    _, teacher = pair
    before = copy.deepcopy(teacher.state_dict())
    review = build(pair)
    inner = review.frozen_teacher.model
    review.train()
    optimizer = torch.optim.SGD(review.parameters(), lr=0.1)
    step(review, optimizer, *batches(1)[0])
    assert all_equal(teacher.state_dict(), before) and teacher.training
    assert all(p.requires_grad for p in teacher.parameters())
    assert not any(p.requires_grad or p.grad is not None for p in inner.parameters())
    assert not any(module.training for module in inner.modules())
    assert not {id(p) for p in inner.parameters()} & {id(p) for p in review.parameters()}
    assert {name.partition('.')[0] for name in review.state_dict()} == {'student', 'connector', 'iterations'}
    for parameter in teacher.parameters():
        parameter.data.zero_()
    assert sum(p.abs().sum() for p in inner.parameters()) > 0


def test_moves_and_casts_as_one(pair):
    review = nn.ModuleDict(dict(review=build(pair))).double().review
    assert {p.dtype for p in (*review.parameters(), *review.frozen_teacher.model.parameters())} == {torch.float64}
    images, _ = batches(1)[0]
    assert review(images.double())[1].dtype == torch.float64
    review.to('meta')
    assert next(review.frozen_teacher.model.parameters()).is_meta


def test_proposed_taps_are_the_ends_of_the_stages_and_the_pooled_vector(pair):
    proposed = build(pair, taps='auto')
    assert proposed.taps.taps == ('layer1[-1]:input', 'layer2[-1]:input', 'pool')
    assert proposed.connector.out_channels == (8, 16, 16)
    found = distiller(resnet(1), resnet(2), image_shape=(1, 28, 28))
    assert found.taps.taps == (*STAGES, 'avgpool')


def test_building_it_draws_no_random_numbers_and_leaves_both_models_as_they_are(pair):
    flags = [module.training for model in pair for module in model.modules()]
    states = [copy.deepcopy(model.state_dict()) for model in pair]
    random = torch.get_rng_state()
    build(pair, taps='auto')
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for model in pair for module in model.modules()] == flags
    assert all(all_equal(model.state_dict(), state) for model, state in zip(pair, states))


def test_weight_and_warm_up_scale_the_loss_between_features(pair):
    images, _ = batches(1)[0]
    plain, weighted, warm = (
        build(copy.deepcopy(pair), **changes) for changes in ({}, dict(loss_weight=3.0), dict(warmup_iters=4)))
    for other in (weighted, warm):
        other.load_state_dict(plain.state_dict())
    expected = [plain(images)[1].item() for _ in range(6)]
    torch.testing.assert_close(weighted(images)[1].item(), 3 * expected[0], rtol=1e-5, atol=0)
    found = [warm(images)[1].item() for _ in range(6)]
    torch.testing.assert_close(
        found, [min(1, i / 4) * value for i, value in enumerate(expected)], rtol=1e-4, atol=1e-6)
    warm.eval()(images)
    assert warm.iterations == 6


def test_a_saved_run_goes_on_where_it_was(pair, tmp_path):
    runs = [build(copy.deepcopy(pair), warmup_iters=5) for _ in range(2)]
    optimizers = [torch.optim.SGD(review.parameters(), lr=0.05, momentum=0.9) for review in runs]
    data = batches(4)
    for batch in data[:2]:
        step(runs[0], optimizers[0], *batch)
    torch.save(dict(review=runs[0].state_dict(), optimizer=optimizers[0].state_dict()), tmp_path / 'run.pth')
    saved = torch.load(tmp_path / 'run.pth', weights_only=True)
    runs[1].load_state_dict(saved['review'])
    optimizers[1].load_state_dict(saved['optimizer'])
    for batch in data[2:]:
        assert step(runs[0], optimizers[0], *batch) == step(runs[1], optimizers[1], *batch)
    assert all_equal(runs[0].state_dict(), runs[1].state_dict())


def test_the_connector_alone_is_saved_and_loaded(pair):
    first, second = build(pair), build(copy.deepcopy(pair))
    with torch.no_grad():
        for parameter in first.connector.parameters():
            parameter.add_(0.01)
    second.connector.load_state_dict(first.connector.state_dict())
    images, _ = batches(1)[0]
    assert torch.equal(first(images)[1], second(images)[1])


def test_gradients_accumulate_over_batches(pair):
    """In eval mode, in which batch normalization does not mix images, two halves give the gradient of the whole."""
    review = build(pair).eval()
    images, labels = batches(1)[0]

    def gradients(chunks):
        review.zero_grad()
        for part in range(chunks):
            output, distillation = review(images.chunk(chunks)[part])
            ((F.cross_entropy(output, labels.chunk(chunks)[part]) + distillation) / chunks).backward()
        return [p.grad.clone() for p in review.parameters()]

    for whole, halves in zip(gradients(1), gradients(2)):
        torch.testing.assert_close(halves, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_frozen_normalizations_of_the_student_stay_frozen(pair):
    student, _ = pair
    review = build(pair)
    student.eval()
    before = student.layer1[1].running_mean.clone()
    review(batches(1)[0][0])
    assert torch.equal(student.layer1[1].running_mean, before) and review.connector.training


def test_averaged_copies_of_student_and_distiller(pair):
    student, _ = pair
    review = build(pair)
    averaged, whole = AveragedModel(student), AveragedModel(review)
    step(review, torch.optim.SGD(review.parameters(), lr=0.1), *batches(1)[0])
    averaged.update_parameters(student)
    whole.update_parameters(review)
    images, _ = batches(1)[0]
    assert averaged(images).shape == (8, 10)
    assert whole.module.frozen_teacher.model is review.frozen_teacher.model
    assert not any('teacher' in name for name in whole.state_dict())
    assert torch.equal(averaged.module.fc.weight, whole.module.student.fc.weight)


@pytest.mark.parametrize('teacher_precision', [None, 'bfloat16'])
def test_runs_under_autocast_with_a_gradient_scaler(pair, teacher_precision):
    review = build(pair, autocast=teacher_precision)
    optimizer = torch.optim.SGD(review.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler('cpu', init_scale=4.0) if hasattr(torch.amp, 'GradScaler') else None
    images, labels = batches(1)[0]
    expected = copy.deepcopy(review)(images)[1]
    with torch.autocast('cpu', torch.bfloat16):
        output, distillation = review(images)
        loss = F.cross_entropy(output, labels) + distillation
    assert output.dtype == torch.bfloat16 and distillation.dtype == torch.float32
    torch.testing.assert_close(distillation, expected, rtol=0.1, atol=0)
    if scaler is None:
        loss.backward()
        optimizer.step()
    else:
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert all(torch.isfinite(p).all() for p in review.parameters())


def test_channels_last_gives_the_same(pair):
    review = build(pair).eval()
    images, _ = batches(1)[0]
    expected = review(images)
    found = review.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_logits_are_distilled_alone_or_beside_features(pair):
    student, teacher = pair
    images, _ = batches(1)[0]
    alone = build(pair, taps='auto', distill_loss=None, logits='fc', logit_loss=dict(type='LogitDistillationLoss'))
    assert alone.connector is None
    student.eval()
    teacher.eval()
    output, distillation = alone(images)
    with torch.no_grad():
        p, q = ((logits / 4).softmax(1) for logits in (teacher(images), output))
    torch.testing.assert_close(distillation, 16 * (p * (p / q).log()).sum(1).mean(), rtol=1e-3, atol=1e-6)
    both = build(pair, logits=dict(student='fc', teacher='fc'), logit_loss=dict(type='LogitDistillationLoss'))
    assert both(images)[1] > distillation


def test_other_arguments_are_the_students(pair):
    class Noisy(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images, scale, *, shift=0.0):
            return dict(logits=self.network(images) * scale + shift)

    student, teacher = pair
    with pytest.raises(ConfigError, match=r'student.taps: Noisy could not be run .*missing 1 required .*image_shape'):
        distiller(Noisy(student), teacher, taps=dict(student=['network.layer1'], teacher=['layer1']))
    Noisy.forward.__defaults__ = (1.0,)
    review = distiller(
        Noisy(student), teacher, taps=dict(student=['network.layer1'], teacher=['layer1']),
        connector=dict(type='SameLevelConnector'), distill_loss=dict(type='FeatureL2Loss', loss_weight=2.0))
    images, _ = batches(1)[0]
    output, distillation = review(images, 0.0, shift=3.0)
    assert torch.equal(output['logits'], torch.full((8, 10), 3.0)) and distillation > 0


class Pyramid(nn.Module):
    """Returns a dict of maps, as torchvision's backbones do."""

    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 4, 1)
        self.down = nn.Conv2d(width, 2 * width, 3, 2, 1)

    def forward(self, images):
        fine = self.stem(images)
        return {'0': fine, '1': self.down(fine)}


class Detector(nn.Module):
    """Takes a list of images, of which each may have another size."""

    def __init__(self, width):
        super().__init__()
        self.backbone = Pyramid(width)

    def forward(self, images, targets=None):
        levels = self.backbone(torch.stack([F.interpolate(image[None], (32, 32))[0] for image in images]))
        return dict(loss=levels['1'].square().mean()) if self.training else []


def test_lists_of_images_and_dicts_of_features():
    review = distiller(Detector(4), Detector(8), taps=['backbone'], connector=dict(type='SameLevelConnector'))
    losses, distillation = review([torch.ones(3, 40, 30), torch.ones(3, 32, 32)], [{}, {}])
    assert losses['loss'] > 0 and distillation > 0 and review.connector.blocks[1][0].in_channels == 8
    assert distiller(Detector(4), Detector(8)).taps.taps == ('backbone',)


def test_networks_for_other_inputs_are_given_their_shape():
    def network(width):
        return nn.Sequential(nn.Linear(7, width), nn.ReLU(), nn.Linear(width, 3))

    with pytest.raises(ConfigError, match=r'student.taps: Sequential could not be run .* give the image_shape'):
        distiller(network(8), network(16), taps=['1'])
    review = distiller(network(8), network(16), taps=['[1]'], image_shape=(7,))
    output, distillation = review(torch.randn(5, 7))
    assert output.shape == (5, 3) and distillation > 0
    with pytest.raises(ConfigError, match=r"taps='auto' looks for maps of images .*but image_shape is \(7,\)"):
        distiller(network(8), network(16), image_shape=(7,))


def test_mistakes_are_named(pair):
    student, teacher = pair
    for arguments, error, message in (
            ((dict(type='ResNet'), teacher), ConfigError, 'student must be a torch.nn.Module, but is dict; configs'),
            ((student, None), ConfigError, 'teacher must be a torch.nn.Module, but is NoneType'),
            ((nn.DataParallel(student), teacher), ConfigError, 'student is a DataParallel; give the module inside'),
            ((nn.ReLU(), teacher), ConfigError, 'student is a ReLU without parameters'),
            ((student, teacher, 'layer1'), ConfigError, "taps must be 'auto', a list of module names"),
            ((student, teacher, ['layer5']), TapError, "student.taps: 'layer5' names no module; did you mean 'layer"),
            ((student, teacher, dict(student=['layer1'])), ConfigError, "taps names 'student', but not 'teacher'"),
            ((student, teacher, dict(pupil=['layer1'])), ConfigError, "taps has an unknown key 'pupil'"),
            ((student, teacher, ['layer1'], -1), ConfigError, 'loss_weight must be a finite number of at least 0'),
            ((student, teacher, ['layer1'], 1e39), ConfigError, 'loss_weight must be a finite number of at least 0'),
            ((student, teacher, ['layer1'], None, 0.5), ConfigError, 'warmup_iters must be an integer')):
        with pytest.raises(error, match=message.replace('(', r'\(')):
            distiller(*arguments)
    for changes, message in (
            (dict(loss_weight=1.0, distill_loss=dict(type='FeatureL2Loss', loss_weight=2.0)), 'are both given'),
            (dict(loss_weight=1.0, distill_loss=None), 'is the weight of distill_loss, which is None'),
            (dict(logits='fc'), "logit_loss and logits belong together: logits='fc' names"),
            (dict(connector=dict(type='RevieConnector')), "did you mean 'mmreviewkd.ReviewConnector'"),
            (dict(autocast='float8'), "autocast must be 'float16' or 'bfloat16', but is 'float8'"),
            (dict(image_shape=28), 'image_shape must be a list of integers of at least 1, but is 28')):
        with pytest.raises(ConfigError, match=message):
            build(pair, **changes)
    teacher.fc.weight.data[0, 0] = float('nan')
    with pytest.raises(CheckpointError, match=r'teacher: 1 of .* tensors of Small hold NaN'):
        build(pair)


def test_a_student_that_is_moved_alone_is_named(pair):
    student, _ = pair
    review = build(pair)
    student.to('meta')
    with pytest.raises(ConfigError, match=r"the student is on meta, but .* on cpu; move the distiller"):
        review(batches(1)[0][0])


def test_batches_too_small_for_a_level_are_named(pair):
    review = build(pair)
    with pytest.raises(ConfigError, match=r'a batch of one image has a level of 1 x 1 pixel.*drop_last'):
        review(torch.zeros(1, 1, 8, 8))
