//! Why a file does not fill a network, tensor by tensor.

use std::fmt;
use std::path::PathBuf;

use crate::graph::Tensor;

/// How many tensors of a kind a message names before it only counts.
const NAMED: usize = 6;

/// The differences between the tensors a network needs and those a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The file, if the tensors are from one.
    pub path: Option<PathBuf>,
    /// The network.
    pub network: String,
    /// The naming scheme that explained most of the file.
    pub scheme: &'static str,
    /// Names of tensors that the file lacks, with the shape they need.
    pub missing: Vec<(String, Vec<usize>)>,
    /// Tensors with a wrong shape: name, found, needed.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Tensors that the network does not know.
    pub foreign: Vec<String>,
    /// Networks that the file does fit.
    pub fits: Vec<&'static str>,
}

impl Mismatch {
    pub(crate) fn new(network: &str, scheme: &'static str) -> Self {
        Self {
            path: None,
            network: network.to_owned(),
            scheme,
            missing: vec![],
            misshapen: vec![],
            foreign: vec![],
            fits: vec![],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.misshapen.is_empty() && self.foreign.is_empty()
    }

    /// Notes what is wrong with the tensor `name`, if anything.
    pub(crate) fn check(&mut self, name: &str, needed: &[usize], found: Option<&Tensor>) {
        match found {
            None => self.missing.push((name.to_owned(), needed.to_vec())),
            Some(tensor)
                if tensor.shape != needed || tensor.data.len() != needed.iter().product::<usize>() =>
            {
                self.misshapen.push((name.to_owned(), tensor.shape.clone(), needed.to_vec()));
            }
            Some(_) => {}
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = &self.network;
        let mut parts = Vec::new();
        if !self.misshapen.is_empty() {
            let entry = |(name, found, needed): &(String, Vec<usize>, Vec<usize>)| {
                format!("`{name}` has shape {}, but {network} needs {}", shape(found), shape(needed))
            };
            parts.push(list("misshapen", &self.misshapen, entry));
        }
        if !self.missing.is_empty() {
            let entry = |(name, needed): &(String, Vec<usize>)| format!("`{name}` ({})", shape(needed));
            parts.push(list("missing", &self.missing, entry));
        }
        if !self.foreign.is_empty() {
            parts.push(list("not part of the network", &self.foreign, |name| format!("`{name}`")));
        }
        write!(
            f,
            "these weights do not fit {network} (read with {} names): {}",
            self.scheme,
            parts.join("; ")
        )?;
        match self.fits.as_slice() {
            [] => {
                write!(f, "; bring a state dict of {network} as its authors, torchvision or timm publish it")
            }
            fits => write!(f, "; the file looks like {}", fits.join(" or ")),
        }
    }
}

fn shape(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    if sides.is_empty() { "scalar".to_owned() } else { sides.join("x") }
}

fn list<T>(title: &str, items: &[T], entry: impl Fn(&T) -> String) -> String {
    let named: Vec<String> = items.iter().take(NAMED).map(entry).collect();
    let rest = match items.len().saturating_sub(NAMED) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{} {title}: {}{rest}", items.len(), named.join(", "))
}
