//! Vision transformers from the files of timm, DINOv2's authors, open_clip and transformers.
//!
//! The packages differ in names, in whether queries, keys and values are one matrix, and in what the table of positions covers. A
//! [`Recipe`] says for each tensor of the graph how it is made of those of a file; LayerScale is folded into the map before it.

use super::{Mismatch, Shapes};
use crate::graph::{Graph, StateDict, Tensor, Weights};
use crate::networks::vit::Settings;
use crate::transformer::{BlockNames, FeedForwardNames, QkvNames};
use std::collections::{BTreeMap, BTreeSet};

/// The tensors of a file by the names they have within the network.
type View<'a> = BTreeMap<String, &'a Tensor>;

/// A tensor of a file by name and shape.
type Named = (String, Vec<usize>);

/// How a tensor of the graph is made.
enum Recipe {
    /// As it is in the file, reshaped.
    Same(Named),
    /// One below the other.
    Joined(Vec<Named>),
    /// Rows times factors.
    Scaled { values: Named, factors: Named },
    /// All zero: the file's network has no such tensor.
    Zeros,
    /// The class token with its position, if the table has one, then the registers.
    Prefix { class: Named, registers: Option<Named>, positions: Option<Named> },
    /// The table of positions without that of the class token.
    Positions { table: Named, skipped: usize },
}

impl Recipe {
    fn sources(&self) -> Vec<&Named> {
        match self {
            Self::Same(named) | Self::Positions { table: named, .. } => vec![named],
            Self::Joined(parts) => parts.iter().collect(),
            Self::Scaled { values, factors } => vec![values, factors],
            Self::Zeros => vec![],
            Self::Prefix { class, registers, positions } => {
                [Some(class), registers.as_ref(), positions.as_ref()].into_iter().flatten().collect()
            }
        }
    }

    /// The tensor; its sources were checked.
    fn make(&self, state: &View<'_>, shape: Vec<usize>) -> Tensor {
        let values = |named: &Named| state.get(&named.0).map_or(&[][..], |tensor| tensor.data.as_slice());
        let data = match self {
            Self::Same(named) => values(named).to_vec(),
            Self::Joined(parts) => parts.iter().map(values).collect::<Vec<_>>().concat(),
            Self::Scaled { values: from, factors } => {
                let (mut data, factors) = (values(from).to_vec(), values(factors));
                let row = (data.len() / factors.len().max(1)).max(1);
                for (row, factor) in data.chunks_exact_mut(row).zip(factors) {
                    row.iter_mut().for_each(|value| *value *= factor);
                }
                data
            }
            Self::Zeros => vec![0.0; shape.iter().product()],
            Self::Prefix { class, registers, positions } => {
                let mut data = values(class).to_vec();
                let position = positions.as_ref().map_or(&[][..], values);
                data.iter_mut().zip(position).for_each(|(value, position)| *value += position);
                data.extend_from_slice(registers.as_ref().map_or(&[][..], values));
                data
            }
            Self::Positions { table, skipped } => values(table).get(*skipped..).unwrap_or_default().to_vec(),
        };
        Tensor { shape, data }
    }
}

