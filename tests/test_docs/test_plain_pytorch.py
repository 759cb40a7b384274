"""Every snippet of docs/plain_pytorch.md, and the one of the README, trains as it is written."""

import re

import pytest
import torch
from conftest import ROOT

PAGE = (ROOT / 'docs/plain_pytorch.md').read_text()
SECTIONS = {
    (re.match(r'#+ (.+)', section)[1]): re.findall(r'```python\n(.+?)```', section, re.DOTALL)
    for section in re.split(r'^(?=#)', PAGE, flags=re.MULTILINE) if '```python' in section}
NEEDED = {'Lightning': 'lightning', 'Accelerate': 'accelerate', 'timm': 'timm'}
FIRST = 'Plain PyTorch'

pytestmark = pytest.mark.slow


def run(snippets, names):
    for snippet in snippets:
        exec(compile(snippet, 'snippet', 'exec'), names)
    return names


@pytest.fixture(scope='module')
def names(tmp_path_factory):
    """The names that the first snippet leaves, and those that the others use; noise in place of images."""
    pytest.importorskip('torchvision')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('plain'))
        patch.setattr('mmreviewkd.models.taps.probe.SIDES', (64,))  # probes at the usual size take longer
        torch.manual_seed(0)
        data = [(torch.randn(3, 64, 64), i) for i in range(4)]
        boxes = torch.tensor([[8.0, 8, 60, 70], [30, 20, 90, 100]])
        yield run(SECTIONS[FIRST], dict(
            loader=torch.utils.data.DataLoader(data, batch_size=2),
            pictures=[torch.rand(3, 128, 100), torch.rand(3, 110, 128)],
            targets=[dict(boxes=boxes, labels=torch.tensor([1, 2]))] * 2))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def weights(names):
    return [parameter.detach().clone() for parameter in names['student'].parameters()]


def check_gradients(names):
    """The distillation loss that a snippet leaves is finite, and reaches the student."""
    names['student'].zero_grad()
    names['distillation'].backward()
    found = [p.grad for p in names['student'].parameters() if p.grad is not None]
    assert found and all(torch.isfinite(grad).all() for grad in found) and any(grad.any() for grad in found)


def test_the_first_snippet_trains_and_leaves_a_plain_student(names):
    assert len(names['optimizer'].state) == len(list(names['review'].parameters()))
    names['resnet18'](num_classes=10).load_state_dict(torch.load('student.pth', weights_only=True))


@pytest.mark.parametrize('title', [title for title in SECTIONS if title != FIRST])
def test_a_section_goes_on_from_the_first_snippet(title, names):
    if title in NEEDED:
        pytest.importorskip(NEEDED[title])
    snippets = SECTIONS[title]
    if 'GradScaler' in ''.join(snippets) and not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('this torch has no torch.amp.GradScaler')
    if title == 'Several processes':
        torch.distributed.init_process_group('gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)
    before = weights(names)
    run(snippets, names)
    if 'optimizer' in ''.join(snippets):
        assert not all(map(torch.equal, weights(names), before))
    else:
        check_gradients(names)


def test_the_snippet_of_the_readme(names):
    readme = (ROOT / 'README.md').read_text()
    snippet = next(s for s in re.findall(r'```python\n(.+?)```', readme, re.DOTALL) if 'distiller(' in s)
    assert snippet.count('\n') <= 15
    student, teacher = (names[name](num_classes=10) for name in ('resnet18', 'resnet34'))
    before = {name: value.clone() for name, value in student.named_parameters()}
    found = run([snippet], dict(
        torch=torch, criterion=names['cross_entropy'], student=student, teacher=teacher, loader=names['loader']))
    trained = {id(parameter) for group in found['optimizer'].param_groups for parameter in group['params']}
    assert trained == {id(parameter) for parameter in found['review'].parameters()}
    assert not any(torch.equal(value, before[name]) for name, value in student.named_parameters())
