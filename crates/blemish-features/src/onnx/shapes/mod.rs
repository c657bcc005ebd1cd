//! What a user's graph will take, worked out before an engine sees it.
//!
//! Engines allocate whatever a step asks for, and a few bytes can ask for terabytes (`ConstantOfShape`, `Tile`, `Range`, ...). So the
//! sizes of all tensors are inferred first, for the very size of image that is to be run: shapes are followed through every step, and
//! small tensors of numbers (shapes, axes, scales) by value. A graph whose sizes cannot be foretold, because an operator is unknown or
//! because the image's pixels would decide them, is refused, and so is one that would take more than the limits at any time.

mod compute;
mod layout;
mod make;
mod node;
mod numbers;
mod operators;
mod order;
mod tensor;
#[cfg(test)]
mod tests;

use super::proto::{GraphMessage, Model, NodeMessage};
use node::{Fault, Made, Step};
use std::collections::HashMap;
use tensor::Known;

/// Axes of a tensor; real ones have six at most.
const MOST_AXES: usize = 32;
/// Numbers that are followed in all tensors of a graph together.
const MOST_FOLLOWED: usize = 1 << 22;

/// A graph whose demands can be asked for any size of image.
pub(crate) struct Demands {
    graph: GraphMessage,
    constants: HashMap<String, Known>,
    /// Name of the image input.
    input: String,
    outputs: Vec<String>,
    version: i64,
    file_bytes: u64,
    /// Whether the file decides the size of images, not the user.
    has_fixed_size: bool,
}

/// What a run takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Bytes of all tensors alive at the same time, at most; weights not counted.
    pub(crate) bytes: u64,
    /// Multiply-adds and the like.
    pub(crate) work: u64,
}

/// Tensors that are in reach: a graph's own, and those of the graphs around it.
struct Scope<'a> {
    known: HashMap<String, Known>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn find(&self, name: &str) -> Option<&Known> {
        self.known.get(name).or_else(|| self.outer?.find(name))
    }
}

impl Demands {
    /// Takes a graph whose frame was checked and that is to be run for `outputs`.
    ///
    /// # Errors
    /// In words: constants that do not hold their numbers, names that are given twice, operators of the file's own.
    pub(crate) fn new(
        model: Model,
        input: &str,
        outputs: &[String],
        file_bytes: usize,
        has_fixed_size: bool,
    ) -> Result<Self, String> {
        let version = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
        let version = version.map_or(1, |set| set.version);
        if model.functions.iter().any(|function| matches!(function.domain.as_str(), "" | "ai.onnx")) {
            return Err("it redefines standard operators; export it without functions".into());
        }
        let mut graph = model.graph.unwrap_or_default();
        let mut constants = constants(&graph)?;
        let (input, outputs) = (input.to_owned(), outputs.to_vec());
        check_names(&graph, constants.keys().chain([&input]))?;
        // Numbers are looked at once and not kept.
        graph.initializer.clear();
        for node in graph.node.iter_mut().filter(|node| node.op_type == "Constant") {
            let step = Step { node, inputs: Vec::new(), version };
            // One that cannot be read may not be needed.
            let Ok(known) = make::constant_step(&step) else { continue };
            let name = node.output.first().cloned().unwrap_or_default();
            constants.insert(name, Known { is_constant: true, ..known });
            node.attribute.clear();
        }
        Ok(Self { graph, constants, input, outputs, version, file_bytes: file_bytes as u64, has_fixed_size })
    }

    /// Which steps the outputs need.
    pub(crate) fn needed(&self) -> Vec<bool> {
        order::needed(&self.graph, &self.outputs)
    }

    /// Leaves the other steps out.
    pub(crate) fn keep(&mut self, needed: &[bool]) {
        let mut needed = needed.iter();
        self.graph.node.retain(|_| *needed.next().unwrap_or(&true));
    }

