# The student alone.
_base_ = [
    '../_base_/models/fashion_scenes_mask-rcnn.py', '../_base_/datasets/fashion_scenes.py',
    '../_base_/schedules/fashion_scenes_4e.py'
]
