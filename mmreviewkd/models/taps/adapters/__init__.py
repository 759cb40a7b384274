"""What makes feature maps of what passes a tap, where a network keeps its features in another shape."""

from .channels_last_to_map import ChannelsLastToMap
from .tokens_to_map import TokensToMap, token_grid, tokens_to_map

__all__ = ['ChannelsLastToMap', 'TokensToMap', 'token_grid', 'tokens_to_map']
