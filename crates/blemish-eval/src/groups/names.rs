//! What names say of clusters: whether neighbours by name are of one cluster, and which part of a name its members share.

use super::clusters::{Clusters, numbered};

/// How improbable the agreement of names must be, over all orders that are tried.
const CHANCE: f64 = 1e-4;

/// Share of a cluster's links that are between neighbours by name, at least.
const LINKED: f64 = 1.0 / 3.0;

/// Share of the clusters that a part of the name must keep whole.
const KEPT_WHOLE: f64 = 0.9;

/// A number or the text between two of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Token {
    /// Digits without leading zeros, ordered by how many they are.
    Number(usize, String),
    Text(String),
}

/// Names, cut into numbers and what lies between.
pub(super) struct NamedImages {
    names: Vec<Vec<Token>>,
}

/// An order of the images by name in which neighbours are of one cluster more often than chance has it.
pub(super) struct Concordance {
    pub(super) order: Vec<usize>,
}

impl NamedImages {
    /// Folders are part of the name, the extension is not.
    pub(super) fn of(names: &[&str]) -> Self {
        let stem = |name: &&str| match name.rsplit_once('.') {
            Some((stem, extension)) if !extension.contains(['/', '\\']) => tokens(stem),
            _ => tokens(name),
        };
        Self { names: names.iter().map(stem).collect() }
    }

    /// The token that many from the start, or from the end.
    fn token(&self, image: usize, at: usize, is_from_end: bool) -> Option<&Token> {
        let name = &self.names[image];
        if is_from_end { name.len().checked_sub(at + 1).map(|at| &name[at]) } else { name.get(at) }
    }

    /// The images by whole names, and by each token that varies, counted from the start and from the end.
    fn orders(&self) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_key(|&image| (&self.names[image], image));
        let natural = order;
        let longest = self.names.iter().map(Vec::len).max().unwrap_or(0);
        let mut orders = vec![natural.clone()];
        for is_from_end in [false, true] {
            for at in 0..longest {
                let own = |image: usize| self.token(image, at, is_from_end);
                let first = natural.first().and_then(|&image| own(image));
                if natural.iter().any(|&image| own(image) != first) {
                    let mut order = natural.clone();
                    // Stable: images that share the token stay in the order of their names.
                    order.sort_by_key(|&image| own(image));
                    orders.push(order);
                }
            }
        }
        orders
    }

    /// The order that agrees best with the clusters, if that is more than chance.
    pub(super) fn concordance(&self, clusters: &Clusters) -> Option<Concordance> {
        let images = self.names.len() as f64;
        // Of n images in random order, each pair of a cluster is neighbours with probability 2 / n.
        let pairs: usize = clusters.sizes.iter().map(|size| size * (size - 1)).sum();
        let expected = pairs as f64 / images;
        let links: usize = clusters.sizes.iter().map(|size| size - 1).sum();
        let joined = |order: &Vec<usize>| {
            let of = |image: usize| clusters.of[image];
            order.windows(2).filter(|pair| of(pair[0]).is_some() && of(pair[0]) == of(pair[1])).count()
        };
        let orders = self.orders();
        let tried = orders.len() as f64;
        let (seen, order) = orders
            .into_iter()
            .map(|order| (joined(&order), order))
            .reduce(|best, other| if other.0 > best.0 { other } else { best })?;
        let seen = seen as f64;
        // Chernoff's bound of a Poisson tail.
        let log_chance = if seen > expected { seen - expected - seen * (seen / expected).ln() } else { 0.0 };
        let is_more_than_chance = log_chance + tried.ln() < CHANCE.ln() && seen >= LINKED * links as f64;
        is_more_than_chance.then_some(Concordance { order })
    }

    /// Groups of images that share a part of their names, where such a part keeps the clusters whole: the finest that gives at least half
    /// of the images company, in groups of at most `largest`.
    pub(super) fn shared_key(&self, clusters: &Clusters, largest: usize) -> Option<Vec<Option<usize>>> {
        let longest = self.names.iter().map(Vec::len).max().unwrap_or(0);
        let mut best: Option<(usize, Vec<Option<usize>>)> = None;
        for at in 0..longest {
            let keys: [&Key<'_>; 3] = [
                &|name| name[..name.len().min(at + 1)].to_vec(),
                &|name| name[name.len() - name.len().min(at + 1)..].to_vec(),
                &|name| {
                    name.iter()
                        .enumerate()
                        .filter(|(own, _)| *own != at)
                        .map(|(_, token)| token.clone())
                        .collect()
                },
            ];
            for key in keys {
                let groups = numbered(&self.names.iter().map(|name| key(name)).collect::<Vec<_>>());
                let Some(units) = units_of(&groups, largest) else { continue };
                if keeps_whole(&groups, clusters) && best.as_ref().is_none_or(|(most, _)| units > *most) {
                    best = Some((units, groups));
                }
            }
        }
        best.map(|(_, groups)| groups)
    }
}

/// The part of a name that a group may share.
type Key<'a> = dyn Fn(&[Token]) -> Vec<Token> + 'a;

/// How many groups and single images there are; `None` if fewer than half of the images are in groups or a group is too large.
fn units_of(groups: &[Option<usize>], largest: usize) -> Option<usize> {
    let count = groups.iter().flatten().max().map_or(0, |last| last + 1);
    let mut sizes = vec![0; count];
    groups.iter().flatten().for_each(|&group| sizes[group] += 1);
    let together: usize = sizes.iter().sum();
    let is_fit = 2 * together >= groups.len() && sizes.iter().all(|&size| size <= largest);
    is_fit.then_some(count + groups.len() - together)
}

/// Whether nearly every cluster lies in one group.
fn keeps_whole(groups: &[Option<usize>], clusters: &Clusters) -> bool {
    let mut seen: Vec<Option<Option<usize>>> = vec![None; clusters.count()];
    let mut is_torn = vec![false; clusters.count()];
    for (group, cluster) in groups.iter().zip(&clusters.of) {
        let Some(cluster) = *cluster else { continue };
        let first = seen[cluster].get_or_insert(*group);
        is_torn[cluster] |= group.is_none() || first != group;
    }
    let whole = is_torn.iter().filter(|is_torn| !**is_torn).count();
    whole as f64 >= KEPT_WHOLE * clusters.count() as f64
}

fn tokens(name: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|letter: char| letter.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        rest = after;
        let digits = token.trim_start_matches('0');
        found.push(if is_number {
            Token::Number(digits.len(), digits.into())
        } else {
            Token::Text(token.into())
        });
    }
    found
}
