# The student alone.
_base_ = [
    '../_base_/models/fashion_scenes_retinanet.py', '../_base_/datasets/fashion_scenes.py',
    '../_base_/schedules/fashion_scenes_4e.py'
]
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator

# A single-stage detector needs more epochs, each of which takes less time.
train_cfg = dict(max_epochs=8, val_interval=8)
param_scheduler = dict(total_steps=8)
