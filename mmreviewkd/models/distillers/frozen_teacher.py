"""The teacher: frozen for good, outside of everything that trains, saves or copies the student."""

import contextlib
from collections.abc import Callable, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.feature_taps import FeatureTaps
from mmreviewkd.models.taps.probe import Probe, probe, run
from mmreviewkd.utils.checkpoint import load_checkpoint, load_weights, state_dict_of
from mmreviewkd.utils.checks import choice, tap_list, text
from mmreviewkd.utils.config import metafile_weights, model_config
from mmreviewkd.utils.convert_checkpoint import convert_state
from mmreviewkd.utils.errors import CheckpointError
from mmreviewkd.utils.finite import check_finite
from mmreviewkd.utils.random import preserved_random_state

from .inference_graph import compile_features, fold_batch_norms
from .teacher_view import TeacherView


class FrozenTeacher:
    """A model that only guides.

    It is no ``nn.Module`` and is built whole only by :meth:`load`: so it is in no optimizer, no ``state_dict``, no
    DDP bucket, follows no ``train()``, costs a test run nothing, and a copy of the distiller shares it. The distiller
    passes on what moves or casts it (:meth:`apply`).

    Args:
        model (dict or str): The model dict or a config reference, see
            :func:`~mmreviewkd.utils.config.model_config`.
        checkpoint (str, optional): A path or URL, of weights in the model's own layout or another of the same layers
            (see :func:`~mmreviewkd.utils.convert_checkpoint.match_layout`); 'metafile' for the weights that the
            metafile beside the referenced config names; 'init_cfg' for what the model's own ``init_cfg`` gives it.
        taps (Sequence[str or dict]): What it is asked for, see :class:`FeatureTaps`. Defaults to ().
        logits (str, optional): The tap that gives its logits. Defaults to None.
        autocast (str, optional): Run it in this precision, 'float16' or 'bfloat16', whatever the student runs in.
            Defaults to None.

    Raises:
        ConfigError: If the model cannot be found, or the precision is unknown.
        TapError: If the taps are no names.
    """

    def __init__(
            self, model: dict | str, checkpoint: str | None = None, taps: Sequence[str | dict] = (),
            logits: str | None = None, autocast: str | None = None) -> None:
        choice(autocast, [None, 'float16', 'bfloat16'], 'teacher.autocast')
        text(checkpoint, 'teacher.checkpoint', "a path, a URL, 'metafile' or 'init_cfg'")
        self.config = model_config(model, 'teacher.model')
        self._reference = model
        self._checkpoint = checkpoint
        self.taps = FeatureTaps(tap_list(taps, 'teacher.taps', logits), 'teacher.taps')
        self._model: nn.Module | None = None
        self._probe: Probe | None = None
        self._view: TeacherView | None = None
        self._autocast = autocast and getattr(torch, autocast)
        self._compiled: Callable[[Tensor], tuple[Tensor, ...]] | None = None

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        return self

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    def probe(self) -> Probe:
        """What its taps give; the model is built for the look and let go again."""
        if self._probe is None:
            with preserved_random_state():
                self._probe = probe(build_model(self.config, 'teacher.model'), self.taps)
        return self._probe

    def load(self, student: nn.Module, compile_options: dict | None = None) -> None:
        """Build the model with its weights, as an inference graph, where the student is.

        Args:
            student (nn.Module): Gives the device, the type and the data preprocessor whose images the teacher sees.
            compile_options (dict, optional): Options of ``torch.compile``, if it is to be compiled. Defaults to None.

        Raises:
            CheckpointError: If there is no checkpoint, or it is missing, damaged, unsafe, not finite, or of another
                model.
        """
        if not self._checkpoint:
            raise CheckpointError(
                'teacher.checkpoint is not given, and a teacher without weights teaches noise; give a path, a URL, '
                "'metafile', or 'init_cfg' if the model's own init_cfg is meant to be all")
        with preserved_random_state():
            model = build_model(self.config, 'teacher.model')
            if self._checkpoint == 'init_cfg':
                model.init_weights()
            else:
                source = self._checkpoint
                if source == 'metafile':
                    source = metafile_weights(self._reference, 'teacher.checkpoint')
                checkpoint = load_checkpoint(source, where='teacher.checkpoint')
                state, report = convert_state(model, state_dict_of(checkpoint))
                load_weights(model, state, f'teacher.checkpoint: {source!r}')
                print_log(f'The teacher has the weights of {source}{report and f", {report}"}', 'current')
        check_finite(model, f'teacher.checkpoint: {self._checkpoint!r}')
        self.probe()
        if self.config.get('data_preprocessor'):
            self._view = TeacherView(student.data_preprocessor, model.data_preprocessor)
        parameter = next(student.parameters())
        model = fold_batch_norms(model.eval(), self._features_of_noise)
        self._model = model.eval().requires_grad_(False).to(parameter.device, parameter.dtype)
        if compile_options is not None:
            self._compiled = compile_features(
                self._model, self.taps, lambda inputs: run(self._model, inputs, None, self.probe().entry),
                **compile_options)

    def apply(self, function: Callable[[nn.Module], object]) -> None:
        """Hand the model, if loaded, to a function that moves or casts it."""
        if self._model is not None:
            function(self._model)

    def _features_of_noise(self, model: nn.Module) -> tuple[Tensor, ...]:
        image = torch.randn(1, *self.probe().image, generator=torch.Generator().manual_seed(0))
        return self._features(model, image, None)

    def _features(self, model: nn.Module, inputs: Tensor, data_samples: list | None) -> tuple[Tensor, ...]:
        seen = self.probe()
        with self.taps.record(model, inputs, stop_after=seen.calls) as recording:
            run(model, inputs, data_samples, seen.entry)
        return recording.features()

    @torch.no_grad()
    def levels(self, inputs: Tensor, data_samples: list | None = None) -> tuple[Tensor, ...]:
        """What the taps give for a batch; nothing past the deepest of them runs.

        Args:
            inputs (Tensor): The batch as the student sees it, ``[N, C, H, W]``.
            data_samples (list, optional): Its data samples.

        Returns:
            tuple[Tensor, ...]: ``[N, O_k, H_k, W_k]``, in the order of the taps.
        """
        inputs = inputs if self._view is None else self._view(inputs, data_samples)
        precision = contextlib.nullcontext() if self._autocast is None else torch.autocast(
            inputs.device.type, self._autocast)
        with precision:
            return self._features(self._model, inputs, data_samples) if self._compiled is None \
                else self._compiled(inputs)
