"""Compare the classes that a teacher was trained for with those of the training data."""

import logging
from collections.abc import Sequence

from mmengine.logging import print_log

from mmreviewkd.utils.errors import ConfigError


def check_class_names(taught: Sequence[str], learned: Sequence[str]) -> None:
    """Refuse the same classes in another order, and warn of other ones: logits are distilled class by class.

    Names are compared without regard to case and underscores. Nothing is said where one side has no names, or where the
    numbers differ, which the logits themselves show.

    Args:
        taught (Sequence[str]): The classes of the teacher, in order.
        learned (Sequence[str]): The classes of the training data, in order.

    Raises:
        ConfigError: If the classes are the same, in another order.
    """
    own, other = ([name.lower().replace('_', ' ').strip() for name in names] for names in (learned, taught))
    if own == other or len(own) != len(other):
        return
    if sorted(own) == sorted(other):
        first = next(i for i, pair in enumerate(zip(own, other)) if pair[0] != pair[1])
        raise ConfigError(
            f'teacher.checkpoint has the classes of the training data in another order (class {first} is '
            f'{taught[first]!r}, in the training data {learned[first]!r}), so its logits would teach the wrong ones; '
            'train the teacher on data in this order, or leave out logit_loss')
    if sum(a == b for a, b in zip(own, other)) < len(own) / 2:
        print_log(
            f'the teacher was trained for other classes ({_some(taught)}) than those of the training data '
            f'({_some(learned)}), but logit_loss compares them one by one', 'current', logging.WARNING)


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:3]) + (', …' if len(names) > 3 else '')
