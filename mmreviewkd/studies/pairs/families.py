"""The families of networks that a sweep pairs, each represented by its smallest config."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmreviewkd.utils.errors import ConfigError, did_you_mean

# Side of the training images in pixels, where that of the kind does not do.
_SIDES = {
    'lenet': 32, 'resnet_cifar': 32, 'swin_v2': 256, 'dino': 256, 'ddq': 256, 'ddod': 320, 'ssd': 300, 'ssdlite': 320,
    'yolact': 550}
_DEFAULT_SIDE = {'mmpretrain': 224, 'mmdet': 160}

_CLASSIFIERS = dict(
    lenet='lenet/lenet5_mnist.py',
    resnet='resnet/resnet18_8xb32_in1k.py',
    resnet_cifar='resnet/resnet18_8xb16_cifar10.py',
    resnext='resnext/resnext50-32x4d_8xb32_in1k.py',
    seresnet='seresnet/seresnet50_8xb32_in1k.py',
    resnest='resnest/resnest50_32xb64_in1k.py',
    res2net='res2net/res2net50-w14-s8_8xb32_in1k.py',
    wrn='wrn/wide-resnet50_8xb32_in1k.py',
    wrn_timm='wrn/wide-resnet50_timm_8xb32_in1k.py',
    vgg='vgg/vgg11bn_8xb32_in1k.py',
    densenet='densenet/densenet121_4xb256_in1k.py',
    inception_v3='inception_v3/inception-v3_8xb32_in1k.py',
    cspnet='cspnet/cspresnet50_8xb32_in1k.py',
    regnet='regnet/regnetx-400mf_8xb128_in1k.py',
    repvgg='repvgg/repvgg-A0_8xb32_in1k.py',
    mobileone='mobileone/mobileone-s0_8xb32_in1k.py',
    hrnet='hrnet/hrnet-w18_4xb32_in1k.py',
    shufflenet_v1='shufflenet_v1/shufflenet-v1-1x_16xb64_in1k.py',
    shufflenet_v2='shufflenet_v2/shufflenet-v2-1x_16xb64_in1k.py',
    mobilenet_v2='mobilenet_v2/mobilenet-v2_8xb32_in1k.py',
    mobilenet_v3='mobilenet_v3/mobilenet-v3-small-050_8xb128_in1k.py',
    efficientnet='efficientnet/efficientnet-b0_8xb32_in1k.py',
    efficientnet_v2='efficientnet_v2/efficientnetv2-b0_8xb32_in1k.py',
    convnext='convnext/convnext-tiny_32xb128_in1k.py',
    convnext_v2='convnext_v2/convnext-v2-atto_32xb32_in1k.py',
    convmixer='convmixer/convmixer-768-32_10xb64_in1k.py',
    hornet='hornet/hornet-tiny_8xb128_in1k.py',
    van='van/van-tiny_8xb128_in1k.py',
    poolformer='poolformer/poolformer-s12_32xb128_in1k.py',
    riformer='riformer/riformer-s12_8xb128_in1k.py',
    edgenext='edgenext/edgenext-xxsmall_8xb256_in1k.py',
    mobilevit='mobilevit/mobilevit-xxsmall_8xb128_in1k.py',
    efficientformer='efficientformer/efficientformer-l1_8xb128_in1k.py',
    levit='levit/levit-128s_8xb256_in1k.py',
    tinyvit='tinyvit/tinyvit-5m_8xb256_in1k.py',
    conformer='conformer/conformer-tiny-p16_8xb128_in1k.py',
    vit='vision_transformer/vit-base-p32_64xb64_in1k.py',
    deit='deit/deit-tiny_4xb256_in1k.py',
    deit_distilled='deit/deit-tiny-distilled_4xb256_in1k.py',
    deit3='deit3/deit3-small-p16_64xb64_in1k.py',
    eva02='eva02/eva02-tiny-p14_in1k.py',
    xcit='xcit/xcit-nano-12-p16_8xb128_in1k.py',
    t2t_vit='t2t_vit/t2t-vit-t-14_8xb64_in1k.py',
    tnt='tnt/tnt-s-p16_16xb64_in1k.py',
    revvit='revvit/revvit-small_8xb256_in1k.py',
    mlp_mixer='mlp_mixer/mlp-mixer-base-p16_64xb64_in1k.py',
    repmlp='repmlp/repmlp-base_8xb64_in1k.py',
    swin='swin_transformer/swin-tiny_16xb64_in1k.py',
    swin_v2='swin_transformer_v2/swinv2-tiny-w8_16xb64_in1k-256px.py',
    twins='twins/twins-svt-small_8xb128_in1k.py',
    davit='davit/davit-tiny_4xb256_in1k.py',
    mvit='mvit/mvitv2-tiny_8xb256_in1k.py',
    hivit='hivit/hivit-tiny-p16_16xb64_in1k.py',
    vig='vig/vig-tiny_8xb128_in1k.py',
    pvig='vig/pvig-tiny_8xb128_in1k.py')

_DETECTORS = dict(
    faster_rcnn='faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    faster_rcnn_c4='faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py',
    cascade_rcnn='cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    mask_rcnn='mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    point_rend='point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
    grid_rcnn='grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py',
    sparse_rcnn='sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
    queryinst='queryinst/queryinst_r50_fpn_1x_coco.py',
    panoptic_fpn='panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    retinanet='retinanet/retinanet_r18_fpn_1x_coco.py',
    retinanet_swin='swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py',
    retinanet_pvt='pvt/retinanet_pvtv2-b0_fpn_1x_coco.py',
    retinanet_regnet='regnet/retinanet_regnetx-800MF_fpn_1x_coco.py',
    retinanet_nasfpn='nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py',
    faster_rcnn_hrnet='hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py',
    fcos='fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    atss='atss/atss_r50_fpn_1x_coco.py',
    gfl='gfl/gfl_r50_fpn_1x_coco.py',
    paa='paa/paa_r50_fpn_1x_coco.py',
    vfnet='vfnet/vfnet_r50_fpn_1x_coco.py',
    tood='tood/tood_r50_fpn_1x_coco.py',
    ddod='ddod/ddod_r50_fpn_1x_coco.py',
    fovea='foveabox/fovea_r50_fpn_4xb4-1x_coco.py',
    reppoints='reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    autoassign='autoassign/autoassign_r50-caffe_fpn_1x_coco.py',
    yolof='yolof/yolof_r50-c5_8xb8-1x_coco.py',
    ssd='ssd/ssd300_coco.py',
    ssdlite='ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
    yolov3='yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py',
    yolox='yolox/yolox_nano_8xb8-300e_coco.py',
    rtmdet='rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    rtmdet_ins='rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
    centernet='centernet/centernet_r18_8xb16-crop512-140e_coco.py',
    detr='detr/detr_r18_8xb2-500e_coco.py',
    conditional_detr='conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    dab_detr='dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    deformable_detr='deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    dino='dino/dino-4scale_r50_8xb2-12e_coco.py',
    ddq='ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
    mask2former='mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    mask2former_panoptic='mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
    maskformer='maskformer/maskformer_r50_ms-16xb1-75e_coco.py',
    solo='solo/decoupled-solo-light_r50_fpn_3x_coco.py',
    solov2='solov2/solov2-light_r18_fpn_ms-3x_coco.py',
    condinst='condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    yolact='yolact/yolact_r50_1xb8-55e_coco.py')


@dataclass(frozen=True)
class Network:
    """A network of a sweep.

    Args:
        name (str): Its family, or the config it was given by.
        config (str): ``'package::path/of/config.py'``.
        side (int): Side of its training images, in pixels.
        fixed (bool): Whether it is meant for this size alone. Defaults to False.
    """

    name: str
    config: str
    side: int
    fixed: bool = False

    @property
    def package(self) -> str:
        """The package whose config it is: 'mmpretrain' or 'mmdet'."""
        return self.config.partition('::')[0]


def network(name: str) -> Network:
    """The network of a family.

    Args:
        name (str): A family, or ``'package::path/of/config.py'`` of mmpretrain or mmdet.

    Raises:
        ConfigError: If there is no such family.
    """
    if name.partition('::')[0] in _DEFAULT_SIDE and '::' in name:
        return Network(name, name, _DEFAULT_SIDE[name.partition('::')[0]])
    for package, families in (('mmpretrain', _CLASSIFIERS), ('mmdet', _DETECTORS)):
        if name in families:
            config, side = f'{package}::{families[name]}', _SIDES.get(name, _DEFAULT_SIDE[package])
            return Network(name, config, side, fixed=name in _SIDES)
    raise ConfigError(
        f"families: {name!r} is none, nor 'mmpretrain::...' or 'mmdet::...'; "
        f'{did_you_mean(name, [*_CLASSIFIERS, *_DETECTORS])}')


def pairs_of(names: Sequence[str], teachers: Sequence[str] = ()) -> list[tuple[Network, Network]]:
    """The pairs (student, teacher) that a sweep tries.

    Args:
        names (Sequence[str]): Families of students. If there are none, each known family learns from a ResNet or Faster
            R-CNN, and teaches a MobileNetV2 or RetinaNet.
        teachers (Sequence[str]): Families of teachers, each of which teaches each student of the same package. Defaults
            to the students' families.

    Raises:
        ConfigError: If a family is unknown, or there are teachers without students.
    """
    if teachers and not names:
        raise ConfigError('--teachers: families of students are missing')
    if names:
        students, others = ([network(name) for name in part] for part in (names, teachers or names))
        return [(s, t) for s in students for t in others if s.package == t.package]
    pairs = []
    for families, student, teacher in (
            (_CLASSIFIERS, 'mobilenet_v2', 'resnet'), (_DETECTORS, 'retinanet', 'faster_rcnn')):
        for name in families:
            # LeNet takes gray images, which no network for colour images gets as its own.
            pairs += [(name, teacher), (name if name == 'lenet' else student, name)]
    return [(network(s), network(t)) for s, t in dict.fromkeys(pairs)]
