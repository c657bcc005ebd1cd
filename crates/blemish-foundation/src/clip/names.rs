//! From the tensors of a weight file, under anyone's names, to those of the two towers under open_clip's.

use super::form::{BlocksForm, Form, ImageForm, TextForm};
use blemish_features::transformer::TensorReader;
use blemish_features::{FeatureError, StateDict, Tensor};

/// What the towers' tensors are stored under: `transformer.resblocks.0.ln_1.weight`, `proj` and so on, in each tower alike.
pub(super) struct Towers {
    pub(super) image: StateDict,
    pub(super) text: StateDict,
}

/// Whose names the tensors of a file have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// OpenAI's and open_clip's; the prefix of the text tower.
    OpenClip(&'static str),
    /// Those of transformers' `CLIPModel`.
    Transformers,
}

impl Names {
    fn of(state: &StateDict) -> Self {
        if state.contains_key("vision_model.embeddings.patch_embedding.weight") {
            return Self::Transformers;
        }
        Self::OpenClip(if state.contains_key("text.token_embedding.weight") { "text." } else { "" })
    }

    fn words(self) -> &'static str {
        match self {
            Self::OpenClip(_) => "open_clip",
            Self::Transformers => "transformers",
        }
    }
}

/// The tensors of both towers.
///
/// # Errors
/// [`FeatureError::WeightsMismatch`] naming every tensor that is missing or misshapen.
pub(super) fn towers(name: &str, form: &Form, state: StateDict) -> Result<Towers, FeatureError> {
    let state = without_wrapper(state);
    let names = Names::of(&state);
    let mut image =
        Copier { reader: TensorReader::new(name, names.words(), &state), names, to: StateDict::new() };
    image.image(&form.image);
    let Copier { reader, to, .. } = image;
    let mut text = Copier { reader, names, to: StateDict::new() };
    text.text(&form.text);
    let Copier { reader, to: text, .. } = text;
    reader.finish()?;
    Ok(Towers { image: to, text })
}

/// Training on several GPUs puts a word before every name.
fn without_wrapper(state: StateDict) -> StateDict {
    let plain = |name: String| name.strip_prefix("module.").map(str::to_owned).unwrap_or(name);
    state.into_iter().map(|(name, tensor)| (plain(name), tensor)).collect()
}

/// Reads by the file's names, keeps under open_clip's.
struct Copier<'a> {
    reader: TensorReader<'a>,
    names: Names,
    to: StateDict,
}

