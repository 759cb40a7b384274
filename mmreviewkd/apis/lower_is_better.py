"""Find out whether a lower value of a metric is better."""

import re

from mmengine.config import Config

# Names of OpenMMLab's losses, errors and distances: of poses (NME, EPE, MPJPE, MRRPE), depth (RMSE, AbsRel, SqRel,
# log10, SILog), detection (mMR; mATE and its like of nuScenes), and generated images (MAE, SAD, FID, LPIPS, NIQE).
_NAMES = re.compile(
    r'loss|error|(?<![a-z0-9])(?:nme|epe|[a-z]*mpjpe|mrrpe|[a-z]*mse|mae|abs_?rel|sq_?rel|log10|silog|mmr'
    r'|ma[tsov]e|maae|sad|fid|lpips|niqe)(?![a-z0-9])', re.IGNORECASE)


def is_lower_better(metric: str, cfg: Config | None = None) -> bool:
    """Whether a lower value of a metric is better.

    The ``rule`` of the config's ``CheckpointHook`` says so of a metric by which it saves the best checkpoint; of any
    other one, its name says so.

    Args:
        metric (str): The name of the metric, such as 'NME' or 'val_loss'.
        cfg (Config, optional): The config of a training. Defaults to None: the name alone.
    """
    hook = ((cfg or {}).get('default_hooks') or {}).get('checkpoint') or {}
    names, rules = ([value] if isinstance(value, str) else value or [] for value in (
        hook.get('save_best'), hook.get('rule')))
    rule = dict(zip(names, rules if len(rules) > 1 else [*rules] * len(names))).get(metric)
    return bool(_NAMES.search(metric)) if rule is None else rule == 'less'