/// One package's names.
#[derive(Clone, Copy)]
struct Scheme {
    name: &'static str,
    /// Prefix of the patch embedding.
    patches: &'static str,
    class: (&'static str, bool),
    registers: &'static str,
    positions: (&'static str, bool),
    /// Whether the table has a position for the class token.
    has_class_position: bool,
    before: &'static str,
    last: &'static str,
    block: fn(usize) -> BlockNames,
}

/// Names that files of this kind of network may have, the usual ones first.
fn schemes(settings: &Settings) -> Vec<Scheme> {
    let timm = Scheme {
        name: "timm's",
        patches: "patch_embed.proj",
        class: ("cls_token", true),
        registers: "reg_token",
        positions: ("pos_embed", true),
        has_class_position: settings.registers == 0,
        before: "norm_pre",
        last: "norm",
        block: if settings.is_scaled {
            |block| BlockNames::timm_scaled(&format!("blocks.{block}"))
        } else {
            |block| BlockNames::timm(&format!("blocks.{block}"))
        },
    };
    let transformers = Scheme {
        name: "transformers'",
        patches: "embeddings.patch_embeddings.projection",
        class: ("embeddings.cls_token", true),
        registers: "embeddings.register_tokens",
        positions: ("embeddings.position_embeddings", true),
        has_class_position: true,
        before: "",
        last: "layernorm",
        block: |block| BlockNames::transformers_dinov2(&format!("encoder.layer.{block}")),
    };
    if settings.is_clip {
        let open_clip = Scheme {
            name: "open_clip's",
            patches: "conv1",
            class: ("class_embedding", false),
            registers: "",
            positions: ("positional_embedding", false),
            has_class_position: true,
            before: "ln_pre",
            last: "ln_post",
            block: |block| BlockNames::open_clip(&format!("transformer.resblocks.{block}")),
        };
        let transformers = Scheme {
            name: "transformers'",
            patches: "embeddings.patch_embedding",
            class: ("embeddings.class_embedding", false),
            registers: "",
            positions: ("embeddings.position_embedding.weight", false),
            has_class_position: true,
            before: "pre_layrnorm",
            last: "post_layernorm",
            block: |block| BlockNames::transformers_clip(&format!("encoder.layers.{block}")),
        };
        return vec![open_clip, transformers, timm];
    }
    if settings.is_scaled {
        let hub =
            Scheme { name: "DINOv2's own", registers: "register_tokens", has_class_position: true, ..timm };
        let newer = Scheme {
            name: "transformers 5's",
            block: |block| {
                let prefix = format!("encoder.layer.{block}");
                BlockNames::transformers_dinov2(&prefix).with_short_attention(&prefix)
            },
            ..transformers
        };
        // Without registers, timm's names are the authors' own.
        return match settings.registers {
            0 => vec![hub, transformers, newer],
            _ => vec![timm, hub, transformers, newer],
        };
    }
    let vit = Scheme {
        block: |block| BlockNames::transformers_vit(&format!("encoder.layer.{block}")),
        ..transformers
    };
    let newer = Scheme {
        name: "transformers 5's",
        block: |block| {
            let prefix = format!("layers.{block}");
            let names = BlockNames::transformers_vit(&prefix).with_short_attention(&prefix);
            let [up, down] = ["fc1", "fc2"].map(|part| format!("{prefix}.mlp.{part}"));
            BlockNames { feed_forward: FeedForwardNames::Mlp { up, down }, ..names }
        },
        ..transformers
    };
    vec![timm, vit, newer]
}

impl Scheme {
    /// How every tensor of the graph is made, with its name and shape.
    fn recipes(&self, graph: &Graph, settings: &Settings) -> Vec<(String, Vec<usize>, Recipe)> {
        let shapes: BTreeMap<String, Vec<usize>> = graph.tensor_shapes().collect();
        let recipe = |(name, shape): (&String, &Vec<usize>)| {
            let (node, kind) = name.rsplit_once('.')?;
            let recipe = self.recipe(node, kind, shape, settings)?;
            Some((name.clone(), shape.clone(), recipe))
        };
        shapes.iter().filter_map(recipe).collect()
    }

    fn recipe(&self, node: &str, kind: &str, shape: &[usize], settings: &Settings) -> Option<Recipe> {
        let width = settings.width;
        // Linear layers are pointwise convolutions in the graph.
        let matrix: Vec<usize> = match shape {
            [outputs, inputs, 1, 1] => vec![*outputs, *inputs],
            other => other.to_vec(),
        };
        let of = |prefix: &str| (format!("{prefix}.{kind}"), matrix.clone());
        let token = |name: &str, is_batched: bool, rows: Option<usize>| {
            let leading = is_batched.then_some(1).into_iter();
            (name.to_owned(), leading.chain(rows).chain([width]).collect::<Vec<_>>())
        };
        let table = || {
            let (name, is_batched) = self.positions;
            token(name, is_batched, Some(settings.side.pow(2) + usize::from(self.has_class_position)))
        };
        if let Some((block, part)) = node.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
            let names = (self.block)(block.parse().ok()?);
            let scaled = |prefix: &str, factors: &Option<String>| match factors {
                None => Recipe::Same(of(prefix)),
                Some(factors) => {
                    Recipe::Scaled { values: of(prefix), factors: (factors.clone(), vec![width]) }
                }
            };
            let FeedForwardNames::Mlp { up, down } = &names.feed_forward else { return None };
            return Some(match part {
                "norm1" => Recipe::Same(of(&names.norm1)),
                "norm2" => Recipe::Same(of(&names.norm2)),
                "attn.proj" => scaled(&names.projection, &names.scale1),
                "mlp.fc1" => Recipe::Same(of(up)),
                "mlp.fc2" => scaled(down, &names.scale2),
                "attn.qkv" => match &names.qkv {
                    QkvNames::Joint { weight, .. } if kind == "weight" => {
                        Recipe::Same((weight.clone(), matrix.clone()))
                    }
                    QkvNames::Joint { bias, .. } => Recipe::Same((bias.clone()?, matrix.clone())),
                    QkvNames::Split { prefixes, .. } => {
                        let mut part = matrix.clone();
                        part[0] /= 3;
                        let each = prefixes.iter().map(|prefix| (format!("{prefix}.{kind}"), part.clone()));
                        Recipe::Joined(each.collect())
                    }
                },
                _ => return None,
            });
        }
        Some(match (node, kind) {
            ("patch_embed.proj", "bias") if settings.is_clip => Recipe::Zeros,
            ("patch_embed.proj", _) => Recipe::Same((format!("{}.{kind}", self.patches), shape.to_vec())),
            ("tokens", "prefix") => Recipe::Prefix {
                class: token(self.class.0, self.class.1, self.class.1.then_some(1)),
                registers: (settings.registers > 0)
                    .then(|| token(self.registers, true, Some(settings.registers))),
                positions: self.has_class_position.then(table),
            },
            ("tokens", _) => {
                Recipe::Positions { table: table(), skipped: if self.has_class_position { width } else { 0 } }
            }
            ("norm_pre", _) => Recipe::Same(of(self.before)),
            // The norms of the taps.
            _ => Recipe::Same(of(self.last)),
        })
    }
}

/// Tensors of the network itself, whatever surrounds it in the file, by the names they have without that.
///
/// CLIP's files hold a text tower as well, classifiers a head. DINOv2's own files may count blocks within chunks, `blocks.0.3`.
fn tower(state: &StateDict) -> View<'_> {
    const TOWERS: [&str; 5] = ["visual.", "vision_model.", "dinov2.", "dinov2_with_registers.", "vit."];
    let found = TOWERS.iter().find(|tower| state.keys().any(|name| name.starts_with(**tower)));
    let inner = |name: &str| match found {
        Some(tower) => name.strip_prefix(*tower).map(str::to_owned),
        None => Some(name.to_owned()),
    };
    let named = state.iter().filter_map(|(name, tensor)| Some((without_chunk(inner(name)?), tensor)));
    named.collect()
}

