//! The list of known networks and their names.

use std::fmt;
use std::str::FromStr;

use crate::FeatureError;

/// A network that comes with the crate.
///
/// The EfficientNets exist twice, because two trainings need different arithmetic: `EfficientNetB0`..`B5` pad symmetrically
/// (torchvision's and timm's own weights), `TfEfficientNetB0`..`B5` pad as TensorFlow does and use its batch-norm epsilon
/// (timm's `tf_efficientnet_*`, the package efficientnet_pytorch). The Lite models are always TensorFlow's. `EfficientNetB4At380` pads images
/// of every size as TensorFlow would pad one of 380 x 380, which that package does unless it is told the size: values of UniAD's features.
///
/// CLIP's towers exist twice as well, named as timm names them: OpenAI trained its own with another non-linearity (`quickgelu`) than the
/// networks of LAION have, under the same names of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // The variants are the names of the networks.
pub enum Architecture {
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    WideResNet50x2,
    WideResNet101x2,
    EfficientNetB0,
    EfficientNetB1,
    EfficientNetB2,
    EfficientNetB3,
    EfficientNetB4,
    EfficientNetB5,
    TfEfficientNetB0,
    TfEfficientNetB1,
    TfEfficientNetB2,
    TfEfficientNetB3,
    TfEfficientNetB4,
    TfEfficientNetB5,
    EfficientNetB4At380,
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
    MobileNetV2,
    Vgg16,
    AlexNet,
    SqueezeNet1_1,
    VitSmallPatch14Dinov2,
    VitBasePatch14Dinov2,
    VitLargePatch14Dinov2,
    VitSmallPatch14Reg4Dinov2,
    VitBasePatch14Reg4Dinov2,
    VitLargePatch14Reg4Dinov2,
    VitSmallPatch16,
    VitBasePatch16,
    VitLargePatch16,
    ClipVitB32,
    ClipVitB16,
    ClipVitB16Plus,
    ClipVitL14,
    ClipVitB32Quick,
    ClipVitB16Quick,
    ClipVitL14Quick,
}

use Architecture::*;

/// Every architecture with its name and its layers at strides 4, 8 and 16.
const TABLE: [(Architecture, &str, [&str; 3]); 42] = [
    (ResNet18, "resnet18", RESNET_LAYERS),
    (ResNet34, "resnet34", RESNET_LAYERS),
    (ResNet50, "resnet50", RESNET_LAYERS),
    (ResNet101, "resnet101", RESNET_LAYERS),
    (WideResNet50x2, "wide_resnet50_2", RESNET_LAYERS),
    (WideResNet101x2, "wide_resnet101_2", RESNET_LAYERS),
    (EfficientNetB0, "efficientnet_b0", EFFICIENTNET_LAYERS),
    (EfficientNetB1, "efficientnet_b1", EFFICIENTNET_LAYERS),
    (EfficientNetB2, "efficientnet_b2", EFFICIENTNET_LAYERS),
    (EfficientNetB3, "efficientnet_b3", EFFICIENTNET_LAYERS),
    (EfficientNetB4, "efficientnet_b4", EFFICIENTNET_LAYERS),
    (EfficientNetB5, "efficientnet_b5", EFFICIENTNET_LAYERS),
    (TfEfficientNetB0, "tf_efficientnet_b0", EFFICIENTNET_LAYERS),
    (TfEfficientNetB1, "tf_efficientnet_b1", EFFICIENTNET_LAYERS),
    (TfEfficientNetB2, "tf_efficientnet_b2", EFFICIENTNET_LAYERS),
    (TfEfficientNetB3, "tf_efficientnet_b3", EFFICIENTNET_LAYERS),
    (TfEfficientNetB4, "tf_efficientnet_b4", EFFICIENTNET_LAYERS),
    (TfEfficientNetB5, "tf_efficientnet_b5", EFFICIENTNET_LAYERS),
    (EfficientNetB4At380, "efficientnet_b4_380", EFFICIENTNET_LAYERS),
    (EfficientNetLite0, "efficientnet_lite0", EFFICIENTNET_LAYERS),
    (EfficientNetLite1, "efficientnet_lite1", EFFICIENTNET_LAYERS),
    (EfficientNetLite2, "efficientnet_lite2", EFFICIENTNET_LAYERS),
    (MobileNetV2, "mobilenet_v2", ["features.3", "features.6", "features.13"]),
    (Vgg16, "vgg16", ["features.15", "features.22", "features.29"]),
    (AlexNet, "alexnet", ["features.1", "features.4", "features.11"]),
    (SqueezeNet1_1, "squeezenet1_1", ["features.4", "features.7", "features.12"]),
    (VitSmallPatch14Dinov2, "vit_small_patch14_dinov2", VIT_LAYERS),
    (VitBasePatch14Dinov2, "vit_base_patch14_dinov2", VIT_LAYERS),
    (VitLargePatch14Dinov2, "vit_large_patch14_dinov2", VIT_LARGE_LAYERS),
    (VitSmallPatch14Reg4Dinov2, "vit_small_patch14_reg4_dinov2", VIT_LAYERS),
    (VitBasePatch14Reg4Dinov2, "vit_base_patch14_reg4_dinov2", VIT_LAYERS),
    (VitLargePatch14Reg4Dinov2, "vit_large_patch14_reg4_dinov2", VIT_LARGE_LAYERS),
    (VitSmallPatch16, "vit_small_patch16_224", VIT_LAYERS),
    (VitBasePatch16, "vit_base_patch16_224", VIT_LAYERS),
    (VitLargePatch16, "vit_large_patch16_224", VIT_LARGE_LAYERS),
    (ClipVitB32, "vit_base_patch32_clip_224", VIT_LAYERS),
    (ClipVitB16, "vit_base_patch16_clip_224", VIT_LAYERS),
    (ClipVitB16Plus, "vit_base_patch16_plus_clip_240", VIT_LAYERS),
    (ClipVitL14, "vit_large_patch14_clip_224", VIT_LARGE_LAYERS),
    (ClipVitB32Quick, "vit_base_patch32_clip_quickgelu_224", VIT_LAYERS),
    (ClipVitB16Quick, "vit_base_patch16_clip_quickgelu_224", VIT_LAYERS),
    (ClipVitL14Quick, "vit_large_patch14_clip_quickgelu_224", VIT_LARGE_LAYERS),
];
const RESNET_LAYERS: [&str; 3] = ["layer1", "layer2", "layer3"];
/// Of the two stages at stride 16 the deeper one, as in the reference implementations.
const EFFICIENTNET_LAYERS: [&str; 3] = ["stage2", "stage3", "stage5"];

