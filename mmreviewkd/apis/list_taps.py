"""List the modules of a config's model that can be tapped."""

from mmengine.registry import DefaultScope

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.probe import blank_images
from mmreviewkd.models.taps.survey import Survey, survey
from mmreviewkd.utils.config import load_config, model_config, without_pretrained
from mmreviewkd.utils.config_paths import resolve_paths
from mmreviewkd.utils.random import preserved_random_state

from .checks import check_data
from .first_batch import NoBatchError
from .training_image import training_image


def list_taps(config: str, size: tuple[int, int] | None = None) -> Survey:
    """List every module of a model that outputs a feature, with its shape, stride and order.

    Args:
        config (str): A path, or ``'package::path/of/config.py'``. For the config of a distillation, its student is
            listed.
        size (tuple[int, int], optional): ``(H, W)`` of the image that the model is run on, in pixels. Defaults to the
            size of the training images, or, if the config has no training pipeline, the first of several usual sizes
            that the model accepts.

    Returns:
        Survey: The features, in the order in which their modules finish.

    Raises:
        ConfigError: If there is no such config, it holds no model, or its model does not run on such an image.
    """
    cfg = load_config(config, 'config')
    resolve_paths(cfg)
    check_data(cfg)
    given = cfg.get('model')
    student = given.get('student') if isinstance(given, dict) else None
    reference = student['model'] if isinstance(student, dict) and 'model' in student else config
    found = without_pretrained(model_config(reference, 'config'))
    if cfg.get('data_preprocessor'):
        found.setdefault('data_preprocessor', cfg.data_preprocessor)
    with preserved_random_state(), DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        model = build_model(found, 'model')
        if size:
            return survey(model, (next(blank_images(model)).shape[1], *size))
        try:
            image = training_image(cfg, found, model)
        except NoBatchError:
            image = None
        return survey(model, image)
