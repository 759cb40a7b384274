"""Sweep of pairs: which of mmpretrain's and mmdet's own configs distil each other with ``taps='auto'``."""
