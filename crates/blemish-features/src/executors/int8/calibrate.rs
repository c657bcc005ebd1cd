//! Ranges and means of maps from good images, and what bytes lose.

use super::plan::{Extent, extent};
use super::{QuantisedNetwork, executor};
use crate::FeatureError;
use crate::executors::fusion::fuse;
use crate::executors::native::NativeExecutor;
use crate::graph::{Executor, Graph, NodeId, Tap, Weights};
use blemish_kernels::conv::ChannelsLast;
use std::collections::{BTreeMap, BTreeSet};

/// Values that bytes cover, 0 among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// At most 0; 0 for maps after ReLU.
    pub low: f32,
    /// At least 0.
    pub high: f32,
}

/// Ranges of the image and of all maps that come out of a step, by the names of the nodes.
pub type Ranges = BTreeMap<String, Range>;

/// What was seen of the image and of all maps that come out of a step, by the names of the nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What bytes shall cover, where maps are to be bytes.
    pub ranges: Ranges,
    /// The mean of every channel; where maps stay in single precision, of those that a linear map reads.
    pub means: BTreeMap<String, Vec<f64>>,
}

/// What a map in bytes has lost.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerError {
    /// The node whose value it is.
    pub name: String,
    /// See [`RelativeError`]; of the values in single precision.
    pub error: f64,
}

/// Values that are bounded side by side.
const LANES: usize = 16;
/// Intervals of a histogram from 0 to its reach, and as many to the other side.
const BINS: usize = 2048;
/// Values of an image's map that are counted, about: evenly spread, which tells as much of the range as all of them.
const COUNTED: usize = 1 << 14;
/// Candidate ranges are the whole one less so many 128ths of it.
const CANDIDATES: u32 = 96;

/// An image that passes through a network.
#[derive(Clone, Debug)]
pub struct Watched {
    /// 3 x H x W values, normalised already.
    pub values: Vec<f32>,
    /// H and W.
    pub size: [usize; 2],
}

impl Watched {
    fn batch(&self) -> [usize; 3] {
        [1, self.size[0], self.size[1]]
    }
}

/// For every map the means of its channels, and the range with the least squared error of rounding and clipping together, over images of
/// any sizes. Draws nothing by chance, and the order of the images does not matter to the ranges. A map is looked at while it is there: no
/// more memory is taken than to run the network.
///
/// # Errors
/// [`FeatureError::Engine`] if nothing of the graph is done in bytes; as the engine in single precision: [`FeatureError`]
/// for a missing tensor or images that are too small.
pub fn calibrate(
    graph: &Graph,
    weights: &Weights,
    images: &[Watched],
    threads: usize,
) -> Result<Seen, FeatureError> {
    // What linear maps read; of networks that are wholly in bytes everything is looked at.
    let read: Option<BTreeSet<NodeId>> = match extent(graph)? {
        Extent::Whole => None,
        Extent::LinearMaps(nodes) => Some(nodes.iter().map(|&node| graph.nodes[node].inputs[0]).collect()),
    };
    let executor = NativeExecutor::new(graph, weights, threads)?;
    let mut ranges: BTreeMap<NodeId, Observed> = BTreeMap::new();
    let mut means: BTreeMap<NodeId, Means> = BTreeMap::new();
    for image in images {
        executor.watch(&image.values, image.size, &mut |node, map| {
            if read.is_none() {
                ranges.entry(node).or_default().watch(map);
            }
            if read.as_ref().is_none_or(|read| read.contains(&node)) {
                means.entry(node).or_default().watch(map);
            }
        })?;
    }
    let name = |node: NodeId| graph.nodes[node].name.clone();
    Ok(Seen {
        ranges: ranges.into_iter().map(|(node, map)| (name(node), map.best())).collect(),
        means: means.into_iter().map(|(node, means)| (name(node), means.of_channels())).collect(),
    })
}

