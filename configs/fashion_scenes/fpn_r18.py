# The student alone, a segmentor trained on 150 scenes.
_base_ = [
    '../_base_/models/fashion_scenes_fpn.py', '../_base_/datasets/fashion_scenes_semantic.py',
    '../_base_/schedules/fashion_scenes_1k.py'
]

train_dataloader = dict(dataset=dict(indices=150))
