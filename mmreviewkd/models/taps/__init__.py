"""Taps: features recorded from inside a model."""

from .adapters import ChannelsLastToMap, TokensToMap
from .feature_taps import FeatureTaps

__all__ = ['ChannelsLastToMap', 'FeatureTaps', 'TokensToMap']
