"""The models of the zoo: the smallest one of every family, at the smallest input that it permits.

Weights are random; what is asked is whether a network of that make can be imported, grouped, cut and written.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Model:
    """One network that a library makes by name."""

    library: str
    family: str
    name: str
    # Channels, height and width of one sample; frames go between channels and height.
    shape: tuple[int, ...]
    # Arguments of the constructor.
    options: tuple[tuple[str, object], ...] = ()
    # Tensors of that shape that it takes.
    inputs: int = 1
    # They are numbers of tokens, of this many kinds; otherwise they are images, sounds or features.
    vocabulary: int | None = None

    @property
    def key(self) -> str:
        return f"{self.library}-{self.name}"

    def at_other_size(self) -> "Model":
        """The same model with the last dimensions of its input larger by a multiple of 32, as most networks want."""
        *others, width = self.shape
        if len(others) >= 2:
            return replace(self, shape=(*others[:-1], others[-1] + 32, width + 64))
        return replace(self, shape=(*others, width + 32))


def images(library: str, side: int, names: dict[str, str], **options: object) -> list[Model]:
    """Models that see square colour images; `names` is family to name."""
    shape = (3, side, side)
    return [Model(library, family, name, shape, tuple(options.items())) for family, name in names.items()]


CLASSIFICATION = [
    *images(
        "torchvision",
        64,
        {
            "AlexNet": "alexnet",
            "ConvNeXt": "convnext_tiny",
            "DenseNet": "densenet121",
            "EfficientNet": "efficientnet_b0",
            "EfficientNetV2": "efficientnet_v2_s",
            "MNASNet": "mnasnet0_5",
            "MobileNetV2": "mobilenet_v2",
            "MobileNetV3": "mobilenet_v3_small",
            "RegNetX": "regnet_x_400mf",
            "RegNetY": "regnet_y_400mf",
            "ResNet": "resnet18",
            "ResNet, bottlenecks": "resnet50",
            "ResNeXt": "resnext50_32x4d",
            "Wide ResNet": "wide_resnet50_2",
            "ShuffleNetV2": "shufflenet_v2_x0_5",
            "SqueezeNet": "squeezenet1_1",
            "VGG": "vgg11",
            "VGG with batch norm": "vgg11_bn",
            "Swin": "swin_t",
            "Swin V2": "swin_v2_t",
        },
    ),
    *images("torchvision", 64, {"GoogLeNet": "googlenet"}, init_weights=False, aux_logits=False),
    *images("torchvision", 96, {"Inception V3": "inception_v3"}, init_weights=False, aux_logits=False),
    *images("torchvision", 224, {"Vision Transformer": "vit_b_32", "MaxViT": "maxvit_t"}),
]

SEGMENTATION = [
    *images(
        "segmentation",
        64,
        {
            "FCN": "fcn_resnet50",
            "DeepLabV3, ResNet": "deeplabv3_resnet50",
            "DeepLabV3, MobileNet": "deeplabv3_mobilenet_v3_large",
            "LR-ASPP": "lraspp_mobilenet_v3_large",
        },
        weights_backbone=None,
    ),
]

VIDEO = [
    Model("video", "ResNet 3D", "r3d_18", (3, 4, 32, 32)),
    Model("video", "ResNet (2+1)D", "r2plus1d_18", (3, 4, 32, 32)),
    Model("video", "ResNet, mixed 3D", "mc3_18", (3, 4, 32, 32)),
    Model("video", "S3D", "s3d", (3, 16, 224, 224)),
    Model("video", "Swin 3D", "swin3d_t", (3, 4, 64, 64)),
    Model("video", "MViT V2", "mvit_v2_s", (3, 16, 224, 224)),
]

FLOW = [Model("optical_flow", "RAFT", "raft_small", (3, 128, 128), inputs=2)]

TIMM = [
    *images(
        "timm",
        64,
        {
            "ResNet-D": "resnet14t",
            "ECA-ResNet": "ecaresnet26t",
            "ResNetV2": "resnetv2_18",
            "ResNetV2, BiT": "resnetv2_50x1_bit",
            "SE-ResNet": "legacy_seresnet18",
            "SKNet": "skresnet18",
            "ResNeSt": "resnest14d",
            "Res2Net": "res2net50_14w_8s",
            "DLA": "dla46_c",
            "DPN": "dpn48b",
            "DenseNet": "densenet121",
            "CSPNet": "cs3darknet_s",
            "CSPNeXt": "cspnext_tiny",
            "VoVNet": "ese_vovnet19b_slim",
            "HRNet": "hrnet_w18_small",
            "HGNet": "hgnetv2_b0",
            "GhostNet": "ghostnet_050",
            "GhostNetV2": "ghostnetv2_100",
            "RepGhost": "repghostnet_050",
            "MobileOne": "mobileone_s0",
            "RepVGG": "repvgg_a0",
            "RepViT": "repvit_m0_9",
            "GCResNeXt": "gcresnext26ts",
            "EfficientNet": "efficientnet_b0",
            "EfficientNetV2": "tf_efficientnetv2_b0",
            "EfficientNet, group norm": "efficientnet_b0_gn",
            "MixNet": "mixnet_s",
            "MNASNet": "mnasnet_small",
            "FBNetV3": "fbnetv3_b",
            "LCNet": "lcnet_035",
            "TinyNet": "tinynet_e",
            "MobileNetV3": "mobilenetv3_small_050",
            "MobileNetV4": "mobilenetv4_conv_small_035",
            "HardCoReNAS": "hardcorenas_a",
            "ReXNet": "rexnetr_100",
            "RegNetZ": "regnetz_005",
            "NFNet": "nf_resnet26",
            "SelecSLS": "selecsls42",
            "Xception": "legacy_xception",
            "Aligned Xception": "xception41",
            "TResNet": "tresnet_m",
            "VGG": "vgg11_bn",
            "ConvNeXt": "convnext_atto",
            "ConvNeXtV2": "convnextv2_atto",
            "InceptionNeXt": "inception_next_atto",
            "ConvMixer": "convmixer_768_32",
            "MambaOut": "mambaout_femto",
            "FasterNet": "fasternet_t0",
            "StarNet": "starnet_s1",
            "EdgeNeXt": "edgenext_xx_small",
            "FocalNet": "focalnet_tiny_srf",
            "PoolFormer": "poolformer_s12",
            "CAFormer": "caformer_s18",
            "FastViT": "fastvit_t8",
            "EfficientViT, MIT": "efficientvit_b0",
            "MobileViT": "mobilevit_xxs",
            "MobileViTV2": "mobilevitv2_050",
            "PVT V2": "pvt_v2_b0",
            "SwiftFormer": "swiftformer_xs",
            "LambdaResNet": "lambda_resnet26t",
            "RDNet": "rdnet_tiny",
        },
    ),
    *images(
        "timm",
        224,
        {
            "EfficientFormer": "efficientformer_l1",
            "EfficientFormerV2": "efficientformerv2_s0",
            "EfficientViT, MSRA": "efficientvit_m0",
            "Vision Transformer": "vit_tiny_patch16_224",
            "DeiT, distilled": "deit_tiny_distilled_patch16_224",
            "DeiT III": "deit3_small_patch16_224",
            "BEiT": "beit_base_patch16_224",
            "EVA-02": "eva02_tiny_patch14_224",
            "CaiT": "cait_xxs24_224",
            "XCiT": "xcit_nano_12_p16_224",
            "LeViT": "levit_128s",
            "PiT": "pit_ti_224",
            "ConViT": "convit_tiny",
            "CoaT": "coat_lite_tiny",
            "Swin": "swin_tiny_patch4_window7_224",
            "Twins": "twins_svt_small",
            "Visformer": "visformer_tiny",
            "MLP-Mixer": "mixer_s32_224",
            "ResMLP": "resmlp_12_224",
            "gMLP": "gmlp_ti16_224",
            "TNT": "tnt_s_patch16_224",
            "GCViT": "gcvit_xxtiny",
            "NesT": "nest_tiny",
            "TinyViT": "tiny_vit_5m_224",
            "VOLO": "volo_d1_224",
            "DaViT": "davit_tiny",
            "MViTV2": "mvitv2_tiny",
            "Hiera": "hiera_tiny_224",
            "CoAtNet": "coatnet_pico_rw_224",
        },
    ),
    *images("timm", 96, {"Inception-ResNet": "inception_resnet_v2"}),
    *images("timm", 240, {"CrossViT": "crossvit_tiny_240"}),
    *images(
        "timm",
        256,
        {
            "BoTNet": "botnet26t_256",
            "HaloNet": "halonet26t",
            "MaxViT": "maxvit_rmlp_pico_rw_256",
            "Swin V2": "swinv2_tiny_window8_256",
        },
    ),
]

# The makes of the transformers library in small: two layers of 64 features.
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
TEXT = {"vocab_size": 100, "max_position_embeddings": 32}


def transformer(family: str, name: str, config: str, shape: tuple[int, ...], **options: object) -> Model:
    """A class of the transformers library with a configuration of the class `config`; text where it has a vocabulary."""
    vocabulary = options.get("vocab_size") if len(shape) == 1 and "vocab_size" in options else None
    return Model("transformers", family, name, shape, (("config", config), *options.items()), vocabulary=vocabulary)


TRANSFORMERS = [
    transformer("BERT", "BertForSequenceClassification", "BertConfig", (16,), **SMALL, **TEXT),
    transformer(
        "DistilBERT",
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        (16,),
        dim=64,
        n_layers=2,
        n_heads=4,
        hidden_dim=128,
        **TEXT,
    ),
    transformer("RoBERTa", "RobertaModel", "RobertaConfig", (16,), **SMALL, **TEXT),
    transformer("ALBERT", "AlbertModel", "AlbertConfig", (16,), embedding_size=32, **SMALL, **TEXT),
    transformer("ELECTRA", "ElectraModel", "ElectraConfig", (16,), embedding_size=32, **SMALL, **TEXT),
    transformer(
        "T5, encoder",
        "T5EncoderModel",
        "T5Config",
        (16,),
        vocab_size=100,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
    ),
    transformer(
        "DINOv2",
        "Dinov2Model",
        "Dinov2Config",
        (3, 64, 64),
        image_size=64,
        patch_size=16,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
    ),
    transformer(
        "CLIP, vision", "CLIPVisionModel", "CLIPVisionConfig", (3, 64, 64), image_size=64, patch_size=16, **SMALL
    ),
    transformer(
        "Swin",
        "SwinForImageClassification",
        "SwinConfig",
        (3, 64, 64),
        image_size=64,
        patch_size=4,
        window_size=4,
        embed_dim=24,
        depths=[1, 2],
        num_heads=[2, 4],
    ),
    transformer(
        "SegFormer",
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        (3, 64, 64),
        hidden_sizes=[16, 32, 40, 64],
        decoder_hidden_size=64,
        depths=[1, 1, 1, 1],
    ),
    transformer("MobileViT", "MobileViTForImageClassification", "MobileViTConfig", (3, 64, 64)),
    transformer(
        "DETR",
        "DetrForObjectDetection",
        "DetrConfig",
        (3, 64, 64),
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config={
            "model_type": "resnet",
            "out_features": ["stage4"],
            "hidden_sizes": [16, 32, 48, 64],
            "embedding_size": 16,
            "depths": [1, 1, 1, 1],
        },
        d_model=64,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        num_queries=10,
    ),
    transformer(
        "wav2vec 2.0",
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        (2000,),
        conv_dim=[32] * 3,
        conv_stride=[5, 2, 2],
        conv_kernel=[10, 3, 3],
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        **SMALL,
    ),
]

AUDIO = [
    Model(
        "torchaudio",
        "Wav2Letter",
        "Wav2Letter",
        (13, 100),
        (("num_classes", 20), ("input_type", "mfcc"), ("num_features", 13)),
    ),
    Model(
        "torchaudio", "DeepSpeech", "DeepSpeech", (1, 30, 20), (("n_feature", 20), ("n_hidden", 64), ("n_class", 20))
    ),
    Model(
        "torchaudio",
        "Conv-TasNet",
        "ConvTasNet",
        (1, 320),
        (
            ("enc_num_feats", 32),
            ("msk_num_feats", 16),
            ("msk_num_hidden_feats", 32),
            ("msk_num_layers", 2),
            ("msk_num_stacks", 1),
        ),
    ),
]

MODELS = CLASSIFICATION + SEGMENTATION + VIDEO + FLOW + TIMM + TRANSFORMERS + AUDIO