    /// Checks that a run on one image of this height and width stays within the limits.
    ///
    /// Memory: 256 MiB and 512 times the bytes of the image (as floats), at most 4 GiB or, where the user chooses the size, 64 times the
    /// image if that is more; and 8 times the bytes of the file. Work: 10^10 multiply-adds and 2 x 10^7 for each pixel.
    ///
    /// # Errors
    /// In words: what a step would take, or why it cannot be told.
    pub(crate) fn check(&self, [height, width]: [usize; 2]) -> Result<Cost, String> {
        let pixels = height as u64 * width as u64;
        let image = 3 * 4 * pixels;
        let least = if self.has_fixed_size { 0 } else { 64 * image };
        let limit = Cost {
            bytes: ((256 << 20) + 512 * image).min(4 << 30).max(least) + 8 * self.file_bytes,
            work: 10_u64.pow(10) + 20_000_000 * pixels,
        };
        let mut known = self.constants.clone();
        known.insert(self.input.clone(), Known::of(vec![1, 3, height as u64, width as u64]));
        let mut scope = Scope { known, outer: None };
        let cost = self.walk(&self.graph, &self.outputs, &mut scope, limit)?;
        let size = format!("an image of {width}x{height}");
        if cost.bytes > limit.bytes {
            return Err(format!(
                "its tensors would take {}, where {size} is given {}",
                gib(cost.bytes),
                gib(limit.bytes)
            ));
        }
        if cost.work > limit.work {
            let billions = |work: u64| work / 1_000_000_000;
            return Err(format!(
                "it would take {} billion multiply-adds, where {size} is given {}",
                billions(cost.work),
                billions(limit.work)
            ));
        }
        Ok(cost)
    }

    /// Infers every tensor of a graph into `scope`, and what a run of it takes.
    fn walk(
        &self,
        graph: &GraphMessage,
        outputs: &[String],
        scope: &mut Scope<'_>,
        limit: Cost,
    ) -> Result<Cost, String> {
        let order = order::execution(graph)?;
        let mut meanwhile = vec![0; graph.node.len()];
        let mut work = 0_u64;
        let mut followed = 0;
        for &index in &order {
            let node = &graph.node[index];
            // Constants that are known already: nothing else is, since nothing is made twice.
            if node.op_type == "Constant" && node.output.iter().all(|name| scope.known.contains_key(name)) {
                continue;
            }
            let made = self.step(node, scope, limit)?;
            let own = made.outputs.iter().map(Known::bytes).fold(made.meanwhile, u64::saturating_add);
            if own > limit.bytes {
                return Err(format!(
                    "{} would take {}, more than the {} that the image's size allows",
                    title(node),
                    gib(own),
                    gib(limit.bytes)
                ));
            }
            work = work.saturating_add(made.work);
            meanwhile[index] = made.meanwhile;
            for (name, mut known) in node.output.iter().zip(made.outputs).filter(|(name, _)| !name.is_empty())
            {
                if known.shape.len() > MOST_AXES {
                    return Err(format!("{} makes a tensor of {} axes", title(node), known.shape.len()));
                }
                followed += known.numbers.as_ref().map_or(0, |numbers| numbers.values.len());
                known.numbers = known.numbers.filter(|_| followed <= MOST_FOLLOWED);
                scope.known.insert(name.clone(), known);
            }
        }
        let deep = order::depth_first(graph, outputs);
        let bytes = [&order, &deep].map(|order| order::peak(graph, order, outputs, &scope.known, &meanwhile));
        Ok(Cost { bytes: bytes[0].max(bytes[1]), work })
    }

    fn step(&self, node: &NodeMessage, scope: &Scope<'_>, limit: Cost) -> Result<Made, String> {
        let find = |name: &String| match name.as_str() {
            "" => Ok(None),
            name => match scope.find(name) {
                Some(known) => Ok(Some(known.clone())),
                None => Err(format!("{} reads `{name}`, which nothing makes", title(node))),
            },
        };
        let inputs = node.input.iter().map(find).collect::<Result<Vec<_>, String>>()?;
        let reads_shape = matches!(node.op_type.as_str(), "Shape" | "Size");
        let is_constant = reads_shape || inputs.iter().flatten().all(|known| known.is_constant);
        let step = Step { node, inputs, version: self.version };
        let mut made = if node.op_type == "If" {
            self.branches(&step, scope, limit)?
        } else {
            operators::infer(&step).map_err(|fault| words(node, &fault))?
        };
        for known in &mut made.outputs {
            known.is_constant = is_constant;
        }
        Ok(made)
    }

