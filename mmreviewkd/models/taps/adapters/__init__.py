"""Adapters: modules that convert the value at a tap, such as tokens, to a map ``[N, C, H, W]``."""

from .channels_last_to_map import ChannelsLastToMap
from .tokens_to_map import TokensToMap, token_grid, tokens_to_map

__all__ = ['ChannelsLastToMap', 'TokensToMap', 'token_grid', 'tokens_to_map']
