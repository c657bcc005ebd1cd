//! Names of parameters: those of the authors' checkpoint as those of transformers, which the code reads.

use blemish_features::{StateDict, Tensor};

/// Beginnings of names, before (authors) and after (transformers).
const BEGINNINGS: [(&str, &str); 16] = [
    (
        "backbone.0.patch_embed.proj.",
        "model.backbone.conv_encoder.model.embeddings.patch_embeddings.projection.",
    ),
    ("backbone.0.patch_embed.norm.", "model.backbone.conv_encoder.model.embeddings.norm."),
    ("backbone.0.layers.", "model.backbone.conv_encoder.model.encoder.layers."),
    ("backbone.0.norm1.", "model.backbone.conv_encoder.model.hidden_states_norms.stage2."),
    ("backbone.0.norm2.", "model.backbone.conv_encoder.model.hidden_states_norms.stage3."),
    ("backbone.0.norm3.", "model.backbone.conv_encoder.model.hidden_states_norms.stage4."),
    ("bert.", "model.text_backbone."),
    ("feat_map.", "model.text_projection."),
    ("input_proj.", "model.input_proj_vision."),
    ("transformer.level_embed", "model.level_embed"),
    ("transformer.tgt_embed.", "model.query_position_embeddings."),
    ("transformer.enc_output", "model.enc_output"),
    ("transformer.enc_out_bbox_embed.", "model.encoder_output_bbox_embed."),
    ("transformer.decoder.ref_point_head.", "model.decoder.reference_points_head."),
    ("transformer.decoder.bbox_embed.", "bbox_embed."),
    ("transformer.decoder.norm.", "model.decoder.layer_norm."),
];

/// Names within a block of the backbone.
const BLOCK: [(&str, &str); 6] = [
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".attn.relative_position_bias_table", ".attention.self.relative_position_bias_table"),
    (".attn.proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
];

/// A list of layers, what a layer of it is called within the one of transformers, and names within it.
type Layers = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const LAYERS: [Layers; 4] = [
    (
        "transformer.encoder.layers.",
        "model.encoder.layers.",
        "deformable_layer.",
        &[
            ("norm1.", "self_attn_layer_norm."),
            ("norm2.", "final_layer_norm."),
            ("linear1.", "fc1."),
            ("linear2.", "fc2."),
        ],
    ),
    (
        "transformer.encoder.text_layers.",
        "model.encoder.layers.",
        "text_enhancer_layer.",
        &[
            ("norm1.", "layer_norm_before."),
            ("norm2.", "layer_norm_after."),
            ("linear1.", "fc1."),
            ("linear2.", "fc2."),
        ],
    ),
    (
        "transformer.encoder.fusion_layers.",
        "model.encoder.layers.",
        "fusion_layer.",
        &[
            ("gamma_v", "vision_param"),
            ("gamma_l", "text_param"),
            ("layer_norm_v.", "layer_norm_vision."),
            ("layer_norm_l.", "layer_norm_text."),
            ("attn.v_proj.", "attn.vision_proj."),
            ("attn.l_proj.", "attn.text_proj."),
            ("attn.values_v_proj.", "attn.values_vision_proj."),
            ("attn.values_l_proj.", "attn.values_text_proj."),
            ("attn.out_v_proj.", "attn.out_vision_proj."),
            ("attn.out_l_proj.", "attn.out_text_proj."),
        ],
    ),
    (
        "transformer.decoder.layers.",
        "model.decoder.layers.",
        "",
        &[
            ("cross_attn.", "encoder_attn."),
            ("norm1.", "encoder_attn_layer_norm."),
            ("ca_text.", "encoder_attn_text."),
            ("catext_norm.", "encoder_attn_text_layer_norm."),
            ("norm2.", "self_attn_layer_norm."),
            ("norm3.", "final_layer_norm."),
            ("linear1.", "fc1."),
            ("linear2.", "fc2."),
        ],
    ),
];

/// A state dict with the names of transformers, whichever of the two it has; other names stay.
pub(super) fn unified(state: StateDict) -> StateDict {
    let plain = |name: String| name.strip_prefix("module.").map_or(name.clone(), str::to_owned);
    let state: StateDict = state.into_iter().map(|(name, tensor)| (plain(name), tensor)).collect();
    if !state.contains_key("transformer.level_embed") {
        return state;
    }
    state.into_iter().flat_map(|(name, tensor)| split(renamed(&name), tensor)).collect()
}

fn renamed(name: &str) -> String {
    for (before, after, layer, parts) in LAYERS {
        let Some((index, rest)) = name.strip_prefix(before).and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let part =
            parts.iter().find_map(|(before, after)| Some(format!("{after}{}", rest.strip_prefix(before)?)));
        return format!("{after}{index}.{layer}{}", part.unwrap_or_else(|| rest.to_owned()));
    }
    let begun =
        BEGINNINGS.iter().find_map(|(before, after)| Some(format!("{after}{}", name.strip_prefix(before)?)));
    let mut name = begun.unwrap_or_else(|| name.to_owned());
    if name.contains(".blocks.") {
        for (before, after) in BLOCK {
            name = name.replacen(before, after, 1);
        }
    }
    name
}

