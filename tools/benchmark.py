"""What a training step costs with Knowledge Review: time, memory kept for the backward pass, and arithmetic.

Everything is timed in turns in one process and stated as a ratio to the floor: the teacher's forward pass in eval mode
and the student's forward and backward pass with its own loss, plain modules, in the faster of the two memory formats.
The optimizer is left out.
"""

import argparse
import contextlib
import copy
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmreviewkd.apis import read_config
from mmreviewkd.models import HierarchicalContextLoss, ReviewConnector
from mmreviewkd.registry import MODELS

aten = torch.ops.aten
ROOT = Path(__file__).resolve().parent.parent
FORMATS = {'NCHW': torch.contiguous_format, 'channels_last': torch.channels_last}


# The textbook: the method as its paper and its published code have it, sharing nothing with the package.

class TextbookFusion(nn.Module):
    """A level: two convolutions with their normalizations, and attention over the concatenated maps."""

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, fuse: bool) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(in_channels, mid_channels, 1, bias=False), nn.BatchNorm2d(mid_channels))
        self.conv2 = nn.Sequential(
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels))
        self.att_conv = nn.Sequential(nn.Conv2d(2 * mid_channels, 2, 1), nn.Sigmoid()) if fuse else None

    def forward(self, x: Tensor, y: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        n, _, h, w = x.shape
        x = self.conv1(x)
        if self.att_conv is not None:
            y = F.interpolate(y, (h, w), mode='nearest')
            z = self.att_conv(torch.cat([x, y], dim=1))
            x = x * z[:, 0].view(n, 1, h, w) + y * z[:, 1].view(n, 1, h, w)
        if x.shape[-2:] != tuple(size):
            x = F.interpolate(x, tuple(size), mode='nearest')
        return self.conv2(x), x


class TextbookConnector(nn.Module):
    """The review path, coarse to fine."""

    def __init__(self, in_channels: list[int], out_channels: list[int], mid_channels: int) -> None:
        super().__init__()
        last = len(in_channels) - 1
        self.blocks = nn.ModuleList(
            TextbookFusion(c, mid_channels, o, k < last) for k, (c, o) in enumerate(zip(in_channels, out_channels)))

    def forward(self, features: list[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
        outputs, residual = [], None
        for block, feature, size in reversed([*zip(self.blocks, features, sizes)]):
            output, residual = block(feature, residual, size)
            outputs.insert(0, output)
        return outputs


def textbook_loss(students: list[Tensor], teachers: list[Tensor]) -> Tensor:
    """The hierarchical context loss, with both maps pooled at every scale."""
    total = 0.0
    for student, teacher in zip(students, teachers):
        loss, weight, weights = F.mse_loss(student, teacher), 1.0, 1.0
        for size in (4, 2, 1):
            if size >= student.shape[2]:
                continue
            weight /= 2
            pooled = [F.adaptive_avg_pool2d(f, (size, size)) for f in (student, teacher)]
            loss = loss + weight * F.mse_loss(*pooled)
            weights += weight
        total = total + loss / weights
    return total


# The pairs.

def classifier(backbone: dict, channels: int, classes: int) -> dict:
    return dict(
        type='ImageClassifier', backbone=backbone, neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=channels,
                  loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))


def cifar(depth: int, widths: tuple[int, ...]) -> dict:
    return classifier(dict(type='mmreviewkd.CIFARResNet', depth=depth, widths=widths), widths[-1], 100)


CIFAR_STAGES = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'neck']
CIFAR_BEFORE_RELU = [*(f'backbone.layer{i}[-1].relu:input' for i in (1, 2, 3)), 'neck']
STAGES_BEFORE_RELU = [*(f'backbone.layer{i}[-1].relu:input' for i in (1, 2, 3, 4)), 'neck']


def distiller(student: dict, student_taps: list[str], teacher: dict, teacher_taps: list[str], **connector) -> dict:
    return dict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=student, taps=student_taps),
        teacher=dict(model=teacher, taps=teacher_taps, checkpoint='init_cfg'),
        connector=dict(type='ReviewConnector', **connector))


def resnet(depth: int, channels: int) -> dict:
    return classifier(dict(type='ResNet', depth=depth, num_stages=4, out_indices=(3,)), channels, 1000)


