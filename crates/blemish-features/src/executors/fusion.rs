//! Which nodes of a graph are done in one step: a convolution with the residual sum and the non-linearity behind it.

use crate::graph::{Activation, Graph, Node, NodeId, Op};

/// Nodes done at once.
pub(super) struct Fused {
    /// The first of them, which says what is done.
    pub id: NodeId,
    /// Done to the sum.
    pub activation: Option<Activation>,
    /// The node whose value comes out.
    pub result: NodeId,
    /// What is read; the residual of a convolution comes second.
    pub inputs: Vec<NodeId>,
}

/// The steps of a graph, in its order. What a tap wants comes out of a step.
pub(super) fn fuse(graph: &Graph) -> Vec<Fused> {
    let mut is_done = vec![false; graph.nodes.len()];
    let mut steps = Vec::new();
    for (id, node) in graph.nodes.iter().enumerate().skip(1) {
        if is_done[id] {
            continue;
        }
        let (mut result, mut inputs, mut activation) = (id, node.inputs.clone(), None);
        if matches!(node.op, Op::Conv { .. })
            && let Some((sum, Op::Add)) = only_reader(graph, result)
            && let Some(&other) = graph.nodes[sum].inputs.iter().find(|&&input| input != result && input < id)
        {
            inputs.push(other);
            result = sum;
        }
        if matches!(node.op, Op::Conv { .. } | Op::Add)
            && let Some((next, &Op::Activation(kind))) = only_reader(graph, result)
        {
            activation = Some(kind);
            result = next;
        }
        // Nodes between this one and the result are part of the step.
        let mut part = result;
        while part != id {
            is_done[part] = true;
            part = *graph.nodes[part].inputs.iter().find(|&&input| input >= id).unwrap_or(&id);
        }
        steps.push(Fused { id, activation, result, inputs });
    }
    steps
}

/// For every step, given what each reads, the nodes that nobody needs after it.
pub(super) fn last_uses(graph: &Graph, inputs: &[Vec<NodeId>]) -> Vec<Vec<NodeId>> {
    let mut done_with = vec![Vec::new(); inputs.len()];
    for node in 0..graph.nodes.len() {
        if graph.taps.iter().all(|tap| tap.node != node)
            && let Some(last) = inputs.iter().rposition(|inputs| inputs.contains(&node))
        {
            done_with[last].push(node);
        }
    }
    done_with
}

/// The only node that reads `id`, if nobody else needs its value.
fn only_reader(graph: &Graph, id: NodeId) -> Option<(NodeId, &Op)> {
    if graph.taps.iter().any(|tap| tap.node == id) {
        return None;
    }
    let reads = |node: &Node| node.inputs.iter().filter(|&&input| input == id).count();
    let mut readers = graph.nodes.iter().enumerate().filter(|(_, node)| reads(node) > 0);
    match (readers.next(), readers.next()) {
        (Some((reader, node)), None) if reads(node) == 1 => Some((reader, &node.op)),
        _ => None,
    }
}
