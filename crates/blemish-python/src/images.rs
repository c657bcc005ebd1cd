//! Images from Python: files, encoded bytes and arrays in one list, in the order given.

use crate::errors;
use crate::pixels::image_of;
use blemish::data::layout::in_sequences;
use blemish::data::{
    DataError, Facts, Files, ImageFault, Label, Mask, Memory, MemoryImage, OpenOptions, ReadOptions,
    RgbImage, Sample, Source, find_images, open_dataset,
};
use blemish::entry::MethodEntry;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images that any thread may read.
pub type Shared = Arc<dyn Source + Send + Sync>;

/// The category of images of a list.
const CATEGORY: &str = "images";

enum Item {
    File(Sample),
    Memory(MemoryImage),
    /// Something that is no image, told when it is read.
    Broken(ImageFault),
}

/// One image of a list and what is known of it.
struct Given {
    item: Item,
    name: String,
    group: Option<String>,
    label: Label,
}

/// A list of images, filled one by one.
#[pyclass(module = "blemish._native")]
#[derive(Default)]
pub struct Images {
    given: Vec<Given>,
    /// A data set that was opened as a whole instead.
    opened: Option<Files>,
    skipped: Vec<(String, String)>,
}

#[pymethods]
impl Images {
    /// An empty list.
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// The training images of a data set: a folder of good images, a known layout, a list.
    #[staticmethod]
    #[pyo3(signature = (path, method, skip_bad=false))]
    fn training(py: Python<'_>, path: PathBuf, method: &str, skip_bad: bool) -> PyResult<Self> {
        let frames = is_of_clips(method).map_err(|error| errors::raised(py, &error))?;
        Self::open(py, &path, frames, skip_bad, Files::training)
    }

    /// The labelled images of a data set.
    #[staticmethod]
    #[pyo3(signature = (path, frames=false, skip_bad=false))]
    fn labelled(py: Python<'_>, path: PathBuf, frames: bool, skip_bad: bool) -> PyResult<Self> {
        Self::open(py, &path, frames, skip_bad, Files::test)
    }

    /// The images that files, folders and patterns name, as frames of sequences where `frames` says so.
    #[staticmethod]
    #[pyo3(signature = (paths, frames=false, skip_bad=false))]
    fn found(py: Python<'_>, paths: Vec<PathBuf>, frames: bool, skip_bad: bool) -> PyResult<Self> {
        let found = py.detach(|| find_images(&paths, skip_bad)).map_err(|error| refused(py, error))?;
        let samples: Vec<Sample> = found.images.iter().map(|path| Sample::unlabelled(path)).collect();
        let files = if frames { Files::frames(in_sequences(samples), "") } else { Files::new(samples, "") };
        let skipped = found
            .skipped
            .into_iter()
            .map(|one| (one.path.to_string_lossy().into_owned(), one.reason))
            .collect();
        Ok(Self { opened: Some(files), skipped, ..Self::default() })
    }

    /// Adds an image file.
    #[pyo3(signature = (path, group=None, defective=None))]
    fn add_file(&mut self, path: PathBuf, group: Option<String>, defective: Option<bool>) {
        let name = path.to_string_lossy().into_owned();
        self.add(Item::File(Sample::unlabelled(&path)), Some(name), group, defective);
    }

    /// Adds the bytes of an image file.
    #[pyo3(signature = (data, group=None, defective=None))]
    fn add_bytes(&mut self, data: &[u8], group: Option<String>, defective: Option<bool>) {
        self.add(Item::Memory(MemoryImage::encoded(data)), None, group, defective);
    }

    /// Adds the pixels of an array, copied before this returns. On `skip_bad` an array that is no image is told when the images are used.
    #[pyo3(signature = (array, bgr=false, group=None, defective=None, skip_bad=false))]
    fn add_array(
        &mut self,
        array: &Bound<'_, PyUntypedArray>,
        bgr: bool,
        group: Option<String>,
        defective: Option<bool>,
        skip_bad: bool,
    ) -> PyResult<()> {
        let item = match image_of(array, bgr) {
            Ok(image) => Item::Memory(MemoryImage::new(image)),
            Err(fault) if skip_bad => Item::Broken(fault),
            Err(fault) => return Err(errors::faulty(array.py(), &self.next_name(), fault)),
        };
        self.add(item, None, group, defective);
        Ok(())
    }

    /// Adds something that is no image; why is told when the images are used.
    #[pyo3(signature = (reason, group=None, defective=None))]
    fn add_broken(&mut self, reason: String, group: Option<String>, defective: Option<bool>) {
        self.add(Item::Broken(ImageFault::Pixels(reason)), None, group, defective);
    }

    fn __len__(&self) -> usize {
        self.opened.as_ref().map_or(self.given.len(), Source::len)
    }