/// `blocks.0.3.norm1.weight` as `blocks.3.norm1.weight`.
fn without_chunk(name: String) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["blocks", chunk, block, rest @ ..] if is_number(chunk) && is_number(block) => {
            format!("blocks.{block}.{}", rest.join("."))
        }
        _ => name,
    }
}

/// The scheme that explains most of the file, if it explains all.
fn best_scheme(graph: &Graph, settings: &Settings, state: &View<'_>) -> Result<Scheme, Box<Mismatch>> {
    let mut best: Option<(usize, Scheme, Mismatch)> = None;
    for scheme in schemes(settings) {
        let recipes = scheme.recipes(graph, settings);
        let sources: BTreeMap<&String, &Vec<usize>> = recipes
            .iter()
            .flat_map(|(.., recipe)| recipe.sources())
            .map(|(name, shape)| (name, shape))
            .collect();
        let known = sources.keys().filter(|name| state.contains_key(**name)).count();
        let mut mismatch = Mismatch::new(&graph.name, scheme.name);
        sources.iter().for_each(|(name, shape)| mismatch.check(name, shape, state.get(*name).copied()));
        let is_clean = mismatch.is_empty();
        // Of equals, the one that fits wins, then the first.
        let better = |(most, _, least): &(usize, Scheme, Mismatch)| {
            known > *most || known == *most && is_clean && !least.is_empty()
        };
        if best.as_ref().is_none_or(better) {
            best = Some((known, scheme, mismatch));
        }
    }
    let Some((_, scheme, mut mismatch)) = best else {
        return Err(Box::new(Mismatch::new(&graph.name, "no")));
    };
    mismatch.foreign = foreign(&scheme, graph, settings, state);
    if mismatch.is_empty() { Ok(scheme) } else { Err(Box::new(mismatch)) }
}

/// Tensors of the file that no part of the network has; those of blocks behind the cut are the network's.
fn foreign(scheme: &Scheme, graph: &Graph, settings: &Settings, state: &View<'_>) -> Vec<String> {
    let whole = crate::networks::vit::build(&graph.name, settings);
    let recipes = scheme.recipes(&whole, settings);
    let known: BTreeSet<&String> =
        recipes.iter().flat_map(|(.., recipe)| recipe.sources()).map(|(name, _)| name).collect();
    state.keys().filter(|name| !known.contains(name) && !is_apart(name)).cloned().collect()
}

/// Whether a tensor belongs to what is never part of a backbone: heads, projections into a common space, masks of the training.
fn is_apart(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    matches!(first, "head" | "head_dist" | "classifier" | "pooler" | "proj" | "fc_norm" | "visual_projection")
        || ["mask_token", "embeddings.mask_token", "embeddings.position_ids"].contains(&name)
}

/// The weights of `graph`, or why there are none.
pub(crate) fn assemble(
    graph: &Graph,
    settings: &Settings,
    state: &StateDict,
) -> Result<Weights, Box<Mismatch>> {
    let state = tower(state);
    let recipes = best_scheme(graph, settings, &state)?.recipes(graph, settings);
    Ok(recipes.into_iter().map(|(name, shape, recipe)| (name, recipe.make(&state, shape))).collect())
}

/// Whether `state` fills `graph`.
pub(super) fn explains(graph: &Graph, settings: &Settings, state: &StateDict) -> bool {
    best_scheme(graph, settings, &tower(state)).is_ok()
}

/// Names and shapes of a file with whole weights, for each scheme.
pub(super) fn expected_tensors(whole: &Graph, settings: &Settings) -> BTreeMap<&'static str, Shapes> {
    let tensors = |scheme: Scheme| {
        let recipes = scheme.recipes(whole, settings);
        let named = recipes.iter().flat_map(|(.., recipe)| recipe.sources()).cloned().collect();
        (scheme.name, named)
    };
    schemes(settings).into_iter().map(tensors).collect()
}
