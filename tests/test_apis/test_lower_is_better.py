"""Whether a metric is the better the lower it is, by the rule of the config or by its name."""

import pytest
from mmengine.config import Config

from mmreviewkd.apis.lower_is_better import is_lower_better


@pytest.mark.parametrize('metric', [
    'val_loss', 'NME', 'EPE', 'MPJPE', 'P-MPJPE', 'MPJPE_all', 'MRRPE', 'rmse', 'rmse_log', 'abs_rel', 'AbsRel',
    'sq_rel', 'log10', 'silog', 'MSE', 'MAE', 'crowd_human/mMR', 'NuScenes metric/mATE', 'top1_error'])
def test_errors_and_distances_are_better_lower(metric):
    assert is_lower_better(metric)


@pytest.mark.parametrize('metric', [
    'accuracy/top1', 'coco/bbox_mAP', 'mIoU', 'aAcc', 'mDice', 'd1', 'coco/AP .5', 'PCK', 'AUC', 'AR@100', 'mAP',
    'PSNR', 'single-label/f1-score', 'coco/segm_mAP_50', 'NDS', 'multi-label/mAP', 'retrieval/Recall@1',
    'coco_panoptic/PQ'])
def test_all_others_are_better_higher(metric):
    assert not is_lower_better(metric)


def test_the_rule_of_the_config_comes_first():
    def lower(metric, **hook):
        return is_lower_better(metric, Config(dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', **hook)))))

    assert lower('distance', save_best='distance', rule='less') and not lower('distance', save_best='auto', rule='less')
    assert not lower('EPE', save_best=['AUC', 'EPE'], rule='greater') and lower('EPE', save_best='EPE')
    assert lower('b', save_best=['a', 'b'], rule=['greater', 'less']) and lower('NME', save_best='AUC', rule='greater')
    assert lower('NME', interval=1) and is_lower_better('NME', Config(dict(default_hooks=None)))
