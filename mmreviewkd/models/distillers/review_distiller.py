"""The distiller: a ``BaseModel`` that trains a student with its own losses and Knowledge Review distillation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import MessageHub, print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.feature_taps import FeatureTaps
from mmreviewkd.models.taps.probe import probe
from mmreviewkd.models.taps.proposal import propose_taps
from mmreviewkd.ops.review_level import Unnormalized
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import (
    compile_options,
    data_preprocessor_config,
    init_config,
    integers,
    number,
    tap_list,
)
from mmreviewkd.utils.compiling import options_that_work
from mmreviewkd.utils.config import model_config
from mmreviewkd.utils.errors import ConfigError, check_keys, strict_keys
from mmreviewkd.utils.random import preserved_random_state

from .batch_errors import batch_errors_named
from .class_targets import class_targets
from .compiled_review import CompiledReview, may_be_compiled
from .frozen_teacher import FrozenTeacher
from .review_parts import (
    both_tables,
    build_parts,
    check_one_map_per_image,
    check_parts,
    distillation_losses,
    needs_classes,
)
from .state_dict_hooks import isolate_state_dict_hooks


@MODELS.register_module()
@strict_keys
class ReviewDistiller(BaseModel):
    """Train a student with its own losses and Knowledge Review distillation from a frozen teacher (paper, Sec. 3).

    In ``loss`` mode the connector transforms the student's features, and the distillation loss compares the results
    with the teacher's features. In all other modes the distiller behaves as its student.

    Args:
        student (dict): ``model`` (a model dict, or a config reference such as
            ``'mmpretrain::resnet/resnet18_8xb32_in1k.py'``), ``taps`` (names of its modules, fine to coarse, see
            :class:`FeatureTaps`, or 'auto' for those that :func:`~mmreviewkd.models.taps.proposal.propose_taps`
            proposes for the pair at ``image_shape``) and, for a ``logit_loss``, ``logits`` (the tap of its logits).
        teacher (dict): The same keys, and ``checkpoint`` and ``autocast``; see :class:`FrozenTeacher`.
        connector (dict, optional): Transforms the student's features to the teacher's channels and sizes. Its
            channels are inferred. A connector that does not return one map per level of the teacher has a method
            ``targets``, which selects the teacher's levels that its maps are compared with. None compares the
            features directly. Defaults to ``dict(type='ReviewConnector')``.
        distill_loss (dict, optional): Compares the connector's outputs with the teacher's features. Defaults to
            ``dict(type='HierarchicalContextLoss')``.
        logit_loss (dict, optional): Compares the logits. If its ``forward`` has a parameter ``targets``, it is given
            the classes of the images, see :func:`~mmreviewkd.models.distillers.class_targets.class_targets`. Defaults
            to None.
        warmup_epochs (int): ``distill_loss`` grows linearly over this many epochs, from 0 in the first one.
            Defaults to 0.
        warmup_iters (int): The same in iterations. Defaults to 0.
        warmup_ratio (float): The same as a share of the iterations of the training, from 0 to 1. Only one of the three
            can be given. Defaults to 0.
        compile (bool or dict): Whether to compile with ``torch.compile``: the teacher, and in one graph connector and
            ``distill_loss``. A graph computes the modules of a
            :class:`~mmreviewkd.models.connectors.review_connector.ReviewConnector`, in more memory than its own way
            takes, so one without ``implementation='plain'`` is left alone, as is one with ``with_cp``. A dict sets the
            options. Where that does not work, such as without a C++ compiler, a warning is logged and nothing is
            compiled. Defaults to False.
        image_shape (tuple[int, ...], optional): ``(C, H, W)`` of the training images, for ``taps='auto'``. This
            package's tools find it in the training pipeline. For models whose inputs are no images, such as
            recognizers of clips ``[N, frames, C, H, W]``, the shape of one input of one frame, ``(1, C, H, W)``, by
            which channels are inferred. Defaults to None: a shape that both models accept.
        data_preprocessor (dict, optional): The student's data preprocessor, if its model dict has none; MMEngine's
            runner passes the config's. Defaults to None.
        init_cfg (dict, optional): The initialization config of MMEngine's ``BaseModule``. Defaults to None.

    Attributes:
        observer (Callable, optional): Called in each ``loss`` with the losses, the connector's outputs and the
            teacher's features that they are compared with. It must leave them as they are. Defaults to None.
        student_probe (Probe): The levels of the student's taps.

    Raises:
        ConfigError: If a part of the config cannot work; the message names its key.
    """

    def __init__(
            self,
            student: dict,
            teacher: dict,
            connector: dict | None = dict(type='ReviewConnector'),  # noqa: B006
            distill_loss: dict | None = dict(type='HierarchicalContextLoss'),  # noqa: B006
            logit_loss: dict | None = None,
            warmup_epochs: int = 0,
            warmup_iters: int = 0,
            warmup_ratio: float = 0.0,
            compile: bool | dict = False,
            image_shape: tuple[int, ...] | None = None,
            data_preprocessor: dict | None = None,
            init_cfg: dict | None = None) -> None:
        check_keys(student, ['model', 'taps', 'logits'], 'student')
        check_keys(teacher, ['model', 'checkpoint', 'taps', 'logits', 'autocast'], 'teacher')
        for name, part in (('student', student), ('teacher', teacher)):
            if 'model' not in part:
                raise ConfigError(f'{name} has no `model`: give a model dict or a config reference')
        check_parts(connector, distill_loss, logit_loss, dict(
            student=student.get('logits'), teacher=teacher.get('logits')))
        warmups = dict(warmup_epochs=warmup_epochs, warmup_iters=warmup_iters, warmup_ratio=warmup_ratio)
        if len(given := [key for key, value in warmups.items() if value]) > 1:
            raise ConfigError(f'{" and ".join(given)} are given; keep one')

        config = model_config(student['model'], 'student.model')
        if data_preprocessor_config(data_preprocessor, 'data_preprocessor') is not None:
            config.setdefault('data_preprocessor', data_preprocessor)
        check_distills_not(config, 'student.model')
        built = build_model(config, 'student.model')
        if not isinstance(built, BaseModel):
            raise ConfigError(f'student.model is a {type(built).__name__}, but only a MMEngine BaseModel can be '
                              'distilled, such as an ImageClassifier or a detector')
        super().__init__(data_preprocessor=built.data_preprocessor, init_cfg=init_config(init_cfg, 'init_cfg'))
        isolate_state_dict_hooks(built)
        self.student = built
        self.student_config = config
        self.warmup_epochs = number(warmup_epochs, 'warmup_epochs', at_least=0)
        self.warmup_iters = number(warmup_iters, 'warmup_iters', at_least=0)
        self.warmup_ratio = number(warmup_ratio, 'warmup_ratio', at_least=0)
        if warmup_ratio > 1:
            raise ConfigError(
                f'warmup_ratio={warmup_ratio} is no share of the training: it must be at most 1, such as 0.05')
        self.compile_options = compile_options(compile, 'compile')
        self._compiled_review: CompiledReview | None = None
        self.observer: Callable[[dict, Sequence[Tensor], Sequence[Tensor]], None] | None = None
        with preserved_random_state():
            student, teacher = _with_proposed_taps(student, teacher, built, image_shape)
        taps = tap_list(student.get('taps', ()), 'student.taps', student.get('logits'))
        self.taps = FeatureTaps(taps, 'student.taps')
        self.frozen_teacher = FrozenTeacher(**{key: value for key, value in teacher.items() if key != '_scope_'})
        with preserved_random_state():
            shape = tuple(image_shape) if image_shape is not None and len(image_shape) != 3 else None
            seen = probe(self.student, self.taps, shape), self.frozen_teacher.probe(shape)
            for name, part in build_parts(*seen, connector, distill_loss, logit_loss).items():
                setattr(self, name, part)
        self.student_probe = seen[0]
        self._report = both_tables(*seen)
        self._warn_of_a_distiller_as_teacher()

    def _warn_of_a_distiller_as_teacher(self) -> None:
        kind = self.frozen_teacher.config['type']
        cls = MODELS.get(kind) if isinstance(kind, str) else kind
        if isinstance(cls, type) and issubclass(cls, ReviewDistiller):
            print_log('teacher.model is itself a ReviewDistiller, of which only the student is used; export that '
                      'student and give its config and weights', 'current', logging.WARNING)

    def init_weights(self) -> None:
        """Initialize the student as without distillation, and load the teacher."""
        self._parts_are_the_students = True
        if not self.frozen_teacher.loaded:
            self._load_teacher()
            print_log(f'Levels of the review, fine to coarse:\n{self._report}', 'current')
        super().init_weights()

    def _load_teacher(self) -> None:
        options = options_that_work(self.compile_options, next(self.student.parameters()).device, 'model.compile')
        self.frozen_teacher.load(self.student, options)
        if options is not None and self.connector is not None:
            if may_be_compiled(self.connector):
                self._compiled_review = CompiledReview(options)
            else:
                print_log("model.compile: the teacher is compiled; the connector, only with implementation='plain' and "
                          'without with_cp', 'current')

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor') -> Any:
        """Run :meth:`loss` in ``loss`` mode, and the student's ``forward`` in any other.

        Args:
            inputs (Tensor): The batch, ``[N, C, H, W]``.
            data_samples (list, optional): Its data samples.
            mode (str): 'loss', 'predict' or 'tensor'. Defaults to 'tensor'.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode=mode)

    def loss(self, inputs: Tensor, data_samples: list | None = None) -> dict[str, Tensor]:
        """Compute the student's own losses and the distillation losses.

        Args:
            inputs (Tensor): The batch, ``[N, C, H, W]``, or mmdet3d's dict of images. For a semi-supervised student, a
                dict of batches by branch; the student is distilled on ``unsup_student``, the last branch that it runs
                on.
            data_samples (list, optional): Its data samples.

        Returns:
            dict[str, Tensor]: The student's losses by their names (but ``loss``, the name of the total, becomes
            ``loss_student``); ``loss_distill`` and its current ``distill_weight``, warm-up included; ``loss_logit``.

        Raises:
            ConfigError: If images or labels do not fit a model, the teacher's checkpoint cannot be used, or a batch of
                several branches lacks ``unsup_student``.
        """
        if not self.frozen_teacher.loaded:
            self._load_teacher()
        images, samples = _distilled_branch(inputs, data_samples)
        if self.compile_options is not None:
            # CUDA graphs (mode='reduce-overhead') reuse memory from here on, but not between teacher and connector.
            torch.compiler.cudagraph_mark_step_begin()
        with batch_errors_named(images, 'teacher'):
            targets = self.frozen_teacher.levels(images, samples)
        with batch_errors_named(images, 'student'):
            with self.taps.record(self.student, images) as recording:
                losses = self.student(inputs, data_samples, mode='loss')
            features = recording.features()
            check_one_map_per_image(recording, features, targets)
            # MMEngine logs the total as `loss`, which is also the name of a classifier's only loss.
            losses = {'loss_student' if name == 'loss' else name: value for name, value in losses.items()}
            warmup = self.warmup_factor() if self.distill_loss is not None else 1.0
            classes = class_targets(samples, type(self.logit_loss).__name__) if needs_classes(self.logit_loss) else None
            distilled, features, targets = distillation_losses(
                self.connector, self.distill_loss, self.logit_loss, features, targets, warmup, classes,
                self._compiled_review if self.observer is None else None)
            losses.update(distilled)
        if self.distill_loss is not None:
            weight = getattr(self.distill_loss, 'loss_weight', 1.0)
            losses['distill_weight'] = losses['loss_distill'].new_full((), warmup * weight)
        if self.observer is not None:
            again = [f.without_update() if isinstance(f, Unnormalized) else f for f in features]
            self.observer(losses, again, targets)
        return losses

    def warmup_factor(self) -> float:
        """Return the warm-up's current factor of ``distill_loss``, from the runner's epoch or iteration.

        Without a runner the factor is 1.

        Raises:
            ConfigError: If the warm-up is longer than the run, or in epochs where the run has only one.
        """
        hub = MessageHub.get_current_instance()
        if not (self.warmup_epochs or self.warmup_iters or self.warmup_ratio) or hub.get_info('loop_stage') != 'train':
            return 1.0
        self._check_warmup(hub.get_info('max_epochs'), hub.get_info('max_iters'))
        if self.warmup_epochs:
            return min(1.0, hub.get_info('epoch') / self.warmup_epochs)
        return min(1.0, hub.get_info('iter') / (self.warmup_iters or self.warmup_ratio * hub.get_info('max_iters')))

    def _check_warmup(self, max_epochs: int | None, max_iters: int | None) -> None:
        if self.warmup_epochs and max_epochs == 1:
            raise ConfigError(
                f'warmup_epochs={self.warmup_epochs} never ends in a run of one epoch (as which a run by iterations '
                'counts); use warmup_iters')
        for key, warmup, length, unit in (
                ('warmup_epochs', self.warmup_epochs, max_epochs, 'epochs'),
                ('warmup_iters', self.warmup_iters, max_iters, 'iterations')):
            if length is not None and warmup > length:
                raise ConfigError(
                    f'{key}={warmup} is longer than the run of {length} {unit}, so distill_loss would never get its '
                    'full weight; shorten the warm-up')

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> nn.Module:
        self.frozen_teacher.apply(lambda model: model._apply(fn, *args, **kwargs))
        return super()._apply(fn, *args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        # Once the distiller is complete, a hook that replaces a part of the classifier or detector, such as the
        # `loss_module` by mmpretrain's SwitchRecipeHook, means the student's.
        if self.__dict__.get('_parts_are_the_students') and name in self.student._modules and (
                name not in self._modules and not hasattr(type(self), name)):
            setattr(self.student, name, value)
        else:
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == 'student':
                raise
            # Lets hooks find attributes of the detector or classifier, such as a mean teacher's `teacher`.
            return getattr(self.student, name)


def check_distills_not(config: Mapping, where: str) -> None:
    """Refuse a student that distills from a teacher of its own, such as mmdet's LD.

    Args:
        config (Mapping): The model dict.
        where (str): Its config key, for the message.

    Raises:
        ConfigError: If it has the key ``teacher_config``.
    """
    if 'teacher_config' in config:
        kind = getattr(config['type'], '__name__', config['type'])
        raise ConfigError(
            f'{where} is a {kind}, which distills from a teacher of its own; use the detector that it trains, such as '
            'GFL for LD, as the student')


def _with_proposed_taps(
        student: dict, teacher: dict, network: nn.Module, image: tuple[int, ...] | None) -> tuple[dict, dict]:
    """Replace ``taps='auto'`` of both models by the taps proposed for the pair."""
    if image is not None and len(integers(image, 'image_shape', at_least=1)) < 3:
        raise ConfigError(f'image_shape must be the (C, H, W) of the training images, but is {image!r}')
    asked = [part.get('taps') == 'auto' for part in (student, teacher)]
    if not any(asked):
        return student, teacher
    if image is not None and len(image) != 3:
        raise ConfigError(
            f"taps='auto' looks for maps of images (C, H, W), but image_shape is {image!r}; name the taps of both")
    if not all(asked):
        given, missing = ('student', 'teacher') if asked[0] else ('teacher', 'student')
        raise ConfigError(
            f"{given}.taps='auto' matches the levels of both models, but {missing}.taps is "
            f"{(student, teacher)[asked[0]].get('taps')!r}; set both to 'auto', or name the taps of both")
    config = model_config(teacher['model'], 'teacher.model')
    proposal = propose_taps(network, build_model(config, 'teacher.model'), image and tuple(image))
    print_log(f"Levels that taps='auto' proposes, {proposal.heading}:\n" + '\n'.join(proposal.table()), 'current')
    return {**student, 'taps': proposal.student_taps}, {**teacher, 'taps': proposal.teacher_taps}


def _distilled_branch(
        inputs: Tensor | Mapping[str, Tensor], data_samples: list | Mapping[str, list] | None
) -> tuple[Tensor, list | None]:
    """The batch of the student's last forward pass, whose features the taps record."""
    branches = isinstance(data_samples, Mapping)
    if isinstance(inputs, Tensor) or (isinstance(inputs, Mapping) and not branches):
        return inputs, data_samples
    if not isinstance(inputs, Mapping):
        raise ConfigError(
            f'the batch is a {type(inputs).__name__} of {len(inputs)}, such as the views of a self-supervised model '
            "(SimSiam, MoCo); only a student that is given one tensor of images [N, C, H, W] can be distilled")
    if 'unsup_student' not in inputs:
        raise ConfigError(
            f"the batch has the branches {', '.join(inputs)}, but a semi-supervised student is distilled on the branch "
            "'unsup_student'; name it so in the training pipeline's MultiBranch, as mmdet's SemiBaseDetector expects")
    return inputs['unsup_student'], data_samples['unsup_student']
