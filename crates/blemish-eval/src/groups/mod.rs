//! Images that come in groups (exposures, bursts, frames of one part), found by how they look and what they are called.
//!
//! Thresholds are promised for images in no particular order. Several shots of one part are closer to each other than to anything else: a
//! model that has seen one scores the others too low, and their number says less than it seems. [`find_groups`] looks for them.
//!
//! # How
//! The looks of images (any vectors, here small pictures of them) are clustered by single linkage. A cluster counts where it is tight: the
//! next image outside is at least 1.75 times as far as its widest link, and it holds at most a quarter of all images. Images in no
//! particular order have a few such clusters by chance. That they are more than chance must be shown in one of two ways:
//!
//! - **by names**: neighbours in an order of the names (by the whole name or by any number or word in it) are of one cluster far more
//!   often than in a random order. Where images are in no particular order, so are their names; this happens less than once in 10,000 sets,
//!   whatever the looks are. At least a quarter of the images must lie in tight clusters, so that slow changes over a day, which
//!   make neighbours alike without any gap, do not count.
//! - **by looks alone**: at least two fifths of the images lie in clusters with a gap that data of this dimension hardly ever has.
//!   In m dimensions a gap of r is by chance as frequent as one of r^m in a single one; r^m = 16 is asked for. m is estimated from the
//!   distances to the middle neighbours (Levina and Bickel, Maximum likelihood estimation of intrinsic dimension, 2004). Draws from a few
//!   variants of a product are clusters, too, but of sizes that spread as chance has it; parts have nearly equal numbers of shots, so
//!   the spread must be far below that.
//!
//! Once it is shown, names complete the groups: a part of the name that all members of the clusters share, or neighbours in the order that
//! are as near as those of one cluster.

mod clusters;
mod linkage;
mod names;
#[cfg(test)]
mod tests;

use clusters::{Clusters, numbered};
use linkage::Dendrogram;
use names::{Concordance, NamedImages};
use serde::{Deserialize, Serialize};

/// Images below which nothing is looked for: too few to tell.
const FEWEST: usize = 12;

/// How far the next image is, in widths of a cluster, at least.
const GAP: f32 = 1.75;

/// What a gap means in one dimension, for clusters that looks alone have to show.
const GAP_IN_ONE_DIMENSION: f64 = 16.0;

/// Share of the images that lie in tight clusters, at least, where names agree with them.
const SHARE_BY_NAMES: f64 = 0.25;

/// The same where they say nothing.
const SHARE_BY_LOOKS: f64 = 0.4;

/// Clusters that looks alone need to show how sizes spread.
const CLUSTERS_BY_LOOKS: usize = 6;

/// How groups were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupedBy {
    /// By whoever brought the images.
    Given,
    /// By a pattern over their names.
    Pattern,
    /// Found by looks, and names agree.
    Names,
    /// Found by looks alone.
    Looks,
}

/// What was found among images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupFinding {
    /// Nothing that chance would not give.
    Separate,
    /// Groups, by a number for each image; `None` for images on their own.
    Groups {
        /// The group of each image.
        of: Vec<Option<usize>>,
        /// What told them.
        by: GroupedBy,
    },
    /// Tight clusters that may be groups of shots or variants of a product: neither names nor sizes tell.
    Unclear {
        /// Number of clusters of two and more.
        clusters: usize,
        /// Images in them.
        images: usize,
    },
}

/// Looks for groups; each image has a vector of its looks, all of one length, and a name.
///
/// Time grows with the square of the number of images, memory with the number. Deterministic.
///
/// # Panics
/// If there are not as many looks as names.
pub fn find_groups(looks: &[&[f32]], names: &[&str]) -> GroupFinding {
    assert_eq!(looks.len(), names.len(), "a look and a name for each image");
    let images = looks.len();
    if images < FEWEST {
        return GroupFinding::Separate;
    }
    let tree = Dendrogram::of(looks);
    let clusters = tree.clusters(GAP, images / 4);
    let share = |clusters: &Clusters| clusters.members() as f64 / images as f64;
    if share(&clusters) >= SHARE_BY_NAMES {
        let named = NamedImages::of(names);
        if let Some(concordance) = named.concordance(&clusters) {
            let of = complete(&named, &concordance, clusters, looks);
            return GroupFinding::Groups { of, by: GroupedBy::Names };
        }
    }
    let largest = (images / 6).max(2);
    let dimension = linkage::dimension(looks, largest);
    let gap = (GAP_IN_ONE_DIMENSION.powf(1.0 / dimension) as f32).max(GAP);
    let evident = tree.clusters(gap, largest);
    if share(&evident) < SHARE_BY_LOOKS {
        return GroupFinding::Separate;
    }
    if evident.count() < CLUSTERS_BY_LOOKS || !evident.are_even(share(&evident)) {
        return GroupFinding::Unclear { clusters: evident.count(), images: evident.members() };
    }
    let clusters = tree.clusters(GAP, largest);
    GroupFinding::Groups { of: clusters.of, by: GroupedBy::Looks }
}

/// The groups that names make of clusters which agree with them.
fn complete(
    named: &NamedImages,
    concordance: &Concordance,
    clusters: Clusters,
    looks: &[&[f32]],
) -> Vec<Option<usize>> {
    if let Some(keys) = named.shared_key(&clusters, looks.len() / 4) {
        return keys;
    }
    let neighbours = || concordance.order.windows(2).map(|pair| (pair[0], pair[1]));
    let is_joined = |(a, b): &(usize, usize)| clusters.of[*a].is_some() && clusters.of[*a] == clusters.of[*b];
    let apart = |(a, b): (usize, usize)| linkage::distance(looks[a], looks[b]);
    let mut known: Vec<f32> = neighbours().filter(is_joined).map(apart).collect();
    known.sort_unstable_by(f32::total_cmp);
    let near = known.get(known.len().saturating_sub(1) * 9 / 10).copied().unwrap_or(0.0);
    let mut sets = linkage::Sets::new(looks.len());
    for (image, cluster) in clusters.of.iter().enumerate() {
        let first = cluster.and_then(|cluster| clusters.of.iter().position(|other| *other == Some(cluster)));
        if let Some(first) = first {
            sets.join(first, image);
        }
    }
    for (a, b) in neighbours() {
        if apart((a, b)) <= near {
            sets.join(a, b);
        }
    }
    numbered(&(0..looks.len()).map(|image| sets.root(image)).collect::<Vec<_>>())
}
