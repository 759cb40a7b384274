"""A network that only computes features: in eval mode, without gradients, up to its deepest tap."""

import contextlib
import copy
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from mmreviewkd.models.taps.entry import run_entry
from mmreviewkd.models.taps.feature_taps import FeatureTaps
from mmreviewkd.models.taps.probe import Probe
from mmreviewkd.utils.random import preserved_random_state

from .frozen_convolution import freeze_convolutions
from .inference_graph import compile_features, fold_batch_norms


class FrozenNetwork:
    """Computes the features at the taps of a network that is frozen for good.

    It is not an ``nn.Module``, so it is in no optimizer, ``state_dict`` or DDP bucket, and ``train()`` does not affect
    it. Copies share its model until they are moved or cast otherwise, by :meth:`apply`, and then used.

    Args:
        model (nn.Module): The network with its weights; it is changed, so give a copy of one that is used elsewhere.
        taps (FeatureTaps): Its taps.
        seen (Probe): The levels of its taps.
        like (nn.Module): The student, whose device and dtype it gets.
        autocast (torch.dtype, optional): The precision that it runs in, independent of the student's. Defaults to None.
        optimize (bool): Whether batch normalizations are folded into convolutions, and 3x3 convolutions computed by the
            Winograd algorithm where that is faster. Defaults to True.
        compile_options (dict, optional): Options of ``torch.compile``; None does not compile it. Defaults to None.

    Attributes:
        model (nn.Module): The network in eval mode, without gradients.
        compiled (bool): Whether the features are computed by a compiled graph.
    """

    def __init__(
            self, model: nn.Module, taps: FeatureTaps, seen: Probe, like: nn.Module,
            autocast: torch.dtype | None = None, optimize: bool = True, compile_options: dict | None = None) -> None:
        self.taps = taps
        self._seen = seen
        self._autocast = autocast
        self._compiled: Callable[[Tensor], tuple[Tensor, ...]] | None = None
        # What a copy was moved and cast by since it was made; None where the model is its own.
        self._moves: list[Callable[[nn.Module], object]] | None = None
        # Some networks derive tensors from their parameters in eval(); these must not require gradients.
        model.requires_grad_(False)
        model.eval()
        if optimize:
            with preserved_random_state():
                model = fold_batch_norms(model, self._features_of_noise)
            if compile_options is None:
                freeze_convolutions(model)
        self._model = model.requires_grad_(False)
        parameter = next(like.parameters())
        self.apply(lambda model: model.to(parameter.device, parameter.dtype))
        if compile_options is not None:
            self._compiled = compile_features(
                self.model, taps, lambda inputs: run_entry(self.model, inputs, None, seen.entry), **compile_options)

    def __deepcopy__(self, memo: dict) -> 'FrozenNetwork':
        shared = object.__new__(type(self))
        shared.__dict__.update(self.__dict__)
        shared._moves = list(self._moves or ())
        return shared

    def __getstate__(self) -> dict:
        model = self.model  # moved as it should be, since the functions that move a copy cannot be pickled
        return {**self.__dict__, '_model': model}

    @property
    def model(self) -> nn.Module:
        """The network in eval mode, without gradients."""
        if self._moves:
            # An EMA copy, which may be moved to another device, never runs the teacher, so it copies no weights.
            moves, self._moves = self._moves, None
            self._model, self._compiled = copy.deepcopy(self._model), None
            for move in moves:
                self.apply(move)
        return self._model

    @property
    def compiled(self) -> bool:
        """Whether the features are computed by a compiled graph."""
        return self._compiled is not None

    def apply(self, function: Callable[[nn.Module], object]) -> None:
        """Apply a function that moves or casts the model.

        Args:
            function (Callable): Called with the model, which it changes in place.
        """
        if self._moves is not None:
            self._moves.append(function)
            return
        function(self._model)
        # Moves tensors that a network derives from its parameters in eval() to the new device or dtype, too.
        self._model.eval()

    @torch.no_grad()
    def levels(self, inputs: Tensor, data_samples: list | None = None) -> tuple[Tensor, ...]:
        """Compute the features of a batch, running nothing past the deepest tap.

        The global random state does not change.

        Args:
            inputs (Tensor): The batch, ``[N, C, H, W]``.
            data_samples (list, optional): Its data samples.

        Returns:
            tuple[Tensor, ...]: ``[N, O_k, H_k, W_k]``, in the order of the taps.
        """
        model = self.model
        device = next(model.parameters()).device
        precision = contextlib.nullcontext() if self._autocast is None else torch.autocast(device.type, self._autocast)
        with precision, _random_state_restored(device):
            return self._features(model, inputs, data_samples) if self._compiled is None \
                else self._compiled(inputs)

    def _features_of_noise(self, model: nn.Module) -> tuple[Tensor, ...]:
        noise = torch.randn(1, *self._seen.image, generator=torch.Generator().manual_seed(0))
        return self._features(model, noise.to(next(model.parameters())), None)

    def _features(self, model: nn.Module, inputs: Tensor, data_samples: list | None) -> tuple[Tensor, ...]:
        with self.taps.record(model, inputs, stop_after=self._seen.calls) as recording:
            run_entry(model, inputs, data_samples, self._seen.entry)
        return recording.features()


@contextlib.contextmanager
def _random_state_restored(device: torch.device) -> Iterator[None]:
    """Restore the random state of the host and of one device; some networks draw numbers or seed even in eval mode."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
