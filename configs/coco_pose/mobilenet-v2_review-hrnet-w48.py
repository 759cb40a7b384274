# A top-down MobileNetV2 distilled from HRNet-W48 on COCO keypoints. In mmpose's zoo: MobileNetV2 64.8, HRNet 75.6 AP.
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_mobilenetv2_8xb64-210e_coco-256x192.py'

model = dict(
    _delete_=True,
    type='mmreviewkd.ReviewDistiller',
    # The last layer at each of the strides 4, 8, 16 and 32.
    student=dict(
        model=_base_.model, taps=['backbone.layer2', 'backbone.layer3', 'backbone.layer5', 'backbone.layer7']),
    # The parallel branches of the last module, of the same strides, before they are fused into the finest one.
    teacher=dict(
        model='mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w48_8xb32-210e_coco-256x192.py',
        checkpoint='metafile',
        taps=[
            'backbone.stage4[-1].branches[0]', 'backbone.stage4[-1].branches[1]', 'backbone.stage4[-1].branches[2]',
            'backbone.stage4[-1].branches[3]'
        ]),
    connector=dict(type='ReviewConnector', mid_channels=256),
    distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0),  # not tuned: the start in docs/guide.md
    warmup_ratio=0.05)
custom_hooks = [*_base_.custom_hooks, dict(type='mmreviewkd.ExportStudentHook')]
