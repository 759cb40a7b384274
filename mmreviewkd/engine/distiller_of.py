"""Find the distiller of a run."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmreviewkd.models import ReviewDistiller
from mmreviewkd.utils.errors import ConfigError


def distiller_of(runner: Runner, hook: str) -> ReviewDistiller:
    """Return the distiller that a runner trains.

    Args:
        runner (Runner): The runner; a parallel model is unwrapped.
        hook (str): The name of the hook that asks, for the message.

    Raises:
        ConfigError: If the runner trains another model.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not isinstance(model, ReviewDistiller):
        raise ConfigError(
            f'custom_hooks: {hook} observes the levels of a ReviewDistiller, but the model is a '
            f'{type(model).__name__}; remove the hook from this config')
    return model
