//! Where published weights of the known networks are.

/// A published weight file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// Name of the architecture.
    pub name: &'static str,
    /// Repository on the hub.
    pub repository: &'static str,
    /// The file in the repository.
    pub file: &'static str,
    /// Licence the repository states.
    pub licence: &'static str,
}

/// The weights papers used, where they are published: torchvision's first ImageNet training for the ResNets and VGG, the TensorFlow
/// ports for the EfficientNets, self-supervised DINOv2, the plain transformers as timm trained them, CLIP as LAION and OpenAI trained it,
/// as a backbone (`vit_..._clip_...`, the image tower) and as a network of images and texts (`clip_...`).
///
/// Their digests are checked against what the hub states, none is known beforehand.
const CATALOGUE: [CatalogueEntry; 41] = [
    entry("resnet18", "timm/resnet18.tv_in1k", "bsd-3-clause"),
    entry("resnet34", "timm/resnet34.tv_in1k", "bsd-3-clause"),
    entry("resnet50", "timm/resnet50.tv_in1k", "bsd-3-clause"),
    entry("resnet101", "timm/resnet101.tv_in1k", "bsd-3-clause"),
    entry("wide_resnet50_2", "timm/wide_resnet50_2.tv_in1k", "bsd-3-clause"),
    entry("wide_resnet101_2", "timm/wide_resnet101_2.tv_in1k", "bsd-3-clause"),
    entry("efficientnet_b0", "timm/tf_efficientnet_b0.in1k", "apache-2.0"),
    entry("efficientnet_b1", "timm/tf_efficientnet_b1.in1k", "apache-2.0"),
    entry("efficientnet_b2", "timm/tf_efficientnet_b2.in1k", "apache-2.0"),
    entry("efficientnet_b3", "timm/tf_efficientnet_b3.in1k", "apache-2.0"),
    entry("efficientnet_b4", "timm/tf_efficientnet_b4.in1k", "apache-2.0"),
    entry("efficientnet_b5", "timm/tf_efficientnet_b5.in1k", "apache-2.0"),
    entry("efficientnet_lite0", "timm/tf_efficientnet_lite0.in1k", "apache-2.0"),
    entry("efficientnet_lite1", "timm/tf_efficientnet_lite1.in1k", "apache-2.0"),
    entry("efficientnet_lite2", "timm/tf_efficientnet_lite2.in1k", "apache-2.0"),
    entry("mobilenet_v2", "timm/mobilenetv2_100.ra_in1k", "apache-2.0"),
    entry("vgg16", "timm/vgg16.tv_in1k", "bsd-3-clause"),
    entry("vit_small_patch14_dinov2", "timm/vit_small_patch14_dinov2.lvd142m", "apache-2.0"),
    entry("vit_base_patch14_dinov2", "timm/vit_base_patch14_dinov2.lvd142m", "apache-2.0"),
    entry("vit_large_patch14_dinov2", "timm/vit_large_patch14_dinov2.lvd142m", "apache-2.0"),
    entry("vit_small_patch14_reg4_dinov2", "timm/vit_small_patch14_reg4_dinov2.lvd142m", "apache-2.0"),
    entry("vit_base_patch14_reg4_dinov2", "timm/vit_base_patch14_reg4_dinov2.lvd142m", "apache-2.0"),
    entry("vit_large_patch14_reg4_dinov2", "timm/vit_large_patch14_reg4_dinov2.lvd142m", "apache-2.0"),
    entry("vit_small_patch16_224", "timm/vit_small_patch16_224.augreg_in21k_ft_in1k", "apache-2.0"),
    entry("vit_base_patch16_224", "timm/vit_base_patch16_224.augreg_in21k_ft_in1k", "apache-2.0"),
    entry("vit_large_patch16_224", "timm/vit_large_patch16_224.augreg_in21k_ft_in1k", "apache-2.0"),
    entry("vit_base_patch32_clip_224", "timm/vit_base_patch32_clip_224.laion2b", "apache-2.0"),
    entry("vit_base_patch16_clip_224", "timm/vit_base_patch16_clip_224.laion2b", "apache-2.0"),
    entry("vit_base_patch16_plus_clip_240", "timm/vit_base_patch16_plus_clip_240.laion400m_e32", "mit"),
    entry("vit_large_patch14_clip_224", "timm/vit_large_patch14_clip_224.laion400m_e32", "mit"),
    entry("vit_base_patch32_clip_quickgelu_224", "timm/vit_base_patch32_clip_224.openai", "apache-2.0"),
    entry("vit_base_patch16_clip_quickgelu_224", "timm/vit_base_patch16_clip_224.openai", "apache-2.0"),
    entry("vit_large_patch14_clip_quickgelu_224", "timm/vit_large_patch14_clip_224.openai", "apache-2.0"),
    image_text("clip_vit_b_16_plus_240", "timm/vit_base_patch16_plus_clip_240.laion400m_e31"),
    image_text("clip_vit_b_32", "timm/vit_base_patch32_clip_224.openai"),
    image_text("clip_vit_b_16", "timm/vit_base_patch16_clip_224.openai"),
    image_text("clip_vit_l_14", "timm/vit_large_patch14_clip_224.openai"),
    entry("grounding_dino_tiny", "IDEA-Research/grounding-dino-tiny", "apache-2.0"),
    entry("sam_vit_b", "facebook/sam-vit-base", "apache-2.0"),
    entry("sam_vit_l", "facebook/sam-vit-large", "apache-2.0"),
    entry("sam_vit_h", "facebook/sam-vit-huge", "apache-2.0"),
];

const fn entry(name: &'static str, repository: &'static str, licence: &'static str) -> CatalogueEntry {
    CatalogueEntry { name, repository, file: "model.safetensors", licence }
}

/// Both towers of a CLIP, under open_clip's names.
const fn image_text(name: &'static str, repository: &'static str) -> CatalogueEntry {
    CatalogueEntry { name, repository, file: "open_clip_model.safetensors", licence: "mit" }
}

/// Every published weight file that `pull` knows.
pub fn catalogue() -> &'static [CatalogueEntry] {
    &CATALOGUE
}

/// The published weights of a network.
pub(crate) fn published(name: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}
