//! The names that files give to the tensors of each network.
//!
//! A scheme lists, for every convolution of the whole network in order, where its weight, bias and batch norm are.

use crate::graph::{Graph, Op};
use crate::networks::Architecture;

mod efficientnet;
mod mobilenet;

/// Where the tensors of one convolution are in a file.
pub(crate) struct Source {
    /// The graph's name of the convolution.
    pub node: String,
    /// Full name of its weight.
    pub weight: String,
    /// Full name of its bias, which exists without batch norm or where that was folded.
    pub bias: String,
    /// Prefix of the batch norm after it, if the network has one there.
    pub norm: Option<String>,
}

impl Source {
    /// A convolution at `prefix` in the PyTorch manner, followed by the batch norm `norm`.
    fn new(node: &str, prefix: &str, norm: Option<String>) -> Self {
        Self {
            node: node.to_owned(),
            weight: format!("{prefix}.weight"),
            bias: format!("{prefix}.bias"),
            norm,
        }
    }
}

/// One way of naming the tensors of a network.
pub(crate) struct Scheme {
    /// Who names them so, for messages.
    pub name: &'static str,
    /// One entry a convolution of the whole network, in its order.
    pub sources: Vec<Source>,
    /// What the network adds to the variance in batch norm when its weights come from there.
    pub epsilon: f64,
}

/// PyTorch's default.
const TORCH_EPSILON: f64 = 1e-5;
/// TensorFlow's default.
const TENSORFLOW_EPSILON: f64 = 1e-3;

/// The naming schemes known for `architecture`, whose whole network is `whole`; the usual one first.
pub(crate) fn schemes(architecture: Architecture, whole: &Graph) -> Vec<Scheme> {
    use Architecture::*;
    let convs: Vec<&str> = whole
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::Conv { .. }))
        .map(|node| node.name.as_str())
        .collect();
    let scheme = |name, epsilon, sources| Scheme { name, sources, epsilon };
    match architecture {
        ResNet18 | ResNet34 | ResNet50 | ResNet101 | WideResNet50x2 | WideResNet101x2 => {
            vec![scheme("torchvision's", TORCH_EPSILON, convs.iter().map(|conv| resnet(conv)).collect())]
        }
        EfficientNetB0 | EfficientNetB1 | EfficientNetB2 | EfficientNetB3 | EfficientNetB4
        | EfficientNetB5 => {
            // torchvision's B5 weights were ported from TensorFlow: its padding was not kept, but its epsilon was.
            let torchvision = if architecture == EfficientNetB5 { TENSORFLOW_EPSILON } else { TORCH_EPSILON };
            vec![
                scheme("torchvision's", torchvision, efficientnet::torchvision(&convs)),
                scheme("timm's", TORCH_EPSILON, efficientnet::timm(&convs)),
            ]
        }
        TfEfficientNetB0 | TfEfficientNetB1 | TfEfficientNetB2 | TfEfficientNetB3 | TfEfficientNetB4
        | TfEfficientNetB5 | EfficientNetB4At380 | EfficientNetLite0 | EfficientNetLite1
        | EfficientNetLite2 => vec![
            scheme("timm's", TENSORFLOW_EPSILON, efficientnet::timm(&convs)),
            scheme("efficientnet_pytorch's", TENSORFLOW_EPSILON, efficientnet::efficientnet_pytorch(&convs)),
        ],
        MobileNetV2 => vec![
            scheme("torchvision's", TORCH_EPSILON, mobilenet::torchvision(&convs)),
            scheme("timm's", TORCH_EPSILON, mobilenet::timm(&convs)),
            scheme("tonylins'", TORCH_EPSILON, mobilenet::tonylins(&convs)),
        ],
        Vgg16 | AlexNet => vec![scheme("torchvision's", TORCH_EPSILON, plain(&convs))],
        SqueezeNet1_1 => vec![
            scheme("torchvision's", TORCH_EPSILON, plain(&convs)),
            scheme("the ONNX model zoo's", TORCH_EPSILON, onnx_zoo_squeezenet(&convs)),
        ],
        // Transformers are read otherwise.
        _ => vec![],
    }
}

/// Convolutions with biases under the graph's own names.
fn plain(convs: &[&str]) -> Vec<Source> {
    convs.iter().map(|conv| Source::new(conv, conv, None)).collect()
}

/// `conv1` and `bn1`, `downsample.0` and `downsample.1`, `fc`; timm uses the same names.
fn resnet(conv: &str) -> Source {
    let norm = match conv.strip_suffix(".downsample.0") {
        Some(block) => Some(format!("{block}.downsample.1")),
        None if conv == "fc" => None,
        None => Some(conv.replace("conv", "bn")),
    };
    Source::new(conv, conv, norm)
}

/// `squeezenet0_conv0_weight` to `squeezenet0_conv25_bias`, numbered in order.
fn onnx_zoo_squeezenet(convs: &[&str]) -> Vec<Source> {
    let source = |(index, conv): (usize, &&str)| Source {
        node: (*conv).to_owned(),
        weight: format!("squeezenet0_conv{index}_weight"),
        bias: format!("squeezenet0_conv{index}_bias"),
        norm: None,
    };
    convs.iter().enumerate().map(source).collect()
}
