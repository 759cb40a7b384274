# Tap lists that several pairs share, as `_base_.taps.NAME`. In the CIFAR recipe of the authors the student is tapped
# after the last ReLU of each stage and the teacher before it; `neck` is the pooled feature.
taps = dict(
    # CIFAR ResNets and ShuffleNets: three stages.
    stages=['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'neck'],
    stages_before_relu=[
        'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input', 'neck'
    ],
    # Wide ResNets: the output of a stage is normalized in the next stage, that of the last one in `norm`.
    wrn_before_relu=[
        'backbone.layer2[0].relu1:input', 'backbone.layer3[0].relu1:input', 'backbone.norm[1]:input', 'neck'
    ],
    # VGGs: the second to the fifth stage, whose last module is a ReLU.
    vgg_stages=['backbone.layer2', 'backbone.layer3', 'backbone.layer4', 'backbone.layer5', 'neck'],
    vgg_before_relu=[
        'backbone.layer2[-1]:input', 'backbone.layer3[-1]:input', 'backbone.layer4[-1]:input',
        'backbone.layer5[-1]:input', 'neck'
    ],
    # MobileNetV2: the last layer at each stride.
    mobilenet_v2=['backbone.layer2', 'backbone.layer3', 'backbone.layer5', 'backbone.layer7', 'neck'],
    # ResNet-50: four stages.
    resnet50_before_relu=[
        'backbone.layer1[-1].relu:input', 'backbone.layer2[-1].relu:input', 'backbone.layer3[-1].relu:input',
        'backbone.layer4[-1].relu:input', 'neck'
    ])
