//! Images that are in memory already: from a camera, a request, or another program's arrays.

use super::{Facts, Source};
use crate::error::{DataError, ImageFault};
use crate::layout::{Label, defect_of};
use crate::mask::Mask;
use crate::reader::{Pixels, ReadOptions, RgbImage, decode_image, image_size};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The category of images that name none.
const CATEGORY: &str = "images";

/// An image as it lies in memory.
#[derive(Clone, Debug)]
enum Content {
    Pixels(Arc<RgbImage>),
    /// A whole image file.
    Encoded(Arc<[u8]>),
}

/// One image in memory and what is known of it. Without more it is of unknown label, nameless and alone.
#[derive(Clone, Debug)]
pub struct MemoryImage {
    content: Content,
    name: Option<String>,
    label: Label,
    defect: Option<String>,
    category: Option<String>,
    group: Option<String>,
    mask: Option<Mask>,
}

impl MemoryImage {
    /// An image, owned or shared; its pixels are not copied. Floats are measured values as in a file, before any value range.
    pub fn new(image: impl Into<Arc<RgbImage>>) -> Self {
        Self::of(Content::Pixels(image.into()))
    }

    /// The bytes of an image file, decoded each time the image is read, as the file would be.
    pub fn encoded(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::of(Content::Encoded(bytes.into()))
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            name: None,
            label: Label::Unknown,
            defect: None,
            category: None,
            group: None,
            mask: None,
        }
    }

    /// Gives it a name; without one it is numbered.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Marks it as free of defects.
    pub fn good(self) -> Self {
        Self { label: Label::Good, defect: None, ..self }
    }

    /// Marks it as defective, with the kind of defect.
    pub fn defective(self, defect: impl Into<String>) -> Self {
        Self { label: Label::Defective, defect: Some(defect.into()), ..self }
    }

    /// Puts it into a category; without one it is of the category "images".
    pub fn in_category(self, category: impl Into<String>) -> Self {
        Self { category: Some(category.into()), ..self }
    }

    /// Says what it shares with others (the part, the shot, the video); see [`Facts::group`].
    pub fn in_group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// Adds the mask of its defects, of the image's own size.
    pub fn with_mask(self, mask: Mask) -> Self {
        Self { mask: Some(mask), ..self }
    }
}

/// Images in memory.
#[derive(Clone, Debug)]
pub struct Memory {
    images: Vec<Content>,
    masks: Vec<Option<Mask>>,
    facts: Vec<Facts>,
    categories: Vec<String>,
}

impl Memory {
    /// The images in the order given; an image without a name is called "image N" by its place, from 0. Categories are sorted.
    ///
    /// # Errors
    /// [`DataError::Setting`] if two images have one name; [`DataError::Image`] if an image's pixels, or its mask's, do not fit its size.
    pub fn new(images: impl IntoIterator<Item = MemoryImage>) -> Result<Self, DataError> {
        let given: Vec<MemoryImage> = images.into_iter().collect();
        let category = |one: &MemoryImage| one.category.clone().unwrap_or_else(|| CATEGORY.to_owned());
        let mut categories: Vec<String> = given.iter().map(category).collect();
        categories.sort();
        categories.dedup();
        if categories.is_empty() {
            categories.push(CATEGORY.to_owned());
        }
        let mut memory = Self { images: Vec::new(), masks: Vec::new(), facts: Vec::new(), categories };
        let mut names = HashSet::new();
        for (number, one) in given.into_iter().enumerate() {
            let own = category(&one);
            let name = one.name.unwrap_or_else(|| format!("image {number}"));
            if !names.insert(name.clone()) {
                return Err(DataError::Setting(format!(
                    "two images are called `{name}`; give each its own name, or none to have them numbered"
                )));
            }
            let at_image = |fault| DataError::image(Path::new(&name), fault);
            if let Content::Pixels(image) = &one.content {
                image.check_pixels().map_err(at_image)?;
            }
            if let Some(mask) = &one.mask {
                check_mask(mask, &one.content).map_err(at_image)?;
            }
            memory.facts.push(Facts {
                label: one.label,
                defect: one.defect.unwrap_or_else(|| defect_of(one.label).to_owned()),
                category: memory.categories.binary_search(&own).unwrap_or_default(),
                group: one.group,
                moment: None,
                name,
            });
            memory.images.push(one.content);
            memory.masks.push(one.mask);
        }
        Ok(memory)
    }