    /// The outputs of an `If`, whichever branch is taken.
    fn branches(&self, step: &Step<'_>, scope: &Scope<'_>, limit: Cost) -> Result<Made, String> {
        let branch = |name: &str| {
            let graph = step.message(name).and_then(|attribute| attribute.g.as_ref());
            let graph = graph.ok_or_else(|| format!("{} lacks a branch", title(step.node)))?;
            let known = constants(graph)?;
            check_names(graph, known.keys())?;
            let mut inner = Scope { known, outer: Some(scope) };
            let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
            let cost = self.walk(graph, &outputs, &mut inner, limit)?;
            let find = |name: &String| inner.find(name).cloned();
            let outputs: Option<Vec<Known>> = outputs.iter().map(find).collect();
            let outputs =
                outputs.ok_or_else(|| format!("a branch of {} makes too little", title(step.node)))?;
            Ok::<_, String>(Made { outputs, meanwhile: cost.bytes, work: cost.work })
        };
        // Engines work out the constants of both, even of the one that is never taken.
        let (one, other) = (branch("then_branch")?, branch("else_branch")?);
        match step.optional(0).and_then(Known::whole).as_deref() {
            Some([0]) => return Ok(other),
            Some([_]) => return Ok(one),
            _ => {}
        }
        let join = |(a, b): (Known, Known)| {
            if a.shape.len() != b.shape.len() {
                return Err(words(step.node, &Fault::DependsOnPixels));
            }
            let is_exact = a.is_exact && b.is_exact && a.shape == b.shape;
            let shape = a.shape.iter().zip(&b.shape).map(|(a, b)| *a.max(b)).collect();
            Ok(Known { is_exact, ..Known::of(shape) })
        };
        let outputs = one.outputs.into_iter().zip(other.outputs).map(join).collect::<Result<_, _>>()?;
        let (meanwhile, work) = (one.meanwhile.max(other.meanwhile), one.work.max(other.work));
        Ok(Made { outputs, meanwhile, work })
    }
}

/// The constants of a graph.
fn constants(graph: &GraphMessage) -> Result<HashMap<String, Known>, String> {
    if !graph.sparse_initializer.is_empty() {
        return Err("it holds sparse constants, which are not read; export it with ordinary ones".into());
    }
    let mut constants = HashMap::new();
    for tensor in &graph.initializer {
        if tensor.dims.len() > MOST_AXES {
            return Err(format!("the constant `{}` has {} axes", tensor.name, tensor.dims.len()));
        }
        if constants.insert(tensor.name.clone(), tensor::constant(tensor)?).is_some() {
            return Err(format!("the constant `{}` comes twice", tensor.name));
        }
    }
    Ok(constants)
}

/// Checks that every tensor of a graph is made once, and every attribute of a step given once: of two, engines may take either.
fn check_names<'a>(
    graph: &'a GraphMessage,
    constants: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    let mut made: std::collections::HashSet<&str> = constants.map(String::as_str).collect();
    for node in &graph.node {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !made.insert(name) {
                return Err(format!("the tensor `{name}` is made twice"));
            }
        }
        let mut given = std::collections::HashSet::new();
        if let Some(twice) = node.attribute.iter().find(|attribute| !given.insert(attribute.name.as_str())) {
            return Err(format!("{} has the setting `{}` twice", title(node), twice.name));
        }
    }
    Ok(())
}

/// What to call a step.
fn title(node: &NodeMessage) -> String {
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    format!("the step `{name}` ({})", node.op_type)
}

fn words(node: &NodeMessage, fault: &Fault) -> String {
    let title = title(node);
    match fault {
        Fault::Unknown => format!(
            "{title} is of an operator whose memory cannot be foretold; export the network up to the layers you want, with standard operators"
        ),
        Fault::DependsOnPixels => format!(
            "the size of what {title} makes depends on the image's pixels, so its memory has no bound; export the network up to the layers you \
             want"
        ),
        Fault::Broken(reason) => format!("{title} cannot be run: {reason}"),
    }
}

fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib < 10_000.0 { format!("{gib:.1} GiB") } else { format!("{gib:.0e} GiB") }
}

/// The sizes of all tensors of a graph at this size of image.
#[cfg(test)]
fn sizes(graph: &GraphMessage, [height, width]: [usize; 2]) -> HashMap<String, Vec<u64>> {
    let known = HashMap::from([("x".to_owned(), Known::of(vec![1, 3, height as u64, width as u64]))]);
    let version = 17;
    let demands = Demands {
        graph: GraphMessage::default(),
        constants: HashMap::new(),
        input: String::new(),
        outputs: Vec::new(),
        version,
        file_bytes: 0,
        has_fixed_size: false,
    };
    let mut scope = Scope { known, outer: None };
    scope.known.extend(constants(graph).unwrap());
    let limit = Cost { bytes: u64::MAX, work: u64::MAX };
    demands.walk(graph, &[], &mut scope, limit).unwrap();
    scope.known.into_iter().map(|(name, known)| (name, known.shape)).collect()
}
