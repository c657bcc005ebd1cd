//! Reading and transforming one image, with the frames before it where clips are asked for.

use crate::error::{DataError, ImageFault, Skipped};
use crate::mask::Mask;
use crate::names::text_of;
use crate::reader::{ReadOptions, RgbImage};
use crate::source::Source;
use crate::transform::{PlanarImage, Transform};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What is done with each image.
pub(super) struct Job<'a> {
    source: &'a dyn Source,
    transform: &'a Transform,
    read: ReadOptions,
    with_masks: bool,
    /// Frames a clip; 1 reads single images.
    clip: usize,
    /// Frames that clips share, so that each is decoded about once.
    recent: Recent,
}

/// One image, transformed.
pub(super) struct Loaded {
    pub(super) image: PlanarImage,
    /// The frames before it, oldest first, each as large as the image; empty for single images.
    pub(super) earlier: Vec<f32>,
    pub(super) mask: Option<Mask>,
    /// Height and width before the transform.
    pub(super) original_size: (usize, usize),
}

impl<'a> Job<'a> {
    /// `ahead` is how many images may be in work at once.
    pub(super) fn new(
        source: &'a dyn Source,
        transform: &'a Transform,
        with_masks: bool,
        clip: usize,
        ahead: usize,
    ) -> Self {
        let read = transform.read_options();
        Self { source, transform, read, with_masks, clip, recent: Recent::new(ahead.saturating_add(clip)) }
    }

    pub(super) fn source(&self) -> &'a dyn Source {
        self.source
    }

    /// The image at `index` of the source, transformed, with all that belongs to it.
    pub(super) fn load(&self, index: usize) -> Result<Loaded, DataError> {
        let source = self.source();
        let at_image = |fault| DataError::image(Path::new(&source.facts(index).name), fault);
        if self.clip > 1 {
            return self.load_clip(index);
        }
        let image = source.read(index, &self.read)?;
        let original_size = (image.height, image.width);
        let mask = self.mask(index, original_size)?;
        let image = self.transform.apply(&image).map_err(at_image)?;
        Ok(Loaded { image, earlier: Vec::new(), mask, original_size })
    }

    fn load_clip(&self, index: usize) -> Result<Loaded, DataError> {
        let source = self.source();
        let name = &source.facts(index).name;
        if source.facts(index).moment.is_none() {
            return Err(DataError::Setting(format!(
                "image `{name}` is not a frame of a sequence, but clips of {} frames are needed; give the frames of videos",
                self.clip
            )));
        }
        let frame = self.frame(index)?;
        let mask = self.mask(index, frame.original_size)?;
        let window = source.window(index, self.clip);
        let mut earlier = Vec::with_capacity((self.clip - 1) * frame.image.pixels.len());
        for &before in &window[..self.clip - 1] {
            let other = if before == index { frame.clone() } else { self.frame(before)? };
            let (one, another) = (&frame.image, &other.image);
            if (one.height, one.width, &one.region_of_interest)
                != (another.height, another.width, &another.region_of_interest)
            {
                return Err(DataError::MixedSizes {
                    path: source.facts(before).name.clone().into(),
                    width: another.width,
                    height: another.height,
                    batch_width: one.width,
                    batch_height: one.height,
                });
            }
            if frame.original_size != other.original_size {
                let ((height, width), (its_height, its_width)) = (frame.original_size, other.original_size);
                return Err(DataError::Setting(format!(
                    "frame `{}` is {its_width}x{its_height} pixels and `{name}` of the same clip {width}x{height}; a camera does not \
                     change its size, so put clips of different size into folders of their own",
                    source.facts(before).name
                )));
            }
            earlier.extend_from_slice(&another.pixels);
        }
        Ok(Loaded { image: frame.image.clone(), earlier, mask, original_size: frame.original_size })
    }

    fn frame(&self, index: usize) -> Result<Arc<Frame>, DataError> {
        self.recent.get(index, || {
            let image = self.source().read(index, &self.read)?;
            let original_size = (image.height, image.width);
            let name = &self.source().facts(index).name;
            let image =
                self.transform.apply(&image).map_err(|fault| DataError::image(Path::new(name), fault))?;
            Ok(Frame { image, original_size })
        })
    }

    fn mask(&self, index: usize, size: (usize, usize)) -> Result<Option<Mask>, DataError> {
        if !self.with_masks {
            return Ok(None);
        }
        transformed_mask(self.source(), index, size, self.transform)
    }
}

