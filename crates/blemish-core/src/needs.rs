//! What a method needs, given its settings.

/// What a method with certain settings needs beside good images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// What its scoring reads of an image.
    pub reads: Reads,
    /// The frozen network that it looks through.
    pub backbone: Backing,
    /// T, the frames of a clip: 1 for single images, more for methods that look at the frames before an image as well.
    pub clip: usize,
    /// How long it learns.
    pub training: Training,
    /// The fewest good images that it learns from; 0 for methods that can do without any.
    pub good_images: usize,
    /// Whether its training lays textures over the images: those of [`TrainingOptions::textures`](crate::training::TrainingOptions).
    pub textures: bool,
    /// Whether it asks more of the backbone than its maps: weights to train further, or gradients.
    pub opens_backbone: bool,
}

/// What is read of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Its pixels.
    Images,
    /// The backbone's feature maps.
    Maps,
    /// Both.
    Both,
}

impl Reads {
    /// Whether pixels are among it.
    pub fn images(self) -> bool {
        self != Self::Maps
    }

    /// Whether feature maps are among it.
    pub fn maps(self) -> bool {
        self != Self::Images
    }
}

/// The frozen network that a method looks through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// There is no such network.
    None,
    /// One with feature maps at these strides by default, shallow to deep.
    Maps(&'static [usize]),
    /// One that embeds images and texts alike.
    ImageText,
}

/// How long a method learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Training {
    /// A pass or a few over the images: it is fitted again for every fold of a calibration.
    Short,
    /// Long, in steps that checkpoints can interrupt: it is fitted once, and images are held out to calibrate it.
    Long,
}

impl Needs {
    /// Of a method on feature maps of a backbone that learns in a pass or a few.
    pub const fn of_maps(strides: &'static [usize]) -> Self {
        Self {
            reads: Reads::Maps,
            backbone: Backing::Maps(strides),
            clip: 1,
            training: Training::Short,
            good_images: 1,
            textures: false,
            opens_backbone: false,
        }
    }

    /// Of a method on pixels, without a backbone, that learns in a pass or a few.
    pub const fn of_images() -> Self {
        Self { reads: Reads::Images, backbone: Backing::None, ..Self::of_maps(&[]) }
    }

    /// Of a method that looks at pixels through a network of images and texts, and can do without good images.
    pub const fn of_image_text() -> Self {
        Self { backbone: Backing::ImageText, good_images: 0, ..Self::of_images() }
    }

    /// The same with another part of the image read.
    pub const fn reading(self, reads: Reads) -> Self {
        Self { reads, ..self }
    }

    /// The same with a long training.
    pub const fn training_long(self) -> Self {
        Self { training: Training::Long, ..self }
    }

    /// The same with textures laid over the images of the training.
    pub const fn laying_textures(self) -> Self {
        Self { textures: true, ..self }
    }

    /// The same with weights or gradients of the backbone asked for, beside its maps.
    pub const fn opening_backbone(self) -> Self {
        Self { opens_backbone: true, ..self }
    }

    /// Default strides of the backbone's maps; empty without such a backbone.
    pub fn strides(&self) -> &'static [usize] {
        match self.backbone {
            Backing::Maps(strides) => strides,
            Backing::None | Backing::ImageText => &[],
        }
    }

    /// Whether there is a backbone with feature maps.
    pub fn has_maps(&self) -> bool {
        matches!(self.backbone, Backing::Maps(_))
    }

    /// Whether there is a backbone at all.
    pub fn has_backbone(&self) -> bool {
        self.backbone != Backing::None
    }

    /// Whether the training is long.
    pub fn trains_long(&self) -> bool {
        self.training == Training::Long
    }
}