def images(batch: int, side: int, classes: int, channels: int = 3) -> Callable[[dict], tuple[Tensor, list]]:
    def make(device: torch.device) -> tuple[Tensor, list]:
        samples = [DataSample().set_gt_label(i % classes).to(device) for i in range(batch)]
        return torch.randn(batch, channels, side, side, device=device), samples
    return make


def from_config(path: str) -> dict:
    """The distiller of a config, with no weights but random ones."""
    config = read_config(path)
    model = config.model
    model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    model.teacher.checkpoint = 'init_cfg'
    return without_pretrained(model)


def without_pretrained(config: object) -> object:
    if isinstance(config, list):
        return [without_pretrained(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {key: without_pretrained(value) for key, value in config.items()
            if not (key == 'init_cfg' and isinstance(value, dict) and value.get('type') == 'Pretrained')}


def batch_of_config(path: str, device: torch.device) -> tuple[Tensor, list]:
    """A batch that the config's own loader gives, as its model preprocesses it."""
    config = read_config(path)
    loader = {**config.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
    preprocessor = MODELS.build(from_config(path)).data_preprocessor.to(device)
    packed = preprocessor(next(iter(Runner.build_dataloader(loader, seed=0))), training=True)
    return packed['inputs'], packed['data_samples']


def scenes(device: torch.device) -> tuple[Tensor, list]:
    from mmdet.testing import demo_mm_inputs
    packed = demo_mm_inputs(8, [[3, 96, 96]] * 8, num_items=[4] * 8, num_classes=10, with_mask=True)
    samples = [sample.to(device) for sample in packed['data_samples']]
    for sample in samples:
        sample.set_metainfo(dict(batch_input_shape=(96, 96), pad_shape=(96, 96)))
    return torch.randn(8, 3, 96, 96, device=device), samples


PAIRS = {
    'cifar-resnet32x4-8x4': (
        lambda: distiller(cifar(8, (32, 64, 128, 256)), CIFAR_STAGES, cifar(32, (32, 64, 128, 256)), CIFAR_BEFORE_RELU),
        images(64, 32, 100)),
    'cifar-resnet56-20': (
        lambda: distiller(cifar(20, (16, 16, 32, 64)), CIFAR_STAGES, cifar(56, (16, 16, 32, 64)), CIFAR_BEFORE_RELU),
        images(64, 32, 100)),
    'imagenet-resnet34-18': (
        lambda: distiller(resnet(18, 512), STAGES_BEFORE_RELU, resnet(34, 512), STAGES_BEFORE_RELU),
        images(8, 224, 1000)),
    'imagenet-resnet50-mobilenetv1': (
        lambda: distiller(
            classifier(dict(type='mmreviewkd.MobileNetV1'), 1024, 1000), STAGES_BEFORE_RELU, resnet(50, 2048),
            STAGES_BEFORE_RELU, mid_channels=256),
        images(8, 224, 1000)),
    'fashion-resnet14-8': (
        partial(from_config, f'{ROOT}/configs/fashion_mnist/resnet8_review-resnet14.py'),
        images(128, 28, 10, channels=1)),
    'fashion-mask-rcnn-r34-r18': (
        partial(from_config, f'{ROOT}/configs/fashion_scenes/mask-rcnn_r18_review-r34.py'), scenes),
}
PYRAMIDS = {
    'fpn-512x512': [(128, 128), (64, 64), (32, 32), (16, 16), (8, 8)],
    'fpn-800x1216': [(200, 304), (100, 152), (50, 76), (25, 38), (13, 19)],
}


# The steps that are compared. Each gives the loss that is then sent back.

def floor(model: nn.Module, inputs: Tensor, samples: list) -> Tensor:
    with torch.no_grad():
        model.frozen_teacher.model.extract_feat(inputs)
    return total(model.student(inputs, samples, mode='loss'))


def total(losses: dict) -> Tensor:
    values = [value for name, value in losses.items() if 'loss' in name]
    return sum(v.mean() if isinstance(v, Tensor) else sum(item.mean() for item in v) for v in values)


def distillation(model: nn.Module, inputs: Tensor, samples: list) -> Tensor:
    return total(model.loss(inputs, samples))


def review(connector: nn.Module, loss: Callable, features: list[Tensor], guides: list[Tensor]) -> Tensor:
    return loss(connector(features, [guide.shape[-2:] for guide in guides]), guides)


def textbook_parts(model: nn.Module) -> nn.Module:
    """The distiller with the textbook's connector, of the same weights, and loss."""
    model.connector = textbook_of(model.connector)
    model.distill_loss = TextbookLoss(model.distill_loss.loss_weight)
    return model


def textbook_of(connector: ReviewConnector) -> TextbookConnector:
    plain = TextbookConnector(
        [b.conv1[0].in_channels for b in connector.blocks], [b.conv2[0].out_channels for b in connector.blocks],
        connector.mid_channels)
    plain.load_state_dict(connector.state_dict(), strict=True)
    return plain.to(next(connector.parameters()).device)


class TextbookLoss(nn.Module):
    """See :func:`textbook_loss`."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, students: list[Tensor], teachers: list[Tensor]) -> Tensor:
        return self.loss_weight * textbook_loss(students, teachers)


def set_connector(model: nn.Module, **settings) -> nn.Module:
    for name, value in settings.items():
        setattr(getattr(model, 'connector', model), name, value)
    return model


def textbook_hcl(model: nn.Module) -> nn.Module:
    model.distill_loss = TextbookLoss(model.distill_loss.loss_weight)
    return model


def built(config: dict, device: torch.device, fold: bool) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config))
    model.frozen_teacher.fold = fold
    model.init_weights()
    return model.train().to(device)


def steps_of_pair(name: str, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    init_default_scope('mmdet' if 'rcnn' in name else 'mmpretrain')
    config, batch = PAIRS[name]
    return steps_of(config(), *batch(device), device)


def steps_of_config(path: str, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    init_default_scope(read_config(path).get('default_scope', 'mmengine'))
    return steps_of(from_config(path), *batch_of_config(path, device), device)


def steps_of(config: dict, inputs: Tensor, samples: list, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """Every column of a pair, each with a model of its own and the same weights."""

    def column(step, change=lambda model: model, memory_format='NCHW', fold=True):
        model = change(built(config, device, fold)).to(memory_format=FORMATS[memory_format])
        return partial(step, model, inputs.contiguous(memory_format=FORMATS[memory_format]), samples)

    steps = {}
    for memory_format in FORMATS:
        steps[f'floor, {memory_format}'] = column(floor, memory_format=memory_format, fold=False)
        steps[f'textbook, {memory_format}'] = column(distillation, textbook_parts, memory_format, fold=False)
        steps[f'ours, {memory_format}'] = column(distillation, memory_format=memory_format)
    without = partial(column, distillation, memory_format='channels_last')
    steps['ours, teacher not folded'] = without(fold=False)
    steps['ours, connector plain'] = without(partial(set_connector, implementation='plain'))
    steps['ours, HCL as in the textbook'] = without(textbook_hcl)
    steps['ours, with_cp'] = without(partial(set_connector, with_cp=True))
    return steps


def steps_of_pyramid(name: str, device: torch.device) -> dict[str, Callable[[], Tensor]]:
    """The connector and HCL alone, on features of a pyramid of 256 channels."""
    torch.manual_seed(0)
    sizes = PYRAMIDS[name]
    connector = ReviewConnector([256] * len(sizes), [256] * len(sizes), 256).train().to(device)
    maps = [[torch.randn(1, 256, *size, device=device) for size in sizes] for _ in range(2)]

    def column(change, loss, memory_format):
        features, guides = ([m.contiguous(memory_format=FORMATS[memory_format]) for m in side] for side in maps)
        changed = change(copy.deepcopy(connector)).to(memory_format=FORMATS[memory_format])
        return partial(review, changed, loss, [f.clone().requires_grad_() for f in features], guides)

    hcl, steps = HierarchicalContextLoss(), {}
    for memory_format in FORMATS:
        steps[f'textbook, {memory_format}'] = column(textbook_of, textbook_loss, memory_format)
        steps[f'ours, {memory_format}'] = column(lambda model: model, hcl, memory_format)
    steps['ours, connector plain'] = column(partial(set_connector, implementation='plain'), hcl, 'NCHW')
    steps['ours, HCL as in the textbook'] = column(lambda model: model, textbook_loss, 'NCHW')
    steps['ours, with_cp'] = column(partial(set_connector, with_cp=True), hcl, 'NCHW')
    return steps


# Measuring.

def bytes_kept(step: Callable[[], Tensor]) -> int:
    """Bytes of the distinct storages that autograd keeps from the forward to the backward pass, parameters aside."""
    parameters = {p.untyped_storage().data_ptr() for p in parameters_of(step)}
    kept = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage  # held, so that no other tensor takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = step()
    size = sum(storage.nbytes() for storage in kept.values())
    loss.backward()
    return size


def parameters_of(step: partial) -> list[nn.Parameter]:
    return [p for argument in step.args if isinstance(argument, nn.Module) for p in argument.parameters()]


def arithmetic(step: Callable[[], Tensor]) -> int:
    """Floating point operations of products and convolutions in a step."""
    counter = FlopCounterMode(display=False, custom_mapping={
        aten.addmm_: lambda a, b, c, **_: 2 * b[0] * b[1] * c[1],
        aten.baddbmm_: lambda a, b, c, **_: 2 * b[0] * b[1] * b[2] * c[2],
        aten.convolution_backward: grouped_convolution_backward,
    })
    # Its tracker hooks every module, and modules that are watched are left to compute as they are defined.
    counter.mod_tracker = NoModules()
    with counter:
        step().backward()
    return counter.get_total_flops()


def grouped_convolution_backward(grad, inputs, weight, *arguments, **_) -> int:
    """Of what the output mask asks for; the library's own formula takes a depthwise convolution for a dense one."""
    return 2 * math.prod(grad) * math.prod(weight[1:]) * sum(arguments[-1][:2])


class NoModules(contextlib.nullcontext):
    """Stands in for what tells a FLOP counter which module is running."""

    parents = ('Global',)


def seconds(step: Callable[[], Tensor], device: torch.device) -> float:
    for parameter in parameters_of(step):
        parameter.grad = None
    synchronize(device)
    start = time.perf_counter()
    step().backward()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def peak_bytes(step: Callable[[], Tensor], device: torch.device) -> int | None:
    if device.type != 'cuda':
        return None
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    seconds(step, device)
    return torch.cuda.max_memory_allocated(device) - before


def measure(steps: dict[str, Callable[[], Tensor]], runs: int, device: torch.device) -> dict[str, dict]:
    """What every column takes, keeps and computes, also relative to the base: the faster floor, or the textbook."""
    times = {column: [] for column in steps}
    for step in steps.values():
        seconds(step, device)
    for _ in range(runs):
        for column, step in steps.items():
            times[column].append(seconds(step, device))
    medians = {column: statistics.median(values) for column, values in times.items()}
    floors = [column for column in steps if column.startswith('floor')]
    base = min(floors, key=medians.get) if floors else 'textbook, NCHW'
    rows = {}
    for column, step in steps.items():
        rows[column] = dict(
            milliseconds=1e3 * medians[column],
            time=statistics.median(a / b for a, b in zip(times[column], times[base])),
            bytes=bytes_kept(step), flops=arithmetic(step), peak_bytes=peak_bytes(step, device))
    for row in rows.values():
        row['kept'] = row['bytes'] / rows[base]['bytes']
        row['arithmetic'] = row['flops'] / rows[base]['flops']
    rows[base]['base'] = True
    return rows


def table(name: str, rows: dict[str, dict]) -> str:
    lines = [f'### {name}', '', '| | ms | time | MB kept | kept | GFLOP | FLOP |', '|---|---|---|---|---|---|---|']
    for column, row in rows.items():
        mark = '**' if row.get('base') else ''
        lines.append(
            f'| {mark}{column}{mark} | {row["milliseconds"]:.0f} | {row["time"]:.2f} | {row["bytes"] / 1e6:.0f} | '
            f'{row["kept"]:.2f} | {row["flops"] / 1e9:.0f} | {row["arithmetic"]:.2f} |')
    return '\n'.join(lines) + '\n'


def headline(rows: dict[str, dict], what: str, figure: str) -> float:
    """The figure of the faster of the two memory formats."""
    return min((rows[f'{what}, {f}'] for f in FORMATS if f'{what}, {f}' in rows), key=lambda row: row['time'])[figure]


def summary(pairs: dict[str, dict]) -> str:
    lines = ['| pair | textbook, time · kept | ours, time · kept |', '|---|---|---|']
    for name, rows in pairs.items():
        cells = [f'{headline(rows, what, "time"):.2f} · {headline(rows, what, "kept"):.2f}'
                 for what in ('textbook', 'ours')]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def draw(pairs: dict[str, dict], path: Path) -> None:
    """Textbook and ours beside the floor."""
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.8 + 0.6 * len(pairs)), sharey=True)
    for axis, key, label in zip(axes, ('time', 'kept'), ('time of a step', 'bytes kept for the backward pass')):
        for offset, (what, color) in enumerate((('textbook', '#b0b0b0'), ('ours', '#1f77b4'))):
            values = [headline(rows, what, key) for rows in pairs.values()]
            bars = axis.barh([i + 0.38 * offset for i in range(len(pairs))], values, 0.36, color=color, label=what)
            axis.bar_label(bars, fmt='%.2f', padding=3, fontsize=8)
        axis.axvline(1, color='black', linewidth=0.8)
        axis.set_title(f'{label}, ratio to the base')
        axis.margins(x=0.12)
        axis.spines[['top', 'right']].set_visible(False)
    axes[0].set_yticks([i + 0.19 for i in range(len(pairs))], [*pairs])
    axes[0].invert_yaxis()
    axes[1].legend(frameon=False)
    figure.tight_layout()
    temporary = path.with_name(path.name + '.part')
    figure.savefig(temporary, dpi=120, format='png', metadata={'Software': None})
    plt.close(figure)
    os.replace(temporary, path)


def report(result: dict, page: Path) -> None:
    """Put tables, plot and machine into the page, between its two marks."""
    begin, end = '<!-- measured -->', '<!-- end of what was measured -->'
    before, rest = page.read_text().split(begin)
    draw(result['pairs'], page.with_suffix('.png'))
    machine = ', '.join(f'{key} {value}' for key, value in result['machine'].items())
    tables = '\n'.join(table(name, rows) for name, rows in result['pairs'].items())
    content = (f'{summary(result["pairs"])}\n![Time and memory]({page.stem}.png)\n\nMachine: {machine}; medians of '
               f'{result["runs"]} runs.\n\n{tables}')
    temporary = page.with_name(page.name + '.part')
    temporary.write_text(f'{before}{begin}\n\n{content}\n{end}{rest.split(end)[1]}')
    os.replace(temporary, page)


def machine(device: torch.device) -> dict:
    name = platform.processor() or platform.machine()
    if Path('/proc/cpuinfo').exists():
        models = [line.split(':')[1] for line in Path('/proc/cpuinfo').read_text().splitlines() if 'model name' in line]
        name = models[0].strip() if models else name
    return dict(
        cpu=name, threads=torch.get_num_threads(), torch=torch.__version__, python=platform.python_version(),
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu')


def write_json(path: Path, content: dict) -> None:
    temporary = path.with_name(path.name + '.part')
    temporary.write_text(json.dumps(content, indent=1))
    os.replace(temporary, path)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pair', nargs='+', choices=[*PAIRS, *PYRAMIDS], default=[*PAIRS, *PYRAMIDS], metavar='NAME',
                        help=f'which of {", ".join([*PAIRS, *PYRAMIDS])}; all of them without it')
    parser.add_argument('--config', nargs='+', default=[], metavar='FILE',
                        help='measure these configs, on a batch of their own training data, instead of the pairs')
    parser.add_argument('--runs', type=int, default=7, help='how often each step is timed')
    parser.add_argument('--json', type=Path, help='write the figures to this file, after every pair')
    parser.add_argument('--page', type=Path, help='put tables and plot into this page, between its marks')
    parser.add_argument('--device', type=torch.device, default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    result = dict(machine=machine(args.device), runs=args.runs, pairs={})
    for name in args.config or args.pair:
        steps_of_name = steps_of_config if args.config else steps_of_pair if name in PAIRS else steps_of_pyramid
        steps = steps_of_name(name, args.device)
        rows = result['pairs'][name] = measure(steps, args.runs, args.device)
        print(table(name, rows), flush=True)
        if args.json:
            write_json(args.json, result)
    print(summary(result['pairs']))
    if args.page:
        report(result, args.page)


if __name__ == '__main__':
    main()
