"""Misspelt top-level keys of configs."""

import difflib
from collections.abc import Mapping

# Keys that mmengine's Runner.from_cfg and its runner read.
_READ_BY_MMENGINE = (
    'model', 'work_dir', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg',
    'auto_scale_lr', 'optim_wrapper', 'param_scheduler', 'val_evaluator', 'test_evaluator', 'default_hooks',
    'custom_hooks', 'data_preprocessor', 'load_from', 'resume', 'launcher', 'env_cfg', 'log_processor', 'log_level',
    'visualizer', 'default_scope', 'randomness', 'experiment_name', 'runner_type', 'model_wrapper_cfg', 'sync_bn',
    'find_unused_parameters', 'compile', 'activation_checkpointing', 'efficient_conv_bn_eval', 'custom_imports')
# Keys that tools and inferencers of the OpenMMLab packages read, and variables of their base configs.
_USUAL = (
    'tta_model', 'tta_pipeline', 'backend_args', 'file_client_args', 'dataset_type', 'data_root', 'train_pipeline',
    'val_pipeline', 'test_pipeline', 'train_dataset', 'val_dataset', 'test_dataset', 'vis_backends', 'codec',
    'train_evaluator', 'max_epochs', 'max_iters', 'base_lr', 'num_classes', 'img_scale', 'crop_size', 'image_size',
    'optimizer', 'optimizer_config', 'lr_config', 'schedule', 'schedules', 'resume_from', 'hooks', 'model_cfg',
    'loss', 'strategy', 'deploy_cfg', 'init_cfg', 'log_config')
KNOWN_KEYS = frozenset((*_READ_BY_MMENGINE, *_USUAL))


def misspelt_keys(cfg: Mapping) -> dict[str, str]:
    """Find keys that are near matches of keys that MMEngine's runner reads.

    Keys that resemble none are legitimate: base configs keep variables under names of their own.

    Args:
        cfg (Mapping): A config.

    Returns:
        dict[str, str]: For each misspelt key, the key that was probably meant.
    """
    keys = [key for key, value in cfg.items() if isinstance(key, str) and value is not None]
    found = {}
    for key in keys:
        if key not in KNOWN_KEYS:
            near = difflib.get_close_matches(key, _READ_BY_MMENGINE, n=1, cutoff=0.75 if len(key) <= 6 else 0.85)
            if near and near[0] not in keys:
                found[key] = near[0]
    return found
