"""The variants of the ablation study."""

import pytest
import torch
from conftest import ROOT, gray_batch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmreviewkd.studies.ablation import variants
from mmreviewkd.utils.config import model_config


def test_every_variant_of_the_study_trains(tmp_path, monkeypatch):
    pytest.importorskip('mmpretrain')
    monkeypatch.chdir(ROOT)
    for teacher in variants.TEACHERS.values():
        torch.save(MODELS.build(model_config(teacher, 'teacher')).state_dict(), tmp_path / teacher.replace('/', '_'))
    losses = {}
    for variant in variants.VARIANTS:
        cfg = Config.fromfile(variant.config)
        weights = {key: values[0] for key, values in variant.weights.items()}
        cfg.merge_from_dict({**variant.options, **weights})
        if variant.teacher:
            cfg.model.teacher.update(
                model=variant.teacher, checkpoint=str(tmp_path / variant.teacher.replace('/', '_')))
        torch.manual_seed(0)
        model = MODELS.build(dict(**cfg.model, data_preprocessor=cfg.data_preprocessor))
        model.init_weights()
        step = model(**model.data_preprocessor(gray_batch(8), True), mode='loss')
        losses[variant.name] = step['loss_distill'].item() if 'loss_distill' in step else None
        assert sum(value for name, value in step.items() if 'loss' in name).isfinite()
    # Different settings, different losses; the student alone and logit KD have no loss of features.
    assert [name for name, loss in losses.items() if loss is None] == ['student alone', 'logit KD']
    cross_stage = [losses[variant.name] for variant in variants.CROSS_STAGE.values()]
    assert len(set(cross_stage)) == len(cross_stage) == 16
