# The student alone: a backbone of timm in mmpretrain's wrapper. Needs timm.
_base_ = 'mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'

model = dict(backbone=dict(_delete_=True, type='TIMMBackbone', model_name='efficientnet_lite0'))
