//! ONNX Runtime, loaded at run time: the fastest engine on most CPUs, for those who install its library.
//!
//! The library is looked up before it is opened, since asking for a missing one can hang. Images are run one at a time, so
//! a score does not depend on the company it is computed in.

use super::tensors::{Fed, FedTensor, GivenTensor, ModelSource};
use crate::FeatureError;
use crate::graph::{Executor, FeatureMap};
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType, TensorRef};
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Only one environment may exist in a process; sessions share it.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The variable that names the library; every user of `ort` knows it.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// A graph on ONNX Runtime.
pub(crate) struct OrtExecutor {
    /// A session is run by one caller at a time; its operators use all threads.
    session: Mutex<Session>,
    input: String,
    outputs: Vec<String>,
}

impl OrtExecutor {
    /// Loads the library on first use, then an ONNX graph.
    pub(crate) fn new(
        bytes: &[u8],
        input: &str,
        outputs: &[String],
        threads: usize,
    ) -> Result<Self, FeatureError> {
        let session = Session::builder(&environment()?)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Level3)?))
            .and_then(|builder| Ok(builder.with_intra_threads(threads)?))
            .and_then(|mut builder| builder.commit_from_memory(bytes))
            .map_err(|error| fail(&error))?;
        Ok(Self { session: Mutex::new(session), input: input.to_owned(), outputs: outputs.to_vec() })
    }

    /// The feature maps of one image.
    fn run_one(
        &self,
        session: &mut Session,
        image: &[f32],
        [height, width]: [usize; 2],
    ) -> Result<Vec<FeatureMap>, FeatureError> {
        let tensor =
            TensorRef::from_array_view(([1, 3, height, width], image)).map_err(|error| fail(&error))?;
        let found = session.run(ort::inputs![self.input.as_str() => tensor]).map_err(|error| fail(&error))?;
        let map = |name: &String| {
            let value =
                found.get(name).ok_or_else(|| fail(&format!("the graph did not compute `{name}`")))?;
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(|error| fail(&error))?;
            let [1, channels, height, width] = shape[..] else {
                return Err(fail(&format!(
                    "tensor `{name}` of one image has shape {shape}, not 1 x C x H x W"
                )));
            };
            let [channels, height, width] = [channels, height, width].map(|side| side as usize);
            Ok(FeatureMap { channels, height, width, data: data.to_vec() })
        };
        self.outputs.iter().map(map).collect()
    }
}

impl Executor for OrtExecutor {
    fn run(
        &self,
        input: &[f32],
        [count, height, width]: [usize; 3],
    ) -> Result<Vec<FeatureMap>, FeatureError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let image = |index: usize| &input[index * 3 * height * width..][..3 * height * width];
        let each = (0..count).map(|index| self.run_one(&mut session, image(index), [height, width]));
        Ok(FeatureMap::join(each.collect::<Result<_, _>>()?))
    }
}

/// A whole model on ONNX Runtime.
pub(super) struct OrtModel {
    session: Mutex<Session>,
}

impl OrtModel {
    pub(super) fn new(source: ModelSource<'_>, threads: usize) -> Result<Self, FeatureError> {
        let session = Session::builder(&environment()?)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::Level3)?))
            .and_then(|builder| Ok(builder.with_intra_threads(threads)?))
            .and_then(|mut builder| match source {
                ModelSource::Bytes(bytes) => builder.commit_from_memory(&bytes),
                ModelSource::File(path) => builder.commit_from_file(path),
            })
            .map_err(|error| fail(&error))?;
        Ok(Self { session: Mutex::new(session) })
    }

    pub(super) fn run(
        &self,
        inputs: &[FedTensor<'_>],
        outputs: &[&str],
    ) -> Result<Vec<GivenTensor>, FeatureError> {
        fn feed<'a>(input: &FedTensor<'a>) -> Result<(String, SessionInputValue<'a>), FeatureError> {
            let shape = input.shape.clone();
            let value: SessionInputValue<'a> = match input.values {
                Fed::F32(values) => {
                    TensorRef::from_array_view((shape, values)).map_err(|error| fail(&error))?.into()
                }
                Fed::U8(values) => {
                    TensorRef::from_array_view((shape, values)).map_err(|error| fail(&error))?.into()
                }
                Fed::U16(values) => {
                    TensorRef::from_array_view((shape, values)).map_err(|error| fail(&error))?.into()
                }
            };
            Ok((input.name.to_owned(), value))
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let fed = inputs.iter().map(feed).collect::<Result<Vec<_>, _>>()?;
        let found = session.run(fed).map_err(|error| fail(&error))?;
        let wanted = outputs.iter().map(|name| {
            found.get(*name).ok_or_else(|| fail(&format!("the graph has no output `{name}`"))).and_then(given)
        });
        wanted.collect()
    }
}

