//! Which engine, on which device, with how many threads.

use crate::FeatureError;
use std::fmt;
use std::str::FromStr;

/// How to run a backbone; none of it changes the features beyond rounding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// The engine.
    pub engine: Engine,
    /// The device; engines for the CPU leave it to what is trained and searched.
    pub device: Device,
    /// CPU threads; `None` is all cores.
    pub threads: Option<usize>,
}

impl EngineOptions {
    /// Number of CPU threads to use.
    pub fn thread_count(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

/// What runs a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// Our own on the CPU (rten for a user's ONNX file), Burn on a GPU.
    #[default]
    Auto,
    /// Our own: the networks that are built in, CPU.
    Native,
    /// rten: pure Rust, CPU.
    Rten,
    /// ONNX Runtime, loaded at run time, CPU.
    Ort,
    /// Burn: CPU and GPUs.
    Burn,
}

/// Where networks run and banks are searched; the number picks one of several GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The CPU; GPUs are used when asked for.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(usize),
    /// A GPU through Vulkan.
    Vulkan(usize),
    /// A GPU through the driver that WebGPU finds.
    Wgpu(usize),
    /// An Apple GPU.
    Metal(usize),
}

impl Device {
    /// Whether it is the CPU.
    pub fn is_cpu(self) -> bool {
        matches!(self, Self::Auto | Self::Cpu)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Rten => "rten",
            Self::Ort => "ort",
            Self::Burn => "burn",
        })
    }
}

impl FromStr for Engine {
    type Err = FeatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Auto, Self::Native, Self::Rten, Self::Ort, Self::Burn]
            .into_iter()
            .find(|engine| engine.to_string() == text)
            .ok_or_else(|| FeatureError::UnknownEngine {
                name: text.to_owned(),
                known: "auto, native, rten, ort, burn",
            })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Wgpu(index) => write!(f, "wgpu:{index}"),
            Self::Metal(index) => write!(f, "metal:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = FeatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let index = index.parse::<usize>().ok();
        let has_number = text.contains(':');
        match (name, index) {
            ("auto", Some(_)) if !has_number => Ok(Self::Auto),
            ("cpu", Some(_)) if !has_number => Ok(Self::Cpu),
            ("cuda", Some(index)) => Ok(Self::Cuda(index)),
            ("vulkan", Some(index)) => Ok(Self::Vulkan(index)),
            ("wgpu", Some(index)) => Ok(Self::Wgpu(index)),
            ("metal", Some(index)) => Ok(Self::Metal(index)),
            _ => Err(FeatureError::UnknownEngine {
                name: text.to_owned(),
                known: "auto, cpu, cuda[:N], vulkan[:N], wgpu[:N], metal[:N]",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for text in ["auto", "cpu", "cuda:1", "vulkan:0", "wgpu:2", "metal:0"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<Device>().unwrap(), Device::Cuda(0));
        for text in ["gpu", "cuda:x", "cpu:1", ""] {
            assert!(text.parse::<Device>().unwrap_err().to_string().contains("cuda[:N]"));
        }
        assert_eq!("rten".parse::<Engine>().unwrap(), Engine::Rten);
        assert!("onnx".parse::<Engine>().unwrap_err().to_string().contains("ort"));
    }
}
