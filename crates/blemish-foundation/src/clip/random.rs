//! Networks of random weights, for tests.

use super::form::{BlocksForm, Form};
use super::names::Towers;
use super::{Clip, ImageTower, TextTower};
use blemish_features::{StateDict, Tensor};
use std::sync::{Arc, Mutex};

impl Clip {
    /// A network of this form with weights that the seed draws: it knows nothing, but runs like any other. For tests and timings.
    ///
    /// # Panics
    /// Never: the tensors are those of the form.
    pub fn random(form: &Form, seed: u64) -> Self {
        let Towers { image, text } = towers(form, seed);
        let fits = "tensors are drawn in the shapes of the form";
        Self {
            name: "random".into(),
            image: Arc::new(ImageTower::new("random", form.image, Arc::new(image)).expect(fits)),
            text: TextTower::new("random", form.text, &text).expect(fits),
            known: Mutex::default(),
        }
    }
}

fn towers(form: &Form, seed: u64) -> Towers {
    let mut draw = Draw { state: seed, to: StateDict::new() };
    let (image, text) = (form.image, form.text);
    let width = image.blocks.width;
    draw.tensor("conv1.weight", &[width, 3, image.patch, image.patch], 0.02);
    draw.tensor("class_embedding", &[width], 0.2);
    draw.tensor("positional_embedding", &[1 + image.grid() * image.grid(), width], 0.2);
    draw.norm("ln_pre", width);
    draw.blocks(image.blocks);
    draw.norm("ln_post", width);
    draw.tensor("proj", &[width, image.embedding], (width as f32).powf(-0.5));
    let image = std::mem::take(&mut draw.to);
    let width = text.blocks.width;
    draw.tensor("token_embedding.weight", &[text.vocabulary, width], 0.5);
    draw.tensor("positional_embedding", &[text.context, width], 0.2);
    draw.blocks(text.blocks);
    draw.norm("ln_final", width);
    draw.tensor("text_projection", &[width, text.embedding], (width as f32).powf(-0.5));
    Towers { image, text: draw.to }
}

/// Uniform numbers of SplitMix64.
struct Draw {
    state: u64,
    to: StateDict,
}

impl Draw {
    /// In [-1, 1).
    fn number(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// With this standard deviation.
    fn tensor(&mut self, name: &str, shape: &[usize], deviation: f32) {
        let scale = deviation * 3.0_f32.sqrt();
        let data = (0..shape.iter().product()).map(|_| scale * self.number()).collect();
        self.to.insert(name.to_owned(), Tensor { shape: shape.to_vec(), data });
    }

    fn norm(&mut self, name: &str, width: usize) {
        let ones = Tensor { shape: vec![width], data: vec![1.0; width] };
        self.to.insert(format!("{name}.weight"), ones);
        self.tensor(&format!("{name}.bias"), &[width], 0.02);
    }

    fn linear(&mut self, name: &str, [outputs, inputs]: [usize; 2]) {
        self.tensor(&format!("{name}.weight"), &[outputs, inputs], (inputs as f32).powf(-0.5));
        self.tensor(&format!("{name}.bias"), &[outputs], 0.02);
    }

    fn blocks(&mut self, form: BlocksForm) {
        let width = form.width;
        for layer in 0..form.layers {
            let name = |part: &str| format!("transformer.resblocks.{layer}.{part}");
            self.norm(&name("ln_1"), width);
            self.tensor(&name("attn.in_proj_weight"), &[3 * width, width], (width as f32).powf(-0.5));
            self.tensor(&name("attn.in_proj_bias"), &[3 * width], 0.02);
            self.linear(&name("attn.out_proj"), [width, width]);
            self.norm(&name("ln_2"), width);
            self.linear(&name("mlp.c_fc"), [4 * width, width]);
            self.linear(&name("mlp.c_proj"), [width, 4 * width]);
        }
    }
}