fn given(value: &DynValue) -> Result<GivenTensor, FeatureError> {
    fn doubles<T: ort::value::PrimitiveTensorElementType>(
        value: &DynValue,
        double: impl Fn(&T) -> f64,
    ) -> Result<GivenTensor, FeatureError> {
        let (shape, values) = value.try_extract_tensor::<T>().map_err(|error| fail(&error))?;
        let shape = shape.iter().map(|&side| side as usize).collect();
        Ok(GivenTensor { shape, values: values.iter().map(double).collect() })
    }
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => doubles(value, |&value: &f32| f64::from(value)),
        Some(TensorElementType::Float64) => doubles(value, |&value: &f64| value),
        Some(TensorElementType::Bool) => doubles(value, |&value: &bool| f64::from(u8::from(value))),
        _ => Err(fail(&"an output holds neither floats nor truth values")),
    }
}

/// Whether the library is there.
pub(super) fn is_there() -> bool {
    environment().is_ok()
}

/// The version of the library, once it is loaded: what its file's name or its build says.
pub(super) fn version() -> String {
    let file = find_library().and_then(|path| path.canonicalize().map_err(|error| fail(&error)));
    let name = file.ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let of_name = name.and_then(|name| {
        let from = name.find(|letter: char| letter.is_ascii_digit())?;
        let version = name[from..].trim_end_matches(|letter: char| !letter.is_ascii_digit());
        version.contains('.').then(|| version.to_owned())
    });
    let about = ort::info();
    let of_build = || {
        let branch = about.split("git-branch=").nth(1)?.split([',', ' ']).next()?;
        branch.starts_with("rel-").then(|| branch.trim_start_matches("rel-").to_owned())
    };
    of_name.or_else(of_build).unwrap_or_else(|| about.to_owned())
}

fn fail(reason: &dyn std::fmt::Display) -> FeatureError {
    FeatureError::Engine { engine: "ort", reason: reason.to_string() }
}

/// The process's environment; the first call loads the library.
fn environment() -> Result<Environment, FeatureError> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = slot.as_ref() {
        return Ok(environment.clone());
    }
    let library = find_library()?;
    let environment = ort::init_from(&library)
        .map_err(|error| fail(&error))?
        .with_name("blemish")
        .with_telemetry(false)
        .build()
        .map_err(|error| fail(&error))?;
    *slot = Some(environment.clone());
    Ok(environment)
}

/// The library that `ORT_DYLIB_PATH` names, or the first beside the program, on the loader's path or in the system's places.
fn find_library() -> Result<PathBuf, FeatureError> {
    if let Some(path) = env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(fail(&format!("{LIBRARY_VARIABLE} names {}, which is not a file", path.display())))
        };
    }
    places().iter().find_map(|folder| library_in(folder)).ok_or_else(|| {
        fail(&format!(
            "no ONNX Runtime library was found; install it (the `onnxruntime` package of PyPI holds one under \
             onnxruntime/capi) and set {LIBRARY_VARIABLE} to the library file, or use the engine rten"
        ))
    })
}

/// Folders to look in, nearest first.
fn places() -> Vec<PathBuf> {
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_path_buf));
    let variable = if cfg!(windows) {
        "PATH"
    } else if cfg!(target_os = "macos") {
        "DYLD_LIBRARY_PATH"
    } else {
        "LD_LIBRARY_PATH"
    };
    let listed =
        env::var_os(variable).map(|list| env::split_paths(&list).collect::<Vec<_>>()).unwrap_or_default();
    let system = [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/homebrew/lib",
    ];
    beside.into_iter().chain(listed).chain(system.map(PathBuf::from)).collect()
}

/// The library in a folder, whose name may carry a version, such as `libonnxruntime.so.1.22.0`; the highest name wins.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let stem = format!("{}onnxruntime.", env::consts::DLL_PREFIX);
    let is_library = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(&stem) && name.contains(env::consts::DLL_SUFFIX) && path.is_file()
    };
    std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(is_library).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_versioned_library_is_found_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(library_in(folder.path()), None);
        let name = |rest: &str| format!("{}onnxruntime{rest}", env::consts::DLL_PREFIX);
        std::fs::write(
            folder.path().join(name(&format!("_providers_shared{}", env::consts::DLL_SUFFIX))),
            "",
        )
        .unwrap();
        assert_eq!(library_in(folder.path()), None);
        let library = folder.path().join(name(env::consts::DLL_SUFFIX));
        std::fs::write(&library, "").unwrap();
        assert_eq!(library_in(folder.path()), Some(library));
    }
}
