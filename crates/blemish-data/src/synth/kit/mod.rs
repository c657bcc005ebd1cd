//! Made-up defects to train on: what methods that learn from synthetic defects lay over good images.
//!
//! | kind | what | from |
//! |---|---|---|
//! | [`Kind::CutPaste`] | a rectangle of the image put elsewhere, its colours jittered | Li et al., arXiv 2104.04015 |
//! | [`Kind::Scar`] | a narrow, turned one | the same |
//! | [`Kind::Texture`] | texture where [Perlin noise](Perlin) is high, blended in | Zavrtanik et al., DRAEM, arXiv 2108.07610 |
//! | [`Kind::Scribble`] | strokes of varying width and colour | PNI (arXiv 2211.12634) draws such by hand |
//!
//! A [`Simulation`] makes the defects of DRAEM, MemSeg and EdgRec as they are published: with their own probabilities, sources and
//! [`Operation`]s. Its mask is the one that it was made with, within which a pixel may stay as it is by chance.
//!
//! Unlike [`super::paste`], which makes test sets for people, everything here works on planes as networks see them (3 x H x W in
//! [0, 1]), a defect may be anywhere, and its mask is exact: what is not marked is the image to the bit. One `(seed, stream)` fixes a
//! defect, on any number of threads.

mod cut_paste;
mod jitter;
mod made_up;
mod operations;
mod perlin;
mod picture;
mod pixels;
mod scribble;
mod simulation;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
mod texture;

pub use jitter::ColourJitter;
pub use operations::Operation;
pub use perlin::Perlin;
pub use simulation::{Rate, Simulation};
pub use texture::Textures;

use super::random::Random;
use crate::mask::Mask;
use pixels::{brightness, canvas_of, planes_of};

/// A kind of defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A rectangle of 2 to 15 % of the image, its sides in a ratio of 0.3 to 3.3, put elsewhere.
    CutPaste,
    /// A rectangle 2 to 16 pixels wide and 10 to 25 long (at 256 pixels on the shorter side), turned by up to 45 degrees.
    Scar,
    /// A foreign texture, or the image itself in disorder, where Perlin noise is above a half.
    Texture,
    /// One to three smooth strokes.
    Scribble,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::CutPaste, Self::Scar, Self::Texture, Self::Scribble];
}

/// Which defect to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DefectRequest {
    /// Its kind.
    pub kind: Kind,
    /// Fixes it, together with `stream`.
    pub seed: u64,
    /// Number of the defect in its set.
    pub stream: u64,
    /// Change of colour of what is cut and pasted; [`ColourJitter::NONE`] pastes it as it is.
    pub jitter: ColourJitter,
}

impl DefectRequest {
    /// A defect with the usual change of colour, a tenth.
    pub fn new(kind: Kind, seed: u64, stream: u64) -> Self {
        Self { kind, seed, stream, jitter: ColourJitter::even(0.1) }
    }
}

/// A defective twin of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeDefect {
    /// 3 x H x W values in [0, 1].
    pub pixels: Vec<f32>,
    /// Exactly the pixels that differ from the image; of a [`Simulation`] those that may.
    pub mask: Mask,
}

/// Changes of less than this, of 1, are taken back: no camera would show them.
const VISIBLE: f32 = 2.5 / 255.0;

/// Attempts at something visible.
const ATTEMPTS: u64 = 8;

/// Lays a defect over an image of 3 x H x W values in [0, 1].
///
/// `textures` are those of [`Kind::Texture`]; without any the image itself, in disorder, serves. `None` if no visible defect results, as on
/// an image of a single colour.
///
/// # Panics
/// If the image does not have 3 x H x W values.
pub fn make_defect(
    image: &[f32],
    size: (usize, usize),
    request: &DefectRequest,
    textures: Option<&Textures>,
) -> Option<MadeDefect> {
    let good = canvas_of(image, size);
    let is_grey = good.pixels.iter().all(|colour| colour[0] == colour[1] && colour[1] == colour[2]);
    let enough = (size.0 * size.1 / 20_000).max(4);
    (0..ATTEMPTS).find_map(|attempt| {
        let mut random = Random::new(request.seed, 0x6b17, request.stream * ATTEMPTS + attempt);
        let mut changed = match request.kind {
            Kind::CutPaste => cut_paste::rectangle(&good, &mut random, request.jitter),
            Kind::Scar => cut_paste::scar(&good, &mut random, request.jitter),
            Kind::Texture => texture::blended(&good, &mut random, textures),
            Kind::Scribble => scribble::strokes(&good, &mut random),
        };
        let mut marked = vec![false; good.pixels.len()];
        for ((pixel, before), marked) in changed.pixels.iter_mut().zip(&good.pixels).zip(&mut marked) {
            // What a grey camera sees has no tint.
            *pixel = if is_grey { [brightness(*pixel); 3] } else { *pixel };
            *pixel = pixel.map(|value| value.clamp(0.0, 1.0));
            *marked = pixel.iter().zip(before).any(|(after, before)| (after - before).abs() > VISIBLE);
            if !*marked {
                *pixel = *before;
            }
        }
        let area = marked.iter().filter(|&&marked| marked).count();
        let mask = Mask { height: size.0, width: size.1, marked };
        (area >= enough).then(|| MadeDefect { pixels: planes_of(&changed), mask })
    })
}