/// What each step's map loses in bytes.
///
/// # Errors
/// As [`calibrate`] and [`executor`].
pub fn relative_errors(
    graph: &Graph,
    weights: &Weights,
    seen: &Seen,
    images: &[Watched],
    threads: usize,
) -> Result<Vec<LayerError>, FeatureError> {
    let observed = observed(graph);
    let single = NativeExecutor::new(&observed, weights, threads)?;
    let network = QuantisedNetwork::new(&observed, weights, seen)?;
    let bytes = executor(&observed, &network, threads)?;
    let mut errors = vec![RelativeError::default(); observed.taps.len()];
    for image in images {
        let [exact, rounded] =
            [single.run(&image.values, image.batch())?, bytes.run(&image.values, image.batch())?];
        for ((exact, rounded), error) in exact.iter().zip(&rounded).zip(&mut errors) {
            error.add(&exact.data, &rounded.data);
        }
    }
    let names = observed.taps.iter().map(|tap| graph.nodes[tap.node].name.clone());
    Ok(names.zip(errors).map(|(name, error)| LayerError { name, error: error.root() }).collect())
}

/// Root of squared differences over squared values, both summed.
#[derive(Clone, Copy, Debug, Default)]
pub struct RelativeError {
    lost: f64,
    all: f64,
}

impl RelativeError {
    /// Counts values and what has become of them.
    pub fn add(&mut self, exact: &[f32], rounded: &[f32]) {
        for (&exact, &rounded) in exact.iter().zip(rounded) {
            self.lost += f64::from(exact - rounded).powi(2);
            self.all += f64::from(exact).powi(2);
        }
    }

    /// The root; 0 of nothing.
    pub fn root(self) -> f64 {
        (self.lost / self.all.max(f64::MIN_POSITIVE)).sqrt()
    }
}

/// The graph with a tap on what comes out of every step; the steps stay the same.
fn observed(graph: &Graph) -> Graph {
    let tap = |result: usize| Tap { name: graph.nodes[result].name.clone(), node: result };
    let taps = fuse(graph).into_iter().map(|step| tap(step.result)).collect();
    Graph { taps, ..graph.clone() }
}

/// What was seen of a map.
#[derive(Clone, Default)]
struct Observed {
    low: f32,
    high: f32,
    /// The power of two above all sizes.
    reach: f32,
    /// Values of 0 and above by size, and those below: interval k holds sizes from k to k + 1 times reach / [`BINS`].
    counts: [Vec<u64>; 2],
}

/// Of each channel's values.
#[derive(Clone, Default)]
struct Means {
    sums: Vec<f64>,
    /// Values of a channel.
    places: usize,
}

impl Means {
    fn watch(&mut self, map: &ChannelsLast) {
        let mut sums = vec![0.0; map.channels];
        for pixel in map.pixels() {
            sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        self.sums.resize(map.channels, 0.0);
        self.sums.iter_mut().zip(sums).for_each(|(sum, of_image)| *sum += of_image);
        self.places += map.height * map.width;
    }

    fn of_channels(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.places.max(1) as f64).collect()
    }
}

impl Observed {
    fn watch(&mut self, map: &ChannelsLast) {
        self.bound(map);
        self.widen();
        self.count(map);
    }

    /// Widens the range to hold all values.
    fn bound(&mut self, map: &ChannelsLast) {
        let (mut low, mut high) = ([self.low; LANES], [self.high; LANES]);
        for values in map.pixels().flat_map(|pixel| pixel.chunks(LANES)) {
            for ((&value, low), high) in values.iter().zip(&mut low).zip(&mut high) {
                *low = low.min(value);
                *high = high.max(value);
            }
        }
        self.low = low.into_iter().fold(self.low, f32::min);
        self.high = high.into_iter().fold(self.high, f32::max);
    }

    /// Doubles the reach until the range lies in it. Two intervals become one, exactly: whatever came first, counts are the same.
    fn widen(&mut self) {
        let wanted = power_above(self.high.max(-self.low));
        if self.counts[0].is_empty() {
            self.counts = std::array::from_fn(|_| vec![0; BINS]);
            self.reach = wanted;
        }
        while self.reach < wanted {
            self.reach *= 2.0;
            for counts in &mut self.counts {
                for bin in 0..BINS / 2 {
                    counts[bin] = counts[2 * bin] + counts[2 * bin + 1];
                }
                counts[BINS / 2..].fill(0);
            }
        }
    }

