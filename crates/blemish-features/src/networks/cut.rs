//! Keeping only the part of a network that the wanted feature maps need.

use crate::FeatureError;
use crate::graph::{Graph, Node, Op, Tap};

impl Graph {
    /// The same network without the nodes that none of `taps` needs, and with only these taps, shallow to deep.
    ///
    /// # Errors
    /// [`FeatureError::UnknownTap`] if the network has no such tap, [`FeatureError::RepeatedTap`] if two of them are the same
    /// feature map, [`FeatureError::NoTaps`] for an empty list.
    pub fn cut(&self, taps: &[impl AsRef<str>]) -> Result<Self, FeatureError> {
        let mut wanted: Vec<&Tap> =
            taps.iter().map(|tap| self.find_tap(tap.as_ref())).collect::<Result<_, _>>()?;
        wanted.sort_by_key(|tap| tap.node);
        if let Some(pair) = wanted.windows(2).find(|pair| pair[0].node == pair[1].node) {
            return Err(FeatureError::RepeatedTap {
                first: pair[0].name.clone(),
                second: pair[1].name.clone(),
                network: self.name.clone(),
            });
        }
        if wanted.is_empty() {
            return Err(FeatureError::NoTaps { network: self.name.clone(), known: self.tap_names() });
        }

        let mut needed = vec![false; self.nodes.len()];
        wanted.iter().for_each(|tap| needed[tap.node] = true);
        // Inputs come before their readers, so one walk from the end reaches everything.
        for id in (0..self.nodes.len()).rev().filter(|&id| id > 0) {
            if needed[id] {
                self.nodes[id].inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        needed[0] = true;

        let mut new_ids = vec![0; self.nodes.len()];
        let mut nodes = Vec::new();
        for (id, node) in self.nodes.iter().enumerate().filter(|&(id, _)| needed[id]) {
            new_ids[id] = nodes.len();
            let mut node = node.clone();
            node.inputs.iter_mut().for_each(|input| *input = new_ids[*input]);
            nodes.push(node);
        }
        let taps = wanted.iter().map(|tap| Tap { name: tap.name.clone(), node: new_ids[tap.node] }).collect();
        Ok(Self { name: self.name.clone(), normalization: self.normalization, nodes, taps })
    }

    /// The network from one of its taps on: that feature map is the input, and the taps behind it are those that there are.
    ///
    /// # Errors
    /// [`FeatureError::UnknownTap`] if the network has no such tap, [`FeatureError::NoTaps`] if there is none behind it,
    /// [`FeatureError::Engine`] if something behind it reads what lies before it.
    pub fn behind(&self, tap: &str) -> Result<Self, FeatureError> {
        let first = self.find_tap(tap)?.node;
        let Node { channels, stride, .. } = self.nodes[first];
        let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], channels, stride: 1 };
        let mut nodes = vec![input];
        for node in &self.nodes[first + 1..] {
            let inputs = node.inputs.iter().map(|&id| id.checked_sub(first).ok_or(id));
            let inputs = inputs.collect::<Result<_, _>>().map_err(|id| {
                let reason = format!(
                    "what lies behind {tap} cannot be trained alone: {} reads {}",
                    node.name, self.nodes[id].name
                );
                FeatureError::Engine { engine: "burn", reason }
            })?;
            nodes.push(Node { inputs, stride: node.stride / stride.max(1), ..node.clone() });
        }
        let behind = self.taps.iter().filter(|tap| tap.node > first);
        let taps: Vec<Tap> =
            behind.map(|tap| Tap { name: tap.name.clone(), node: tap.node - first }).collect();
        if taps.is_empty() {
            return Err(FeatureError::NoTaps { network: self.name.clone(), known: self.tap_names() });
        }
        Ok(Self { name: self.name.clone(), normalization: self.normalization, nodes, taps })
    }

    fn find_tap(&self, name: &str) -> Result<&Tap, FeatureError> {
        self.taps.iter().find(|tap| tap.name == name).ok_or_else(|| FeatureError::UnknownTap {
            tap: name.to_owned(),
            network: self.name.clone(),
            known: self.tap_names(),
        })
    }

    fn tap_names(&self) -> String {
        let names: Vec<&str> = self.taps.iter().map(|tap| tap.name.as_str()).collect();
        names.join(", ")
    }
}
