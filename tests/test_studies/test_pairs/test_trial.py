"""Each check of a trial fails for a pair that it should reject, and names itself."""

import pytest
import torch

from mmreviewkd.models.distillers import ReviewDistiller
from mmreviewkd.studies.pairs import trial
from mmreviewkd.studies.pairs.families import network
from mmreviewkd.studies.pairs.trial import try_pair

pytest.importorskip('mmpretrain')
LENET = network('lenet')


def changed_losses(monkeypatch, change) -> str:
    """What the trial of a pair of LeNets reports if ``change`` replaces the losses of the distiller."""
    compute = ReviewDistiller.loss
    monkeypatch.setattr(ReviewDistiller, 'loss', lambda self, *args, **kwargs: change(compute(self, *args, **kwargs)))
    return try_pair(LENET, LENET).failed


@pytest.mark.parametrize(('change', 'failed'), [
    (lambda losses: {**losses, 'loss_distill': losses['loss_distill'] * torch.nan},
     'finite losses: loss_distill not finite'),
    (lambda losses: {**losses, 'loss_distill': losses['loss_distill'] * 0},
     'finite gradients: the distillation loss reaches no parameter of the student'),
    (lambda losses: {**losses, 'loss_student': losses['loss_student'] * (1 + 1e-6)},
     "student's own losses: loss is "),
], ids=['not finite', 'no gradient', 'student changed'])
def test_a_wrong_loss_fails_its_check(change, failed, monkeypatch):
    assert changed_losses(monkeypatch, change).startswith(failed)


def test_an_incomplete_export_fails(monkeypatch):
    export = trial.export_student

    def incomplete(cfg, state, folder):
        file = export(cfg, state, folder)
        path = file.parent / 'student.pth'
        content = torch.load(path, weights_only=True)
        content['state_dict'].popitem()
        torch.save(content, path)
        return file
    monkeypatch.setattr(trial, 'export_student', incomplete)
    outcome = try_pair(LENET, LENET)
    assert outcome.failed.startswith('export: missing [') and outcome.levels == 4


def test_a_student_that_cannot_train_alone_is_told_from_a_pair():
    outcome = try_pair(network('mmpretrain::absent.py'), LENET)
    assert outcome.failed.startswith('the student alone: ConfigError: ') and outcome.levels == 0