/// A transformer has one stride; these lie at a third, two thirds and the end of its depth.
const VIT_LAYERS: [&str; 3] = ["3", "7", "11"];
const VIT_LARGE_LAYERS: [&str; 3] = ["7", "15", "23"];

impl Architecture {
    /// All architectures, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|&(architecture, ..)| architecture)
    }

    /// The name users write, such as `wide_resnet50_2`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The layers that methods use when none are asked for: the last feature map of each of the given strides.
    ///
    /// Strides 4, 8 and 16 have one; PaDiM takes all three, PatchCore 8 and 16. Stride 2 has one in all but AlexNet, which MemSeg takes.
    /// Stride 32 has one in AlexNet, its last pooling, which DifferNet takes. Other strides are left out.
    ///
    /// All maps of a vision transformer have the stride of its patches; 4, 8 and 16 stand for a third, two thirds and the end of its depth.
    pub fn layers_at(self, strides: &[usize]) -> Vec<String> {
        let layers = self.row().2;
        let first = self.first_layer().map(|layer| (2, layer));
        let last = (self == AlexNet).then_some((32, "features.12"));
        let between = [4, 8, 16].into_iter().zip(layers);
        first
            .into_iter()
            .chain(between)
            .chain(last)
            .filter(|(stride, _)| strides.contains(stride))
            .map(|(_, layer)| layer.to_owned())
            .collect()
    }

    /// The layer that gives the first feature map of half the image's size, the last one of the network's stem.
    fn first_layer(self) -> Option<&'static str> {
        match self {
            AlexNet => None,
            _ if self.is_transformer() => None,
            MobileNetV2 | SqueezeNet1_1 => Some("features.1"),
            Vgg16 => Some("features.8"),
            _ => Some("stem"),
        }
    }

    /// Whether it is a vision transformer.
    pub fn is_transformer(self) -> bool {
        super::vit::settings(self).is_some()
    }

    /// The same network with TensorFlow's padding and epsilon, if it is one of EfficientNet-B0 to -B5.
    pub(crate) fn tensorflow_variant(self) -> Option<Self> {
        let name = format!("tf_{}", self.name());
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, [&'static str; 3]) {
        // The table is in the order of the enum; a test checks it.
        &TABLE[self as usize]
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Accepts [`Architecture::name`] in any case, with `-`, `.` and blanks for `_`, and timm's names of the Lite models and MobileNetV2.
impl FromStr for Architecture {
    type Err = FeatureError;

    fn from_str(text: &str) -> Result<Self, FeatureError> {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '.', ' ', '_'], "");
        let wanted = plain(text);
        let wanted = match wanted.as_str() {
            "tfefficientnetlite0" | "tfefficientnetlite1" | "tfefficientnetlite2" => &wanted[2..],
            "mobilenetv2100" => "mobilenetv2",
            other => other,
        };
        Self::all().find(|architecture| plain(architecture.name()) == wanted).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::name).collect();
            FeatureError::UnknownNetwork { name: text.to_owned(), known: known.join(", ") }
        })
    }
}