    /// What was left out when the images were looked for: name and reason.
    #[getter]
    fn skipped(&self) -> Vec<(String, String)> {
        self.skipped.clone()
    }
}

impl Images {
    fn open(
        py: Python<'_>,
        path: &Path,
        frames: bool,
        skip_bad: bool,
        of: fn(&blemish::data::Dataset) -> Files,
    ) -> PyResult<Self> {
        let options = OpenOptions { skip_bad, frames, ..OpenOptions::default() };
        let dataset = py.detach(|| open_dataset(path, &options)).map_err(|error| refused(py, error))?;
        let skipped = dataset
            .skipped
            .iter()
            .map(|one| (one.path.to_string_lossy().into_owned(), one.reason.clone()))
            .collect();
        Ok(Self { opened: Some(of(&dataset)), skipped, ..Self::default() })
    }

    fn next_name(&self) -> String {
        format!("image {}", self.given.len())
    }

    fn add(&mut self, item: Item, name: Option<String>, group: Option<String>, defective: Option<bool>) {
        let name = name.unwrap_or_else(|| self.next_name());
        let label = match defective {
            None => Label::Unknown,
            Some(false) => Label::Good,
            Some(true) => Label::Defective,
        };
        self.given.push(Given { item, name, group, label });
    }

    /// The images for a thread that works with them. The list stays as it is.
    ///
    /// # Errors
    /// [`DataError::Image`] for pixels that do not fit their size.
    pub fn source(&self) -> Result<Shared, DataError> {
        if let Some(files) = &self.opened {
            return Ok(Arc::new(files.clone()));
        }
        let (mut samples, mut memory, mut places, mut facts) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Given { item, name, group, label } in &self.given {
            places.push(match item {
                Item::File(sample) => {
                    samples.push(sample.clone());
                    Place::File(samples.len() - 1)
                }
                Item::Memory(image) => {
                    memory.push(image.clone());
                    Place::Memory(memory.len() - 1)
                }
                Item::Broken(fault) => Place::Broken(fault.clone()),
            });
            facts.push(Facts { group: group.clone(), ..Facts::new(name.clone(), *label) });
        }
        let (files, memory) = (Files::new(samples, CATEGORY), Memory::new(memory)?);
        Ok(Arc::new(Mixed { files, memory, places, facts, categories: vec![CATEGORY.to_owned()] }))
    }
}

/// The exception for images that cannot be found. A missing folder is a wrong input, as a missing image is.
fn refused(py: Python<'_>, error: DataError) -> PyErr {
    match error.code() {
        "io" => errors::coded(py, "dataset", &format!("{error}; check that it exists and may be read")),
        _ => errors::raised(py, &error.into()),
    }
}

/// Whether a method looks at clips of several frames.
fn is_of_clips(method: &str) -> Result<bool, blemish::Error> {
    let entry: &dyn MethodEntry = blemish::registry::method(method)?;
    Ok(entry.needs(&Default::default())?.clip > 1)
}

/// Where an image of a mixed list lies.
enum Place {
    File(usize),
    Memory(usize),
    Broken(ImageFault),
}

/// Files and images in memory as one source.
struct Mixed {
    files: Files,
    memory: Memory,
    places: Vec<Place>,
    facts: Vec<Facts>,
    categories: Vec<String>,
}

impl Mixed {
    /// A fault under the name that the image has in the whole list.
    fn renamed(&self, index: usize, error: DataError) -> DataError {
        match error {
            DataError::Image { fault, .. } => {
                DataError::Image { path: self.facts[index].name.clone().into(), fault }
            }
            other => other,
        }
    }

    fn look<T>(
        &self,
        index: usize,
        in_files: impl FnOnce(&Files, usize) -> Result<T, DataError>,
        in_memory: impl FnOnce(&Memory, usize) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        match &self.places[index] {
            Place::File(at) => in_files(&self.files, *at),
            Place::Memory(at) => in_memory(&self.memory, *at).map_err(|error| self.renamed(index, error)),
            Place::Broken(fault) => {
                Err(DataError::Image { path: self.facts[index].name.clone().into(), fault: fault.clone() })
            }
        }
    }
}

impl Source for Mixed {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn facts(&self, index: usize) -> &Facts {
        &self.facts[index]
    }

    fn categories(&self) -> &[String] {
        &self.categories
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        self.look(index, |files, at| files.size(at, options), |memory, at| memory.size(at, options))
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        self.look(index, |files, at| files.read(at, options), |memory, at| memory.read(at, options))
    }

    fn mask(&self, _: usize) -> Result<Option<Mask>, DataError> {
        Ok(None)
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        self.look(index, Files::digest, Memory::digest)
    }
}
