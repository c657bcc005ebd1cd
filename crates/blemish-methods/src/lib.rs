//! The methods: one folder each, by family. No method imports another; what several share lies in `shared`.
//!
//! Adding a method takes its folder and a word below. The folder holds the type that implements
//! [`Method`](blemish_core::method::Method), and in `tests.rs` a list `SMALL`: settings of small models, one entry a variant, on which
//! the contract suite ([`blemish_core::check`]) is run.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod devices;
#[macro_use]
pub mod registry;
pub mod shared;
#[cfg(test)]
mod slopes;
#[cfg(test)]
mod testing;

pub use shared::network_state::loss_curves;

methods! {
    /// Distances to what good features were like: to a memory bank, a Gaussian, learned centres.
    family distance {
        patchcore: PatchCore,
        padim: Padim,
        fapm: Fapm,
        pni: Pni,
        cfa: Cfa,
        mspba: Mspba,
        anomalydino: AnomalyDino,
    }

    /// Normalizing flows: exact likelihood of frozen features, learned by the one training loop.
    ///
    /// | method | models | map |
    /// |---|---|---|
    /// | [`fastflow`](flow::fastflow) | each feature map by a convolutional flow | latent probability at each position |
    /// | [`cflow`](flow::cflow) | each position's vector, given where it lies | likelihood at each position |
    /// | [`csflow`](flow::csflow) | three sizes of the image jointly | latent energy |
    /// | [`differnet`](flow::differnet) | one pooled vector an image, averaged over rotations | gradient of the loss |
    /// | [`glow`](flow::glow) | feature maps or pixels by a multi-scale flow | exact likelihood at each position |
    ///
    /// All are made of the pieces of `blemish_nn::flow`.
    family flow {
        fastflow: FastFlow,
        cflow: CFlow,
        csflow: CsFlow,
        glow: Glow,
        differnet: DifferNet,
    }

    /// Reconstructions of what is good, learned from pixels: what is drawn otherwise than it is, is odd.
    family reconstruction {
        vae: Vae,
        ganomaly: Ganomaly,
        fanogan: Fanogan,
        edgrec: EdgRec,
        mnad: Mnad,
        uniad: Uniad,
        ddad: Ddad,
    }

    /// Networks that learn from defects made up on good images.
    family synthetic {
        draem: Draem,
        memseg: MemSeg,
    }

    /// Large networks trained on images and texts, which detect with no good images or a handful.
    family foundation {
        winclip: WinClip,
        saa: Saa,
    }

    mod classical: Statistical, Structural, FilterBank;
}
