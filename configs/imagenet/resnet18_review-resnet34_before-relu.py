# The same pair with the features of both networks taken before the last ReLU of each stage, as MDistiller takes them.
_base_ = 'resnet18_review-resnet34.py'

taps = [
    'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
    'backbone.layer4[-1].relu:input', 'neck'
]
model = dict(student=dict(taps=taps), teacher=dict(taps=taps))