    /// Counts values by interval.
    fn count(&mut self, map: &ChannelsLast) {
        let factor = BINS as f32 / self.reach;
        let [above, below] = &mut self.counts;
        let pixels: Vec<&[f32]> = map.pixels().collect();
        let values = map.channels * pixels.len();
        // Channel by channel, an odd step meets every row and column, whose lengths are often powers of two.
        let step = (values / COUNTED) | 1;
        for at in (0..values).step_by(step) {
            let value = pixels[at % pixels.len()][at / pixels.len()];
            let bin = ((value.abs() * factor) as usize).min(BINS - 1);
            let counts = if value < 0.0 { &mut *below } else { &mut *above };
            counts[bin] += 1;
        }
    }

    /// The range with the least expected squared error.
    fn best(self) -> Range {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let width = f64::from(self.reach) / BINS as f64;
        let of_side = |(counts, sign): (&Vec<u64>, f64)| {
            let middle = |(bin, &count): (usize, &u64)| (sign * (bin as f64 + 0.5) * width, count as f64);
            counts.iter().enumerate().filter(|&(_, &count)| count > 0).map(middle).collect::<Vec<_>>()
        };
        let seen: Vec<(f64, f64)> = self.counts.iter().zip([1.0, -1.0]).flat_map(of_side).collect();
        let error = |factor: f64| {
            let (low_end, high_end) = (low * factor, high * factor);
            let rounding = ((high_end - low_end) / 255.0).powi(2) / 12.0;
            let of_interval = |&(value, count): &(f64, f64)| {
                let clipped = (low_end - value).max(value - high_end).max(0.0);
                count * (rounding + clipped * clipped)
            };
            seen.iter().map(of_interval).sum::<f64>()
        };
        let factors = (0..=CANDIDATES).map(|step| f64::from(128 - step) / 128.0);
        let factor = factors.min_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap_or(1.0);
        Range { low: (low * factor) as f32, high: (high * factor) as f32 }
    }
}

/// The least power of two above a size; the least of all above 0.
fn power_above(size: f32) -> f32 {
    const EXPONENT: u32 = 0x7f80_0000;
    const STEP: u32 = 0x0080_0000;
    f32::from_bits((size.to_bits() & EXPONENT).min(EXPONENT - 2 * STEP) + STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(maps: &[&[f32]]) -> Observed {
        let mut observed = Observed::default();
        for values in maps {
            observed.watch(&ChannelsLast::from_planes(values, [1, 1, values.len()], Default::default()));
        }
        observed
    }

    #[test]
    fn powers_lie_above() {
        for (size, power) in [(0.75, 1.0), (1.0, 2.0), (5.9, 8.0), (0.0, f32::MIN_POSITIVE)] {
            assert_eq!(power_above(size), power);
        }
        assert!(power_above(f32::INFINITY).is_finite());
    }

    #[test]
    fn counts_and_ranges_do_not_depend_on_what_is_seen_first() {
        let small: Vec<f32> = (0..999).map(|at| (at as f32 * 0.37).sin() * 0.01).collect();
        let large: Vec<f32> = (0..999).map(|at| (at as f32 * 0.11).cos() * 7.3 - 1.0).collect();
        let [one, other, whole] = [
            seen(&[&small, &large]),
            seen(&[&large, &small]),
            seen(&[&[small.clone(), large.clone()].concat()]),
        ];
        assert_eq!((&one.counts, one.reach), (&other.counts, other.reach));
        assert_eq!((&one.counts, one.reach), (&whole.counts, whole.reach));
        assert_eq!(one.counts.iter().flatten().sum::<u64>(), 1998);
        assert_eq!((one.reach, one.best()), (16.0, whole.best()));
    }

    /// Of values that are spread evenly nothing is cut off; a single far one is, where that makes the steps of many others finer.
    #[test]
    fn far_values_are_cut_off_where_it_pays() {
        let even: Vec<f32> = (0..=10_000).map(|at| at as f32 / 10_000.0).collect();
        assert_eq!(seen(&[&even]).best(), Range { low: 0.0, high: 1.0 });
        let maps: Vec<&[f32]> = vec![&even; 1000];
        let range = seen(&[maps, vec![&[1.5]]].concat()).best();
        assert!(range.high > 0.99 && range.high < 1.05 && range.low == 0.0, "{range:?}");
    }
}
