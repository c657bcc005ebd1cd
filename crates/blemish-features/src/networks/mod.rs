//! The networks that come with the crate, each described once.
//!
//! [`build`] gives the whole network of an [`Architecture`] as a [`Graph`]: one small file a family (`resnet`, `efficientnet`,
//! `mobilenet`, `vgg`, `alexnet`, `squeezenet`, `vit`) on top of a `Builder`. [`Graph::cut`] then keeps what the wanted taps need,
//! and [`Graph::tap_info`], [`Graph::output_sizes`] and [`Graph::multiply_adds`] answer questions about it without running it.
//!
//! Convolutions carry the names of torchvision (timm for the EfficientNets); `assemble` translates other naming schemes.

mod alexnet;
mod analysis;
mod architecture;
mod builder;
mod cut;
mod efficientnet;
mod image_text;
mod inverted_residual;
mod mobilenet;
mod resnet;
mod squeezenet;
mod vgg;
pub(crate) mod vit;

#[cfg(test)]
mod tests;

pub use analysis::TapInfo;
pub use architecture::Architecture;
pub use image_text::ImageText;

use crate::graph::{Graph, Normalization};

/// The whole network of `architecture`, classifier included where it is convolutional or linear on the global average.
///
/// Its taps, shallow to deep:
/// - ResNets: `stem`, `layer1` to `layer4`, every block as `layer1.0`, ..., and `logits`;
/// - EfficientNets: `stem`, `stage1` to `stage7`, every block as `blocks.{stage - 1}.{index}` (timm's names), `head`, `logits`;
/// - MobileNetV2, SqueezeNet: `features.N` as torchvision numbers its modules, and `logits`;
/// - vision transformers: `0` to `11` (`23` for the large ones), the patches behind each block with the network's last layer norm applied,
///   as DINOv2's own code gives them and distances want them; `blocks.0` and so on without it; and `class`, the first token in the end, 1x1;
/// - VGG16, AlexNet: `features.N` as torchvision numbers its modules (convolution, activation and pooling each count).
pub fn build(architecture: Architecture) -> Graph {
    use Architecture::*;
    let name = architecture.name();
    match architecture {
        ResNet18 => resnet::basic(name, [2, 2, 2, 2]),
        ResNet34 => resnet::basic(name, [3, 4, 6, 3]),
        ResNet50 => resnet::bottleneck(name, [3, 4, 6, 3], 64),
        ResNet101 => resnet::bottleneck(name, [3, 4, 23, 3], 64),
        WideResNet50x2 => resnet::bottleneck(name, [3, 4, 6, 3], 128),
        WideResNet101x2 => resnet::bottleneck(name, [3, 4, 23, 3], 128),
        EfficientNetB0 | EfficientNetB1 | EfficientNetB2 | EfficientNetB3 | EfficientNetB4
        | EfficientNetB5 | TfEfficientNetB0 | TfEfficientNetB1 | TfEfficientNetB2 | TfEfficientNetB3
        | TfEfficientNetB4 | TfEfficientNetB5 | EfficientNetB4At380 | EfficientNetLite0
        | EfficientNetLite1 | EfficientNetLite2 => {
            efficientnet::build(name, &efficientnet::settings(architecture))
        }
        MobileNetV2 => mobilenet::build(name),
        Vgg16 => vgg::build(name),
        AlexNet => alexnet::build(name),
        SqueezeNet1_1 => squeezenet::build(name),
        _ => vit::build(name, &vit::settings(architecture).unwrap_or_default()),
    }
}

/// (x * 255 - 127) / 128: what EfficientNet-Lite was trained with.
const LITE_NORMALIZATION: Normalization = Normalization { mean: [127.0 / 255.0; 3], std: [128.0 / 255.0; 3] };
