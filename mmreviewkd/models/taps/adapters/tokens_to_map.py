"""Tokens of a transformer, folded back to the map of patches they stand for."""

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import TapError, strict_keys


def token_grid(count: int, image_size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of square patches that cut an image into ``count`` tokens.

    A rest at the right and lower edges may be dropped, as by a convolution, or padded to whole patches.

    Args:
        count (int): How many tokens.
        image_size (tuple[int, int]): ``(H, W)`` of the image in pixels.

    Returns:
        tuple[int, int], optional: ``(h, w)`` with ``h * w == count``, or None where no side of a patch gives that.
    """
    height, width = image_size
    for side in range(1, max(height, width) + 1):
        for h, w in ((height // side, width // side), (-(-height // side), -(-width // side))):
            if h * w == count > 0:
                return h, w
    return None


def tokens_to_map(tokens: Tensor, grid: tuple[int, int], num_extra_tokens: int = 0) -> Tensor:
    """Fold tokens to a map, row by row; nothing is copied.

    Args:
        tokens (Tensor): ``[N, K + h * w, C]``.
        grid (tuple[int, int]): ``(h, w)``.
        num_extra_tokens (int): ``K``, those in front that stand for no patch. Defaults to 0.

    Returns:
        Tensor: ``[N, C, h, w]``.
    """
    return tokens[:, num_extra_tokens:].unflatten(1, grid).permute(0, 3, 1, 2)


@MODELS.register_module()
@strict_keys
class TokensToMap(nn.Module):
    """See :func:`tokens_to_map`; the grid follows from the size of the images, see :func:`token_grid`.

    Args:
        num_extra_tokens (int): Tokens in front that stand for no patch: 1 for a class token, 2 where a distillation
            token is beside it. Defaults to 0.

    Raises:
        ConfigError: If the number is negative.
    """

    def __init__(self, num_extra_tokens: int = 0) -> None:
        super().__init__()
        self.num_extra_tokens = number(num_extra_tokens, 'TokensToMap: num_extra_tokens', at_least=0, integer=True)

    def forward(self, tokens: Tensor, image_size: tuple[int, int] | None) -> Tensor:
        """``[N, K + h * w, C]`` to ``[N, C, h, w]``.

        Args:
            tokens (Tensor): What passed the tap.
            image_size (tuple[int, int], optional): ``(H, W)`` of the images in pixels.

        Raises:
            TapError: If these are no tokens, or they make no grid over such an image; the message tells how many
                extra tokens would leave one.
        """
        if not isinstance(tokens, Tensor) or tokens.dim() != 3:
            found = tuple(tokens.shape) if isinstance(tokens, Tensor) else f'of type {type(tokens).__name__}'
            raise TapError(f'gives no tokens [N, L, C] for TokensToMap, but what passes is {found}')
        if image_size is None:
            raise TapError('gives tokens, but the model runs on no batch of images whose size would tell their grid')
        count = tokens.shape[1]
        grid = token_grid(count - self.num_extra_tokens, image_size)
        if grid is None:
            fitting = [k for k in range(17) if token_grid(count - k, image_size)]
            hint = f'num_extra_tokens={fitting[0]} would leave a grid' if fitting \
                else 'does the network cut images into square patches, and keep them all?'
            raise TapError(
                f'gives {count} tokens, of which num_extra_tokens={self.num_extra_tokens} leaves '
                f'{count - self.num_extra_tokens}, no grid of patches over images of '
                f'{image_size[0]} x {image_size[1]} pixels; {hint}')
        return tokens_to_map(tokens, grid, self.num_extra_tokens)
