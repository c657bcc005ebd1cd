//! Keeping only the part of a network that the wanted feature maps need.

use crate::FeatureError;
use crate::graph::{Graph, Tap};

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
