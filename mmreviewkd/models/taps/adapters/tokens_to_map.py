"""Adapter that arranges the tokens of a transformer as a map, one pixel per image patch."""

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import TapError, strict_keys


def token_grid(count: int, image_size: tuple[int, int]) -> tuple[int, int] | None:
    """Infer the grid ``(h, w)`` of ``count`` square patches from the image size.

    The image need not be a whole number of patches: the remainder at the right and lower edges may be dropped, as by a
    convolution without padding, or padded to whole patches.

    Args:
        count (int): Number of tokens.
        image_size (tuple[int, int]): ``(H, W)`` of the image in pixels.

    Returns:
        tuple[int, int], optional: ``(h, w)`` with ``h * w == count``, or None if no patch size gives that.
    """
    height, width = image_size
    for side in range(1, max(height, width) + 1):
        for h, w in ((height // side, width // side), (-(-height // side), -(-width // side))):
            if h * w == count > 0:
                return h, w
    return None


def tokens_to_map(tokens: Tensor, grid: tuple[int, int], num_extra_tokens: int = 0) -> Tensor:
    """Arrange tokens row by row as a map, without copying.

    Args:
        tokens (Tensor): ``[N, K + h * w, C]``.
        grid (tuple[int, int]): ``(h, w)``.
        num_extra_tokens (int): ``K``, the leading tokens that belong to no patch. Defaults to 0.

    Returns:
        Tensor: ``[N, C, h, w]``.
    """
    return tokens[:, num_extra_tokens:].unflatten(1, grid).permute(0, 3, 1, 2)


@MODELS.register_module()
@strict_keys
class TokensToMap(nn.Module):
    """Arrange tokens ``[N, K + h * w, C]`` as a map, on the grid that :func:`token_grid` infers from the image size.

    Args:
        num_extra_tokens (int): Number ``K`` of leading tokens that belong to no patch: 1 for a class token, 2 for a
            class and a distillation token. Defaults to 0.

    Raises:
        ConfigError: If the number is negative.
    """

    def __init__(self, num_extra_tokens: int = 0) -> None:
        super().__init__()
        self.num_extra_tokens = number(num_extra_tokens, 'TokensToMap: num_extra_tokens', at_least=0, integer=True)

    def forward(self, tokens: Tensor, image_size: tuple[int, int] | None) -> Tensor:
        """Arrange the tokens of a batch as maps; see :func:`tokens_to_map`.

        Args:
            tokens (Tensor): The value at the tap, ``[N, K + h * w, C]``.
            image_size (tuple[int, int], optional): ``(H, W)`` of the images in pixels.

        Returns:
            Tensor: ``[N, C, h, w]``.

        Raises:
            TapError: If the value is no such tensor, or its tokens form no grid over images of this size; the message
                gives the number of extra tokens that would leave one.
        """
        if not isinstance(tokens, Tensor) or tokens.dim() != 3:
            found = f'a tensor {tuple(tokens.shape)}' if isinstance(tokens, Tensor) else f'a {type(tokens).__name__}'
            raise TapError(f'gives no tokens [N, L, C] for TokensToMap, but {found}')
        if image_size is None:
            raise TapError('gives tokens, but their grid is unknown, as the batch is no tensor [N, C, H, W]')
        count = tokens.shape[1]
        grid = token_grid(count - self.num_extra_tokens, image_size)
        if grid is None:
            fitting = [k for k in range(17) if token_grid(count - k, image_size)]
            hint = f'num_extra_tokens={fitting[0]} would leave a grid' if fitting \
                else 'the adapter needs square patches that are all kept'
            raise TapError(
                f'gives {count} tokens, of which num_extra_tokens={self.num_extra_tokens} leaves '
                f'{count - self.num_extra_tokens}, no grid of patches over images of '
                f'{image_size[0]} x {image_size[1]} pixels; {hint}')
        return tokens_to_map(tokens, grid, self.num_extra_tokens)