/// Queries, keys and values, of which the authors' checkpoint holds one matrix, as three.
fn split(name: String, tensor: Tensor) -> Vec<(String, Tensor)> {
    let joined = [(".attn.qkv.", ".attention.self.", "."), (".in_proj_", ".", ".")];
    for (before, after, dot) in joined {
        let Some((start, kind)) = name.split_once(before) else { continue };
        let Some((rows, rest)) = tensor.shape.split_first() else { continue };
        if !rows.is_multiple_of(3) {
            continue;
        }
        let shape: Vec<usize> = std::iter::once(rows / 3).chain(rest.iter().copied()).collect();
        let size = tensor.data.len() / 3;
        let part = |(index, part): (usize, &str)| {
            let data = tensor.data[index * size..][..size].to_vec();
            (format!("{start}{after}{part}{dot}{kind}"), Tensor { shape: shape.clone(), data })
        };
        return ["query", "key", "value"].into_iter().enumerate().map(part).collect();
    }
    vec![(name, tensor)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn names_of_the_checkpoint_become_those_of_transformers() {
        for (original, ours) in [
            ("transformer.level_embed", "model.level_embed"),
            (
                "backbone.0.layers.2.blocks.5.norm1.weight",
                "model.backbone.conv_encoder.model.encoder.layers.2.blocks.5.layernorm_before.weight",
            ),
            (
                "backbone.0.layers.2.downsample.norm.bias",
                "model.backbone.conv_encoder.model.encoder.layers.2.downsample.norm.bias",
            ),
            ("backbone.0.norm3.bias", "model.backbone.conv_encoder.model.hidden_states_norms.stage4.bias"),
            (
                "bert.encoder.layer.3.output.dense.bias",
                "model.text_backbone.encoder.layer.3.output.dense.bias",
            ),
            ("input_proj.3.0.weight", "model.input_proj_vision.3.0.weight"),
            (
                "transformer.encoder.layers.1.self_attn.sampling_offsets.bias",
                "model.encoder.layers.1.deformable_layer.self_attn.sampling_offsets.bias",
            ),
            (
                "transformer.encoder.layers.1.norm2.bias",
                "model.encoder.layers.1.deformable_layer.final_layer_norm.bias",
            ),
            (
                "transformer.encoder.text_layers.1.self_attn.out_proj.bias",
                "model.encoder.layers.1.text_enhancer_layer.self_attn.out_proj.bias",
            ),
            ("transformer.encoder.fusion_layers.0.gamma_l", "model.encoder.layers.0.fusion_layer.text_param"),
            (
                "transformer.encoder.fusion_layers.0.attn.out_v_proj.bias",
                "model.encoder.layers.0.fusion_layer.attn.out_vision_proj.bias",
            ),
            (
                "transformer.decoder.layers.4.catext_norm.bias",
                "model.decoder.layers.4.encoder_attn_text_layer_norm.bias",
            ),
            (
                "transformer.decoder.layers.4.norm1.bias",
                "model.decoder.layers.4.encoder_attn_layer_norm.bias",
            ),
            ("transformer.decoder.bbox_embed.0.layers.2.bias", "bbox_embed.0.layers.2.bias"),
            ("transformer.enc_output_norm.bias", "model.enc_output_norm.bias"),
        ] {
            assert_eq!(renamed(original), ours);
        }
    }

    /// The same weights by the names of the authors' checkpoint.
    pub(in super::super) fn original(state: &StateDict) -> StateDict {
        let mut out = StateDict::new();
        for (name, tensor) in state {
            let name = original_name(name);
            match ["query", "key", "value"].iter().position(|part| name.contains(&format!(".{part}."))) {
                // Those of BERT stay apart.
                Some(part) if !name.starts_with("bert.") => {
                    let part_name = ["query", "key", "value"][part];
                    let joined = if name.contains(".attn.") { ".qkv." } else { ".in_proj_" };
                    let name = name.replacen(&format!(".{part_name}."), joined, 1);
                    let entry = out.entry(format!("module.{name}")).or_insert_with(|| {
                        let mut shape = tensor.shape.clone();
                        shape[0] *= 3;
                        Tensor { data: vec![0.0; 3 * tensor.data.len()], shape }
                    });
                    entry.data[part * tensor.data.len()..][..tensor.data.len()].copy_from_slice(&tensor.data);
                }
                _ => {
                    out.insert(format!("module.{name}"), tensor.clone());
                }
            }
        }
        out
    }

    fn original_name(name: &str) -> String {
        for (before, after, layer, parts) in LAYERS {
            let Some((index, rest)) = name.strip_prefix(after).and_then(|rest| rest.split_once('.')) else {
                continue;
            };
            let Some(rest) = rest.strip_prefix(layer) else { continue };
            let part = parts
                .iter()
                .find_map(|(before, after)| Some(format!("{before}{}", rest.strip_prefix(after)?)));
            return format!("{before}{index}.{}", part.unwrap_or_else(|| rest.to_owned()));
        }
        let found = BEGINNINGS
            .iter()
            .find_map(|(before, after)| Some(format!("{before}{}", name.strip_prefix(after)?)));
        let mut name = found.unwrap_or_else(|| name.to_owned());
        if name.contains(".blocks.") {
            name = name.replacen(".attention.self.relative", ".attn.relative", 1).replacen(
                ".attention.self.",
                ".attn.",
                1,
            );
            for (before, after) in BLOCK {
                name = name.replacen(after, before, 1);
            }
        }
        name
    }
}
