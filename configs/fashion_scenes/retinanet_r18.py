# The student alone, trained on 200 scenes.
_base_ = [
    '../_base_/models/fashion_scenes_retinanet.py', '../_base_/datasets/fashion_scenes.py',
    '../_base_/schedules/fashion_scenes_60e.py'
]

train_dataloader = dict(dataset=dict(indices=200))
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
