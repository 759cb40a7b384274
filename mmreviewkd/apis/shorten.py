"""Shorten a config's schedule in proportion."""

from mmengine.config import Config

from mmreviewkd.utils.errors import ConfigError

from .checks import require_keys

# Settings of MMEngine's parameter schedulers that count epochs or iterations.
_LENGTHS = ('begin', 'end', 'T_max', 'total_steps', 'total_iters', 'step_size', 'period')


def shorten(cfg: Config, share: float) -> None:
    """Shorten training, parameter schedulers and the distiller's warm-up to a share of their length.

    The points of the training at which validation begins or changes its interval move with it.

    A curve of learning rates keeps its shape. Counts are rounded, to 1 at least where they were; those of iterations
    in a run by epochs keep their ratio to the rounded number of epochs.

    Args:
        cfg (Config): The config; changed in place.
        share (float): The share of the length to keep, above 0 and at most 1.

    Raises:
        ConfigError: If the config does not say how long it trains.
    """
    require_keys(cfg, ('train_cfg',))
    length = next((key for key in ('max_iters', 'max_epochs') if cfg.train_cfg.get(key)), None)
    if length is None:
        raise ConfigError('train_cfg has neither `max_epochs` nor `max_iters`, so the training has no length')
    whole = cfg.train_cfg[length]
    cfg.train_cfg[length] = _scaled(whole, share)
    share = cfg.train_cfg[length] / whole
    if cfg.train_cfg.get('val_begin'):
        cfg.train_cfg.val_begin = _scaled(cfg.train_cfg.val_begin, share)
    if cfg.train_cfg.get('dynamic_intervals'):
        cfg.train_cfg.dynamic_intervals = [
            (_scaled(begin, share), interval) for begin, interval in cfg.train_cfg.dynamic_intervals]
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        for key in _LENGTHS:
            if scheduler.get(key):
                scheduler[key] = _scaled(scheduler[key], share)
        for key in ('milestones', 'periods'):
            if scheduler.get(key):
                scheduler[key] = [_scaled(count, share) for count in scheduler[key]]
    for key in ('warmup_epochs', 'warmup_iters'):
        if cfg.model.get(key):
            cfg.model[key] = cfg.model[key] * share if key == 'warmup_epochs' else _scaled(cfg.model[key], share)


def _scaled(count: int, share: float) -> int:
    return max(1, round(count * share))
