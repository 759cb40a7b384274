# The student alone, trained on 152 scenes.
_base_ = [
    '../_base_/models/fashion_scenes_retinanet.py', '../_base_/datasets/fashion_scenes.py',
    '../_base_/schedules/fashion_scenes_80e.py'
]

train_dataloader = dict(dataset=dict(indices=152))
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
