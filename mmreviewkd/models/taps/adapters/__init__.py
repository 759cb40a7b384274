"""Adapters: modules that turn the features at a tap, such as tokens, into maps ``[N, C, H, W]``."""

from .channels_last_to_map import ChannelsLastToMap
from .tokens_to_map import TokensToMap, token_grid, tokens_to_map

__all__ = ['ChannelsLastToMap', 'TokensToMap', 'token_grid', 'tokens_to_map']
