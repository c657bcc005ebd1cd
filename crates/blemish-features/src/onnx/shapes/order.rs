//! In which order the steps of a graph run, which of them outputs need, and what is alive at the same time.

use super::super::proto::{GraphMessage, NodeMessage};
use super::tensor::Known;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The tensors that a step reads, those that its branches read from outside included.
fn reads(node: &NodeMessage) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    // Depth is bounded by the check of the file's frame. What a branch makes itself is listed, too, and found nowhere outside.
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
        names.extend(graph.node.iter().flat_map(reads));
        names.extend(graph.output.iter().map(|output| output.name.as_str()));
    }
    names
}

/// Which step makes a tensor.
fn makers(graph: &GraphMessage) -> HashMap<&str, usize> {
    let names = graph.node.iter().enumerate();
    names.flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index))).collect()
}

/// The steps that each step needs directly.
fn needs(graph: &GraphMessage) -> Vec<Vec<usize>> {
    let makers = makers(graph);
    let of =
        |node: &NodeMessage| reads(node).into_iter().filter_map(|name| makers.get(name).copied()).collect();
    graph.node.iter().map(of).collect()
}

/// All steps, each after what it needs, else as the file has them.
///
/// # Errors
/// In words, if steps need each other in a circle.
pub(super) fn execution(graph: &GraphMessage) -> Result<Vec<usize>, String> {
    let needs = needs(graph);
    let mut users = vec![Vec::new(); needs.len()];
    for (index, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|&needed| users[needed].push(index));
    }
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let is_ready = |index: &usize| missing[*index] == 0;
    let mut ready: BinaryHeap<Reverse<usize>> = (0..needs.len()).filter(is_ready).map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &user in &users[index] {
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    if order.len() == needs.len() { Ok(order) } else { Err("its steps need each other in a circle".into()) }
}

/// The steps that outputs need, each right after the last of its needs: the order of engines that go back from the outputs.
pub(super) fn depth_first(graph: &GraphMessage, outputs: &[String]) -> Vec<usize> {
    let (makers, needs) = (makers(graph), needs(graph));
    let mut is_seen = vec![false; needs.len()];
    let mut order = Vec::new();
    for output in outputs {
        let Some(&root) = makers.get(output.as_str()) else { continue };
        // A step and the number of its needs that were gone through.
        let mut path = if std::mem::replace(&mut is_seen[root], true) { Vec::new() } else { vec![(root, 0)] };
        while let Some((step, done)) = path.last_mut() {
            match needs[*step].get(*done) {
                Some(&need) => {
                    *done += 1;
                    if !std::mem::replace(&mut is_seen[need], true) {
                        path.push((need, 0));
                    }
                }
                None => {
                    order.push(*step);
                    path.pop();
                }
            }
        }
    }
    order
}

/// Which steps outputs need.
pub(super) fn needed(graph: &GraphMessage, outputs: &[String]) -> Vec<bool> {
    let mut needed = vec![false; graph.node.len()];
    depth_first(graph, outputs).into_iter().for_each(|index| needed[index] = true);
    needed
}

/// Bytes of all tensors that are alive at the same time, at most, when steps run in this order. Tensors end with their last reader;
/// outputs stay, and so does what does not depend on the image, since engines compute it once and keep it.
pub(super) fn peak(
    graph: &GraphMessage,
    order: &[usize],
    outputs: &[String],
    known: &HashMap<String, Known>,
    meanwhile: &[u64],
) -> u64 {
    let mut readers: HashMap<&str, usize> = HashMap::new();
    for &index in order {
        reads(&graph.node[index]).into_iter().for_each(|name| *readers.entry(name).or_default() += 1);
    }
    outputs.iter().for_each(|name| *readers.entry(name).or_default() += 1);
    let bytes = |name: &str| known.get(name).map_or(0, Known::bytes);
    let stays = |name: &str| known.get(name).is_none_or(|known| known.is_constant);
    let makers = makers(graph);
    let (mut alive, mut most) = (0_u64, 0_u64);
    for &index in order {
        let node = &graph.node[index];
        let made = node.output.iter().map(|name| bytes(name));
        alive = made.fold(alive, u64::saturating_add);
        most = most.max(alive.saturating_add(meanwhile[index]));
        for name in reads(node) {
            let left = readers.entry(name).or_default();
            *left -= 1;
            if *left == 0 && !stays(name) && makers.contains_key(name) {
                alive = alive.saturating_sub(bytes(name));
            }
        }
        for name in node.output.iter().filter(|name| !stays(name) && !readers.contains_key(name.as_str())) {
            alive = alive.saturating_sub(bytes(name));
        }
    }
    most
}
