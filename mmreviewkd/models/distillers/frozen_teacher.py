"""The frozen teacher, isolated from everything that trains, saves or copies the student."""

import copy
import logging
from collections.abc import Callable, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.feature_taps import FeatureTaps
from mmreviewkd.models.taps.probe import Probe, probe
from mmreviewkd.utils.checkpoint import load_checkpoint, load_weights, state_dict_of
from mmreviewkd.utils.checks import choice, tap_list, text
from mmreviewkd.utils.config import loads_weights, metafile_weights, model_config
from mmreviewkd.utils.convert_checkpoint import convert_state
from mmreviewkd.utils.errors import CheckpointError
from mmreviewkd.utils.finite import check_finite
from mmreviewkd.utils.random import preserved_random_state

from .frozen_network import FrozenNetwork
from .teacher_view import TeacherView


class FrozenTeacher:
    """A :class:`FrozenNetwork` that is built from a config and a checkpoint, whose features the student learns from.

    It is in memory only after :meth:`load`, so testing does not load it.

    Args:
        model (dict or str): The model dict or a config reference, see
            :func:`~mmreviewkd.utils.config.model_config`.
        checkpoint (str, optional): A path or URL of weights, in the model's own layout or in another one of the same
            layers (see :func:`~mmreviewkd.utils.convert_checkpoint.match_layout`); 'metafile' for the weights that the
            metafile beside the referenced config names; 'init_cfg' for the weights that the model's own ``init_cfg``
            loads.
        taps (Sequence[str or dict]): The taps of its features, see :class:`FeatureTaps`. Defaults to ().
        logits (str, optional): The tap of its logits, which become the last level. Defaults to None.
        autocast (str, optional): The precision that it runs in, 'float16' or 'bfloat16', independent of the student's.
            Defaults to None.

    Attributes:
        model (nn.Module, optional): The network in eval mode, without gradients; None until :meth:`load`.
        loaded (bool): Whether the model is in memory.
        view (TeacherView, optional): Converts the student's images to the teacher's normalization; None if the
            teacher's config has no data preprocessor, so that both see the same images. Set by :meth:`load`.
        compiled (bool): Whether the features are computed by a compiled graph.
        classes (tuple[str, ...]): The names of its classes, as its checkpoint has them; empty if it has none, and until
            :meth:`load`.
        optimize (bool): Whether :meth:`load` optimizes the model for inference, see :class:`FrozenNetwork`. Defaults to
            True.

    Raises:
        ConfigError: If the model cannot be found, or the precision is unknown.
        TapError: If a tap is not a name or an adapter's dict.
    """

    def __init__(
            self, model: dict | str, checkpoint: str | None = None, taps: Sequence[str | dict] = (),
            logits: str | None = None, autocast: str | None = None) -> None:
        choice(autocast, [None, 'float16', 'bfloat16'], 'teacher.autocast')
        text(checkpoint, 'teacher.checkpoint', "a path, a URL, 'metafile' or 'init_cfg'")
        self.config = model_config(model, 'teacher.model')
        self.taps = FeatureTaps(tap_list(taps, 'teacher.taps', logits), 'teacher.taps')
        self.view: TeacherView | None = None
        self.optimize = True
        self.classes: tuple[str, ...] = ()
        self._reference = model
        self._checkpoint = checkpoint
        self._probe: Probe | None = None
        self._network: FrozenNetwork | None = None
        self._autocast = autocast and getattr(torch, autocast)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        shared = copy.copy(self)
        shared._network = copy.deepcopy(self._network)
        return shared

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._network is not None

    @property
    def model(self) -> nn.Module | None:
        """The network in eval mode, without gradients; None until :meth:`load`."""
        return self._network and self._network.model

    @property
    def compiled(self) -> bool:
        """Whether the features are computed by a compiled graph."""
        return self.loaded and self._network.compiled

    def probe(self, image: tuple[int, ...] | None = None) -> Probe:
        """The levels of its taps; the first call builds the model and releases it again.

        Args:
            image (tuple[int, ...], optional): The only shape to try in the first call, see
                :func:`~mmreviewkd.models.taps.probe.probe`. Defaults to None.
        """
        if self._probe is None:
            with preserved_random_state():
                self._probe = probe(build_model(self.config, 'teacher.model'), self.taps, image)
        return self._probe

    def load(self, student: nn.Module, compile_options: dict | None = None) -> None:
        """Build the model with its weights, optimized for inference, with the student's device and dtype.

        Args:
            student (nn.Module): The student, whose device, dtype and data preprocessor are those of the images.
            compile_options (dict, optional): Options of ``torch.compile``; None does not compile the model. Defaults to
                None.

        Raises:
            CheckpointError: If no checkpoint is given, or it is missing, damaged, unsafe, not finite, or does not fit
                the model.
        """
        if not self._checkpoint:
            raise CheckpointError(
                'teacher.checkpoint is not given, and a teacher without weights teaches noise; give a path, a URL, '
                "'metafile', or 'init_cfg' if the model's own init_cfg is meant to be all")
        with preserved_random_state():
            model = self._build_with_weights()
        check_finite(model, f'teacher.checkpoint: {self._checkpoint!r}')
        if self.config.get('data_preprocessor'):
            self.view = TeacherView(student.data_preprocessor, model.data_preprocessor)
        self._network = FrozenNetwork(
            model, self.taps, self.probe(), student, self._autocast, self.optimize, compile_options)

    def apply(self, function: Callable[[nn.Module], object]) -> None:
        """Apply a function that moves or casts the model, if it is loaded; see :meth:`FrozenNetwork.apply`."""
        if self._network is not None:
            self._network.apply(function)

    def levels(self, inputs: Tensor, data_samples: list | None = None) -> tuple[Tensor, ...]:
        """Compute the features of a batch; see :meth:`FrozenNetwork.levels`.

        Args:
            inputs (Tensor): The batch as the student sees it, ``[N, C, H, W]``.
            data_samples (list, optional): Its data samples.

        Returns:
            tuple[Tensor, ...]: ``[N, O_k, H_k, W_k]``, in the order of the taps.
        """
        with torch.no_grad():
            inputs = inputs if self.view is None else self.view(inputs, data_samples)
        return self._network.levels(inputs, data_samples)

    def _build_with_weights(self) -> nn.Module:
        model = build_model(self.config, 'teacher.model')
        if self._checkpoint == 'init_cfg':
            if not loads_weights(self.config):
                print_log(
                    "teacher.checkpoint='init_cfg', but no init_cfg in teacher.model loads weights, so the teacher is "
                    'random and teaches noise', 'current', logging.WARNING)
            model.init_weights()
            return model
        source = self._checkpoint
        if source == 'metafile':
            source = metafile_weights(self._reference, 'teacher.checkpoint')
        checkpoint = load_checkpoint(source, where='teacher.checkpoint')
        state, report = convert_state(model, state_dict_of(checkpoint, f'teacher.checkpoint: {source!r}'))
        load_weights(model, state, f'teacher.checkpoint: {source!r}')
        self.classes = _class_names(checkpoint)
        print_log(f'The teacher has the weights of {source}{report and f", {report}"}', 'current')
        return model


def _class_names(checkpoint: dict) -> tuple[str, ...]:
    """The class names in a checkpoint's ``meta``, where MMEngine or older OpenMMLab libraries write them."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    data = meta.get('dataset_meta')
    names = data.get('classes') if isinstance(data, dict) else meta.get('CLASSES')
    fits = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    return tuple(names) if fits else ()
