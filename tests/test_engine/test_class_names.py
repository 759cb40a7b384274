"""The classes of a teacher's checkpoint against those of the training data."""

import pytest

from mmreviewkd.engine import class_names
from mmreviewkd.utils import ConfigError


@pytest.fixture
def warned(monkeypatch):
    lines = []
    monkeypatch.setattr(class_names, 'print_log', lambda text, *args: lines.append(text))
    return lines


def test_the_same_classes_in_another_order_are_refused(warned):
    with pytest.raises(ConfigError, match=r"another order \(class 1 is 'dog', in the training data 'cat'\)"):
        class_names.check_class_names(['ape', 'dog', 'cat'], ['ape', 'cat', 'dog'])
    assert not warned


def test_other_classes_are_named_in_a_warning(warned):
    class_names.check_class_names(['car', 'bus', 'van', 'bike'], ['ape', 'cat', 'dog', 'eel'])
    line, = warned
    assert '(car, bus, van, …) than those of the training data (ape, cat, dog, …)' in line


@pytest.mark.parametrize(('taught', 'learned'), [
    (['Traffic_Light', 'cat'], ['traffic light', 'Cat']), ([], ['cat']), (['cat'], []), (['a', 'b'], ['c']),
    (['ape', 'cat', 'dog'], ['ape', 'cat', 'hound'])])
def test_nothing_is_said_of_the_same_or_unknown_classes(taught, learned, warned):
    class_names.check_class_names(taught, learned)
    assert not warned
