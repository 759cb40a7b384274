"""List the modules of a config's model that can be tapped."""

from mmengine.registry import DefaultScope

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.survey import Survey, survey
from mmreviewkd.utils.config import load_config, model_config
from mmreviewkd.utils.random import preserved_random_state


def list_taps(config: str, size: int | None = None) -> Survey:
    """List every module of a model that outputs a feature, with its shape, stride and order.

    Args:
        config (str): A path, or ``'package::path/of/config.py'``. For the config of a distillation, its student is
            listed.
        size (int, optional): The side of the square image that the model is run on, in pixels. Defaults to the first of
            several usual sizes that the model accepts.

    Returns:
        Survey: The features, in the order in which their modules finish.

    Raises:
        ConfigError: If there is no such config, it holds no model, or its model runs on none of the blank images.
    """
    cfg = load_config(config, 'config')
    model = cfg.get('model')
    student = model.get('student') if isinstance(model, dict) else None
    model = student['model'] if isinstance(student, dict) and 'model' in student else config
    with preserved_random_state(), DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return survey(build_model(model_config(model, 'config'), 'model'), size)