    /// One image of unknown label, to be scored.
    ///
    /// # Errors
    /// As [`Memory::new`].
    pub fn single(image: impl Into<Arc<RgbImage>>) -> Result<Self, DataError> {
        Self::new([MemoryImage::new(image)])
    }

    fn at(&self, index: usize) -> impl Fn(ImageFault) -> DataError {
        move |fault| DataError::image(Path::new(&self.facts[index].name), fault)
    }
}

/// The size of an encoded image is not known yet; it is compared when the image is read.
fn check_mask(mask: &Mask, content: &Content) -> Result<(), ImageFault> {
    if mask.marked.len() != mask.height * mask.width {
        return Err(ImageFault::Pixels(format!(
            "its mask holds {} values, not {}x{}; give one value a pixel",
            mask.marked.len(),
            mask.width,
            mask.height
        )));
    }
    match content {
        Content::Pixels(image) => mask.check_size((image.height, image.width)),
        Content::Encoded(_) => Ok(()),
    }
}

impl Source for Memory {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn facts(&self, index: usize) -> &Facts {
        &self.facts[index]
    }

    fn categories(&self) -> &[String] {
        &self.categories
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        let size = match &self.images[index] {
            Content::Pixels(image) => {
                options.check_side(image.height, image.width).map(|()| (image.height, image.width))
            }
            Content::Encoded(bytes) => image_size(bytes, options),
        };
        size.map_err(self.at(index))
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        let image = match &self.images[index] {
            Content::Pixels(image) => image.as_read(options).map(|read| match read {
                Cow::Borrowed(_) => image.clone(),
                Cow::Owned(scaled) => Arc::new(scaled),
            }),
            Content::Encoded(bytes) => decode_image(bytes, options).map(Arc::new),
        };
        image.map_err(self.at(index))
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        Ok(self.masks[index].clone())
    }

    fn mask_name(&self, index: usize) -> Option<String> {
        self.masks[index].as_ref().map(|_| format!("mask of {}", self.facts[index].name))
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        Ok(match &self.images[index] {
            Content::Pixels(image) => pixel_digest(image),
            Content::Encoded(bytes) => Sha256::digest(bytes).into(),
        })
    }
}

/// SHA-256 of the bits a sample (one byte), height and width (8 bytes each), then the samples; all little-endian.
fn pixel_digest(image: &RgbImage) -> [u8; 32] {
    let mut digest = Sha256::new();
    let depth = match &image.pixels {
        Pixels::U8(_) => 8_u8,
        Pixels::U16(_) => 16,
        Pixels::F32(_) => 32,
    };
    digest.update([depth]);
    digest.update((image.height as u64).to_le_bytes());
    digest.update((image.width as u64).to_le_bytes());
    match &image.pixels {
        Pixels::U8(values) => digest.update(values),
        Pixels::U16(values) => in_pieces(&mut digest, values, |value| value.to_le_bytes()),
        Pixels::F32(values) => in_pieces(&mut digest, values, |value| value.to_le_bytes()),
    }
    digest.finalize().into()
}

fn in_pieces<T: Copy, const N: usize>(digest: &mut Sha256, values: &[T], bytes: impl Fn(T) -> [u8; N]) {
    for piece in values.chunks(1 << 14) {
        let bytes: Vec<u8> = piece.iter().flat_map(|&value| bytes(value)).collect();
        digest.update(&bytes);
    }
}