impl Copier<'_> {
    fn copy(&mut self, to: &str, from: &str, shape: &[usize]) {
        let data = self.reader.tensor(from, shape).into_owned();
        self.to.insert(to.to_owned(), Tensor { shape: shape.to_vec(), data });
    }

    /// Weight and bias.
    fn pair(&mut self, to: &str, from: &str, shape: &[usize]) {
        self.copy(&format!("{to}.weight"), &format!("{from}.weight"), shape);
        self.copy(&format!("{to}.bias"), &format!("{from}.bias"), &shape[..1]);
    }

    /// A matrix, inputs x outputs, that a file may hold the other way round.
    fn projection(&mut self, to: &str, from: &str, [inputs, outputs]: [usize; 2], is_turned: bool) {
        if !is_turned {
            return self.copy(to, from, &[inputs, outputs]);
        }
        let values = self.reader.tensor(from, &[outputs, inputs]);
        let data = (0..inputs * outputs).map(|at| values[at % outputs * inputs + at / outputs]).collect();
        self.to.insert(to.to_owned(), Tensor { shape: vec![inputs, outputs], data });
    }

    fn image(&mut self, form: &ImageForm) {
        let ImageForm { patch, blocks, embedding, .. } = *form;
        let width = blocks.width;
        let positions = [1 + form.grid() * form.grid(), width];
        let conv = [width, 3, patch, patch];
        match self.names {
            Names::OpenClip(_) => {
                self.copy("conv1.weight", "visual.conv1.weight", &conv);
                self.copy("class_embedding", "visual.class_embedding", &[width]);
                self.copy("positional_embedding", "visual.positional_embedding", &positions);
                self.pair("ln_pre", "visual.ln_pre", &[width]);
                self.blocks("visual.transformer.resblocks", blocks);
                self.pair("ln_post", "visual.ln_post", &[width]);
                self.projection("proj", "visual.proj", [width, embedding], false);
            }
            Names::Transformers => {
                let embeddings = |part: &str| format!("vision_model.embeddings.{part}");
                self.copy("conv1.weight", &embeddings("patch_embedding.weight"), &conv);
                self.copy("class_embedding", &embeddings("class_embedding"), &[width]);
                self.copy("positional_embedding", &embeddings("position_embedding.weight"), &positions);
                // Their own spelling.
                self.pair("ln_pre", "vision_model.pre_layrnorm", &[width]);
                self.blocks("vision_model.encoder.layers", blocks);
                self.pair("ln_post", "vision_model.post_layernorm", &[width]);
                self.projection("proj", "visual_projection.weight", [width, embedding], true);
            }
        }
    }

    fn text(&mut self, form: &TextForm) {
        let TextForm { context, vocabulary, blocks, embedding } = *form;
        let width = blocks.width;
        match self.names {
            Names::OpenClip(prefix) => {
                let name = |part: &str| format!("{prefix}{part}");
                self.copy("token_embedding.weight", &name("token_embedding.weight"), &[vocabulary, width]);
                self.copy("positional_embedding", &name("positional_embedding"), &[context, width]);
                self.blocks(&name("transformer.resblocks"), blocks);
                self.pair("ln_final", &name("ln_final"), &[width]);
                self.projection("text_projection", &name("text_projection"), [width, embedding], false);
            }
            Names::Transformers => {
                let embeddings = |part: &str| format!("text_model.embeddings.{part}.weight");
                self.copy("token_embedding.weight", &embeddings("token_embedding"), &[vocabulary, width]);
                self.copy("positional_embedding", &embeddings("position_embedding"), &[context, width]);
                self.blocks("text_model.encoder.layers", blocks);
                self.pair("ln_final", "text_model.final_layer_norm", &[width]);
                self.projection("text_projection", "text_projection.weight", [width, embedding], true);
            }
        }
    }

    fn blocks(&mut self, from: &str, form: BlocksForm) {
        let width = form.width;
        for layer in 0..form.layers {
            let [to, from] = ["transformer.resblocks", from].map(|prefix| format!("{prefix}.{layer}"));
            let parts = match self.names {
                Names::OpenClip(_) => ["ln_1", "attn.out_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"],
                Names::Transformers => {
                    ["layer_norm1", "self_attn.out_proj", "layer_norm2", "mlp.fc1", "mlp.fc2"]
                }
            };
            let [norm1, projection, norm2, up, down] = parts.map(|part| format!("{from}.{part}"));
            self.pair(&format!("{to}.ln_1"), &norm1, &[width]);
            match self.names {
                Names::OpenClip(_) => {
                    let (weight, bias) = ("attn.in_proj_weight", "attn.in_proj_bias");
                    self.copy(&format!("{to}.{weight}"), &format!("{from}.{weight}"), &[3 * width, width]);
                    self.copy(&format!("{to}.{bias}"), &format!("{from}.{bias}"), &[3 * width]);
                }
                Names::Transformers => {
                    self.joined(&format!("{to}.attn.in_proj_weight"), &from, "weight", &[width, width]);
                    self.joined(&format!("{to}.attn.in_proj_bias"), &from, "bias", &[width]);
                }
            }
            self.pair(&format!("{to}.attn.out_proj"), &projection, &[width, width]);
            self.pair(&format!("{to}.ln_2"), &norm2, &[width]);
            self.pair(&format!("{to}.mlp.c_fc"), &up, &[4 * width, width]);
            self.pair(&format!("{to}.mlp.c_proj"), &down, &[width, 4 * width]);
        }
    }

    /// Queries, keys and values one below the other.
    fn joined(&mut self, to: &str, from: &str, kind: &str, shape: &[usize]) {
        let part = |part: &str| format!("{from}.self_attn.{part}_proj.{kind}");
        let parts = ["q", "k", "v"].map(|name| self.reader.tensor(&part(name), shape));
        let data = parts.concat();
        let shape = [&[3 * shape[0]], &shape[1..]].concat();
        self.to.insert(to.to_owned(), Tensor { shape, data });
    }
}
