# The same pair with the teacher's features, too, taken before the last ReLU of each stage, as MDistiller takes them.
_base_ = 'mobilenet-v1_review-resnet50.py'

model = dict(
    teacher=dict(taps=[
        'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
        'backbone.layer4[-1].relu:input', 'neck'
    ]))
