//! Names of parameters: those of segment-anything's checkpoints as those of transformers, which the code reads.

use blemish_features::StateDict;

/// What a part of a name is called, first where it is replaced: before (segment-anything) and after (transformers).
const PARTS: [(&str, &str); 15] = [
    ("image_encoder.", "vision_encoder."),
    ("patch_embed.proj.", "patch_embed.projection."),
    ("neck.0.", "neck.conv1."),
    ("neck.1.", "neck.layer_norm1."),
    ("neck.2.", "neck.conv2."),
    ("neck.3.", "neck.layer_norm2."),
    ("vision_encoder.blocks.", "vision_encoder.layers."),
    (".norm", ".layer_norm"),
    ("pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    ("mask_downscaling.", "mask_embed."),
    ("point_embeddings.", "point_embed."),
    ("output_upscaling.0.", "upscale_conv1."),
    ("output_upscaling.1.", "upscale_layer_norm."),
    ("output_upscaling.3.", "upscale_conv2."),
    ("mask_embed.0.", "mask_embed.conv1."),
];

/// The same for what follows after the first names.
const LATER: [(&str, &str); 4] = [
    ("mask_embed.1.", "mask_embed.layer_norm1."),
    ("mask_embed.3.", "mask_embed.conv2."),
    ("mask_embed.4.", "mask_embed.layer_norm2."),
    ("mask_embed.6.", "mask_embed.conv3."),
];

/// A state dict with the names of transformers, whichever of the two it has; other names stay.
pub(super) fn unified(state: StateDict) -> StateDict {
    let is_original = state.keys().any(|name| name.starts_with("image_encoder."));
    state
        .into_iter()
        .map(|(name, tensor)| {
            let name = if is_original { renamed(&name) } else { name };
            // transformers writes the shared matrix under either of two names, or both.
            let shared = "shared_image_embedding.positional_embedding";
            let name = if name == shared {
                "prompt_encoder.shared_embedding.positional_embedding".into()
            } else {
                name
            };
            (name, tensor)
        })
        .collect()
}

/// Small perceptrons, which count their maps where transformers names the first and the last.
const PERCEPTRONS: [&str; 2] = ["iou_prediction_head", "output_hypernetworks_mlps"];

fn renamed(name: &str) -> String {
    let mut name = name.to_owned();
    for (before, after) in PARTS.iter().chain(&LATER) {
        name = name.replacen(before, after, 1);
    }
    for perceptron in PERCEPTRONS {
        if name.contains(perceptron) {
            name = name
                .replacen(".layers.0.", ".proj_in.", 1)
                .replacen(".layers.1.", ".layers.0.", 1)
                .replacen(".layers.2.", ".proj_out.", 1);
        }
    }
    name
}

/// The same weights by the names of segment-anything's checkpoints; the inverse of [`unified`].
#[cfg(test)]
pub(super) fn original(state: StateDict) -> StateDict {
    let back = |name: String| {
        let mut name = name;
        for perceptron in PERCEPTRONS {
            if name.contains(perceptron) {
                name = name
                    .replacen(".proj_out.", ".layers.2.", 1)
                    .replacen(".layers.0.", ".layers.1.", 1)
                    .replacen(".proj_in.", ".layers.0.", 1);
            }
        }
        for (before, after) in
            PARTS.iter().chain(&LATER).rev().filter(|(before, _)| *before != "mask_downscaling.")
        {
            name = name.replacen(after, before, 1);
        }
        name.replacen("mask_embed.", "mask_downscaling.", 1)
    };
    state.into_iter().map(|(name, tensor)| (back(name), tensor)).collect()
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn names_of_checkpoints_become_those_of_transformers() {
        for (original, ours) in [
            ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
            ("image_encoder.patch_embed.proj.weight", "vision_encoder.patch_embed.projection.weight"),
            ("image_encoder.blocks.3.norm1.bias", "vision_encoder.layers.3.layer_norm1.bias"),
            ("image_encoder.blocks.3.attn.rel_pos_h", "vision_encoder.layers.3.attn.rel_pos_h"),
            ("image_encoder.blocks.3.mlp.lin2.weight", "vision_encoder.layers.3.mlp.lin2.weight"),
            ("image_encoder.neck.2.weight", "vision_encoder.neck.conv2.weight"),
            (
                "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                "prompt_encoder.shared_embedding.positional_embedding",
            ),
            ("prompt_encoder.point_embeddings.2.weight", "prompt_encoder.point_embed.2.weight"),
            ("prompt_encoder.mask_downscaling.0.weight", "prompt_encoder.mask_embed.conv1.weight"),
            ("prompt_encoder.mask_downscaling.4.bias", "prompt_encoder.mask_embed.layer_norm2.bias"),
            ("prompt_encoder.mask_downscaling.6.bias", "prompt_encoder.mask_embed.conv3.bias"),
            ("prompt_encoder.no_mask_embed.weight", "prompt_encoder.no_mask_embed.weight"),
            (
                "mask_decoder.transformer.layers.1.norm4.weight",
                "mask_decoder.transformer.layers.1.layer_norm4.weight",
            ),
            (
                "mask_decoder.transformer.norm_final_attn.bias",
                "mask_decoder.transformer.layer_norm_final_attn.bias",
            ),
            ("mask_decoder.output_upscaling.3.bias", "mask_decoder.upscale_conv2.bias"),
            (
                "mask_decoder.output_hypernetworks_mlps.2.layers.1.weight",
                "mask_decoder.output_hypernetworks_mlps.2.layers.0.weight",
            ),
            (
                "mask_decoder.iou_prediction_head.layers.2.bias",
                "mask_decoder.iou_prediction_head.proj_out.bias",
            ),
            (
                "mask_decoder.iou_prediction_head.layers.0.bias",
                "mask_decoder.iou_prediction_head.proj_in.bias",
            ),
        ] {
            assert_eq!(renamed(original), ours);
        }
    }
}
