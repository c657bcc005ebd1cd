//! What good images look like: their patches and windows as unit vectors, and how far others are from the nearest of them.

use super::config::NAME;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_foundation::clip::ImageEmbedding;
use blemish_kernels::transformer::{Activation, Linear};

/// Features of one kind (patches, or the windows of a scale) of several good images.
struct Kind {
    /// Features an image.
    count: usize,
    width: usize,
    /// (images x count) x width, of length 1 each.
    rows: Vec<f32>,
    /// The same, packed for products.
    packed: Linear,
}

impl Kind {
    fn new(count: usize, width: usize, rows: Vec<f32>) -> Self {
        let packed = Linear::new(rows.len() / width, width, &rows, None);
        Self { count, width, rows, packed }
    }

    /// (1 - the greatest cosine to a feature of an image that is not `left_out`) / 2 for every feature of `rows`, which are of length 1.
    fn associations(&self, rows: &[f32], left_out: &[bool]) -> Vec<f32> {
        let cosines = self.packed.forward(rows, Activation::None, true);
        let nearest = |cosines: &[f32]| {
            let of_images = cosines.chunks_exact(self.count).zip(left_out).filter(|(_, is_out)| !**is_out);
            of_images.flat_map(|(cosines, _)| cosines).copied().fold(f32::NEG_INFINITY, f32::max)
        };
        // Of a feature itself the cosine may be a rounding above 1.
        cosines
            .chunks_exact(self.rows.len() / self.width)
            .map(|row| ((1.0 - nearest(row)) / 2.0).max(0.0))
            .collect()
    }
}

/// The features of good images: patches first, then the windows of each scale.
pub(super) struct Memory {
    images: usize,
    kinds: Vec<Kind>,
}

/// The patches and windows of an image as unit vectors, in the order of a memory's kinds.
pub(super) fn unit(embedding: &ImageEmbedding, width: usize) -> Vec<Vec<f32>> {
    let length = embedding.image.len();
    let patches = std::iter::once((&embedding.patches, width));
    let windows = embedding.windows.iter().map(|rows| (rows, length));
    patches.chain(windows).map(|(rows, width)| normalized(rows.clone(), width)).collect()
}

/// Rows of length 1.
pub(super) fn normalized(mut rows: Vec<f32>, width: usize) -> Vec<f32> {
    for row in rows.chunks_exact_mut(width) {
        let squared: f32 = row.iter().map(|value| value * value).sum();
        // As a vector of zeros, which has no direction, stays one.
        let length = squared.sqrt().max(1e-12);
        row.iter_mut().for_each(|value| *value /= length);
    }
    rows
}

/// Name of the tensor of a kind.
fn tensor(kind: usize) -> String {
    if kind == 0 { "memory.patches".into() } else { format!("memory.windows.{}", kind - 1) }
}

impl Memory {
    /// Of images as [`unit`] gives them; `widths` are the values of a feature of each kind.
    pub(super) fn new(images: Vec<Vec<Vec<f32>>>, widths: &[usize]) -> Self {
        let count = images.len();
        let kind = |(kind, &width): (usize, &usize)| {
            let rows: Vec<f32> = images.iter().flat_map(|image| &image[kind]).copied().collect();
            Kind::new(rows.len() / width / count.max(1), width, rows)
        };
        Self { images: count, kinds: widths.iter().enumerate().filter(|_| count > 0).map(kind).collect() }
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.images
    }

    /// The images whose features are these, to the bit.
    pub(super) fn same_as(&self, image: &[Vec<f32>]) -> Vec<bool> {
        let is_same = |number: usize| {
            self.kinds.iter().zip(image).all(|(kind, rows)| {
                let length = kind.count * kind.width;
                kind.rows[number * length..][..length] == rows[..]
            })
        };
        (0..self.images).map(is_same).collect()
    }

    /// For each kind the association scores of an image's features, images that are `left_out` not counted.
    pub(super) fn associations(&self, image: &[Vec<f32>], left_out: &[bool]) -> Vec<Vec<f32>> {
        self.kinds.iter().zip(image).map(|(kind, rows)| kind.associations(rows, left_out)).collect()
    }

    pub(super) fn store(&self, state: &mut State) {
        state.set_count("shots", self.images as u64);
        for (number, kind) in self.kinds.iter().enumerate() {
            state.set_f32(&tensor(number), &[self.images, kind.count, kind.width], kind.rows.clone());
        }
    }

    /// `shapes` are count and width of each kind.
    ///
    /// # Errors
    /// [`Error::State`].
    pub(super) fn restore(state: &State, shapes: &[[usize; 2]]) -> Result<Self, Error> {
        let images = usize::try_from(state.count("shots")?).unwrap_or(usize::MAX);
        let mut kinds = Vec::new();
        for (number, &[count, width]) in shapes.iter().enumerate().filter(|_| images > 0) {
            let (shape, values) = state.f32(&tensor(number), 3)?;
            if shape != [images, count, width] {
                let reason = format!("has shape {shape:?}, but {NAME} needs {:?}", [images, count, width]);
                return Err(StateError { name: tensor(number), reason }.into());
            }
            kinds.push(Kind::new(count, width, values.to_vec()));
        }
        Ok(Self { images, kinds })
    }
}