/// The mask of an image of height x width (`size`), transformed as the image is.
pub(super) fn transformed_mask(
    source: &dyn Source,
    index: usize,
    size: (usize, usize),
    transform: &Transform,
) -> Result<Option<Mask>, DataError> {
    let Some(mask) = source.mask(index)? else { return Ok(None) };
    let name = &source.facts(index).name;
    mask.check_size(size).map_err(|fault| {
        let mask_name = source.mask_name(index);
        DataError::image(Path::new(mask_name.as_ref().unwrap_or(name)), fault)
    })?;
    let transformed =
        transform.apply_mask(&mask).map_err(|fault| DataError::image(Path::new(name), fault))?;
    if mask.marked.contains(&true) && !transformed.marked.contains(&true) {
        let mask_name = source.mask_name(index);
        let reason = format!(
            "nothing of what it marks is left at {}x{}, or it lies outside the crop; use a larger size or no crop",
            transformed.width, transformed.height
        );
        return Err(DataError::image(
            Path::new(mask_name.as_ref().unwrap_or(name)),
            ImageFault::Transform(reason),
        ));
    }
    Ok(Some(transformed))
}

/// The decoded image, if the transform can be applied to it, and its mask, transformed.
pub(super) fn decoded(
    source: &dyn Source,
    index: usize,
    transform: &Transform,
    with_masks: bool,
) -> Result<(Arc<RgbImage>, Option<Mask>), DataError> {
    let image = source.read(index, &transform.read_options())?;
    let size = (image.height, image.width);
    let at_image = |fault| DataError::image(Path::new(&source.facts(index).name), fault);
    transform.output_size(size.0, size.1).map_err(at_image)?;
    let mask = if with_masks { transformed_mask(source, index, size, transform)? } else { None };
    Ok((image, mask))
}

/// The entry of the list of what was left out; the name is not repeated in the reason.
pub(super) fn left_out(source: &dyn Source, index: usize, error: &DataError) -> Skipped {
    let name = &source.facts(index).name;
    match error {
        // A file's own path, which its name need not spell exactly.
        DataError::Image { path, fault } if text_of(path) == *name || path == Path::new(name) => {
            Skipped { path: path.clone(), reason: fault.to_string() }
        }
        other => Skipped { path: PathBuf::from(name), reason: other.to_string() },
    }
}

/// A transformed frame.
struct Frame {
    image: PlanarImage,
    original_size: (usize, usize),
}

/// One frame's place: the first thread makes it, others wait.
type Slot = Arc<Mutex<Option<Arc<Frame>>>>;

/// The frames used last, at most `capacity` of them.
struct Recent {
    capacity: usize,
    slots: Mutex<VecDeque<(usize, Slot)>>,
}

impl Recent {
    fn new(capacity: usize) -> Self {
        Self { capacity, slots: Mutex::default() }
    }

    fn get(
        &self,
        index: usize,
        make: impl FnOnce() -> Result<Frame, DataError>,
    ) -> Result<Arc<Frame>, DataError> {
        let slot = self.slot(index);
        let mut frame = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*frame {
            Some(frame) => Ok(frame.clone()),
            None => Ok(frame.insert(Arc::new(make()?)).clone()),
        }
    }

    fn slot(&self, index: usize) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(known, _)| *known == index) {
            return slot.clone();
        }
        if slots.len() >= self.capacity {
            slots.pop_front();
        }
        let slot = Slot::default();
        slots.push_back((index, slot.clone()));
        slot
    }
}
