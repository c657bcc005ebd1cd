//! What the packages call the tensors of a block.

/// Where a block's queries, keys and values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QkvNames {
    /// One matrix of 3 width rows, and its bias if there is one.
    Joint {
        /// Name of the matrix.
        weight: String,
        /// Name of the bias.
        bias: Option<String>,
    },
    /// A linear map each, by their prefixes, with `.weight` and perhaps `.bias`.
    Split {
        /// Queries, keys, values.
        prefixes: [String; 3],
        /// Whether there are biases.
        has_bias: bool,
    },
}

/// The maps of a block's second half, by their prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedForwardNames {
    /// down(act(up(x))).
    Mlp {
        /// width to hidden.
        up: String,
        /// hidden to width.
        down: String,
    },
    /// down(act(a) b) with (a, b) = both(x): SwiGLU for SiLU.
    Gated {
        /// width to twice hidden.
        both: String,
        /// hidden to width.
        down: String,
    },
}

/// Names of a block's tensors; norms and maps by their prefixes, to which `.weight` and `.bias` belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockNames {
    /// The norm of the attention.
    pub norm1: String,
    /// Queries, keys and values.
    pub qkv: QkvNames,
    /// The map behind the attention.
    pub projection: String,
    /// LayerScale of the attention, the whole name.
    pub scale1: Option<String>,
    /// The norm of the second half.
    pub norm2: String,
    /// The second half.
    pub feed_forward: FeedForwardNames,
    /// LayerScale of the second half, the whole name.
    pub scale2: Option<String>,
}

impl BlockNames {
    /// timm's, DINOv2's own and nearly SAM's: `norm1`, `attn.qkv`, `attn.proj`, `norm2`, `mlp.fc1`, `mlp.fc2`.
    pub fn timm(prefix: &str) -> Self {
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            norm1: name("norm1"),
            qkv: QkvNames::Joint { weight: name("attn.qkv.weight"), bias: Some(name("attn.qkv.bias")) },
            projection: name("attn.proj"),
            scale1: None,
            norm2: name("norm2"),
            feed_forward: FeedForwardNames::Mlp { up: name("mlp.fc1"), down: name("mlp.fc2") },
            scale2: None,
        }
    }

    /// [`Self::timm`] with LayerScale, `ls1.gamma` and `ls2.gamma`, as DINOv2 has it.
    pub fn timm_scaled(prefix: &str) -> Self {
        let name = |part: &str| Some(format!("{prefix}.{part}"));
        Self { scale1: name("ls1.gamma"), scale2: name("ls2.gamma"), ..Self::timm(prefix) }
    }

    /// OpenAI's and open_clip's: `ln_1`, `attn.in_proj_weight`, `attn.out_proj`, `ln_2`, `mlp.c_fc`, `mlp.c_proj`.
    pub fn open_clip(prefix: &str) -> Self {
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            norm1: name("ln_1"),
            qkv: QkvNames::Joint {
                weight: name("attn.in_proj_weight"),
                bias: Some(name("attn.in_proj_bias")),
            },
            projection: name("attn.out_proj"),
            scale1: None,
            norm2: name("ln_2"),
            feed_forward: FeedForwardNames::Mlp { up: name("mlp.c_fc"), down: name("mlp.c_proj") },
            scale2: None,
        }
    }

    /// CLIP in transformers: `layer_norm1`, `self_attn.q_proj` ..., `self_attn.out_proj`, `layer_norm2`, `mlp.fc1`, `mlp.fc2`.
    pub fn transformers_clip(prefix: &str) -> Self {
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            norm1: name("layer_norm1"),
            qkv: QkvNames::Split {
                prefixes: ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj"))),
                has_bias: true,
            },
            projection: name("self_attn.out_proj"),
            scale1: None,
            norm2: name("layer_norm2"),
            feed_forward: FeedForwardNames::Mlp { up: name("mlp.fc1"), down: name("mlp.fc2") },
            scale2: None,
        }
    }

    /// DINOv2 in transformers: `norm1`, `attention.attention.query` ..., `attention.output.dense`, `layer_scale1.lambda1`, `mlp.fc1` ...
    pub fn transformers_dinov2(prefix: &str) -> Self {
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            norm1: name("norm1"),
            qkv: QkvNames::Split {
                prefixes: ["query", "key", "value"].map(|part| name(&format!("attention.attention.{part}"))),
                has_bias: true,
            },
            projection: name("attention.output.dense"),
            scale1: Some(name("layer_scale1.lambda1")),
            norm2: name("norm2"),
            feed_forward: FeedForwardNames::Mlp { up: name("mlp.fc1"), down: name("mlp.fc2") },
            scale2: Some(name("layer_scale2.lambda1")),
        }
    }

    /// ViT in transformers: `layernorm_before`, `attention.attention.query` ..., `intermediate.dense`, `output.dense`.
    pub fn transformers_vit(prefix: &str) -> Self {
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            norm1: name("layernorm_before"),
            scale1: None,
            norm2: name("layernorm_after"),
            feed_forward: FeedForwardNames::Mlp {
                up: name("intermediate.dense"),
                down: name("output.dense"),
            },
            scale2: None,
            ..Self::transformers_dinov2(prefix)
        }
    }

    /// With the names that transformers gives the attention from version 5 on: `attention.q_proj` ..., `attention.o_proj`.
    pub fn with_short_attention(self, prefix: &str) -> Self {
        let name = |part: &str| format!("{prefix}.attention.{part}_proj");
        let qkv = QkvNames::Split { prefixes: ["q", "k", "v"].map(name), has_bias: true };
        Self { qkv, projection: name("o"), ..self }
    }

    /// BERT in transformers, whose norms come behind the sums: `attention.self.query` ..., `attention.output.LayerNorm`, `output.LayerNorm`.
    pub fn bert(prefix: &str) -> Self {
        let name = |part: &str| format!("{prefix}.{part}");
        Self {
            norm1: name("attention.output.LayerNorm"),
            qkv: QkvNames::Split {
                prefixes: ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}"))),
                has_bias: true,
            },
            projection: name("attention.output.dense"),
            scale1: None,
            norm2: name("output.LayerNorm"),
            feed_forward: FeedForwardNames::Mlp {
                up: name("intermediate.dense"),
                down: name("output.dense"),
            },
            scale2: None,
        }
    }
}
