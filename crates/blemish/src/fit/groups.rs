//! Which images of a fit belong together.

use super::folds::Units;
use crate::config::Groups;
use crate::looks::Watched;
use blemish_core::error::Error;
use blemish_core::observer::Observer;
use blemish_data::{ReadOptions, Source};
use blemish_eval::{GroupFinding, GroupedBy, find_groups};
use std::collections::HashMap;

/// How images are read that were not read before.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) options: &'a ReadOptions,
    /// Whether those that cannot be read count as images on their own.
    pub(crate) skip_bad: bool,
    pub(crate) observer: &'a dyn Observer,
}

/// Tells which of the images belong together, as asked for; what cannot be told is said.
///
/// # Errors
/// [`Error::Setting`] for a pattern that fits none of the names; what reading images returns that were not read before.
pub(crate) fn group(
    source: &Watched<'_>,
    images: &[usize],
    groups: &Groups,
    reading: Reading<'_>,
) -> Result<Units, Error> {
    let observer = reading.observer;
    match groups {
        Groups::None => Ok(Units::single()),
        Groups::Auto if images.iter().any(|&image| source.facts(image).group.is_some()) => {
            Ok(Units::given(source))
        }
        Groups::Auto => found(source, images, reading),
        Groups::Pattern(pattern) => {
            let named = |&image: &usize| Some((image, pattern.group(&source.facts(image).name)?));
            let named: Vec<(usize, String)> = images.iter().filter_map(named).collect();
            if named.is_empty() {
                let name = images.first().map_or("", |&image| &source.facts(image).name);
                return Err(Error::Setting {
                    key: "groups".into(),
                    reason: format!("`{}` fits none of the names, such as `{name}`", pattern.text()),
                    help: "allowed: a pattern that fits the names of the images, or auto".into(),
                });
            }
            if named.len() < images.len() {
                let rest = images.len() - named.len();
                observer.warn(&format!(
                    "{rest} of {} names do not fit the pattern of groups; each counts for itself",
                    images.len()
                ));
            }
            let mut known = HashMap::new();
            let mut of = HashMap::new();
            for (image, name) in named {
                let next = known.len();
                of.insert(image, *known.entry(name).or_insert(next));
            }
            Ok(Units::new(of, GroupedBy::Pattern))
        }
    }
}

/// Images above which groups are not looked for, since the time grows with the square of their number: minutes from here on.
const MOST: usize = 50_000;

/// The groups that looks and names show.
fn found(source: &Watched<'_>, images: &[usize], reading: Reading<'_>) -> Result<Units, Error> {
    if images.len() > MOST {
        reading.observer.warn(&format!(
            "groups are not looked for among more than {MOST} images: if some are shots of the same parts, name the groups"
        ));
        return Ok(Units::single());
    }
    let (mut seen, mut looks) = (Vec::with_capacity(images.len()), Vec::with_capacity(images.len()));
    for &image in images {
        reading.observer.check_cancelled()?;
        match source.look(image, reading.options) {
            Ok(look) => {
                seen.push(image);
                looks.push(look);
            }
            Err(_) if reading.skip_bad => {}
            Err(error) => return Err(error.into()),
        }
    }
    let looks: Vec<&[f32]> = looks.iter().map(|look| &look.picture[..]).collect();
    let names: Vec<&str> = seen.iter().map(|&image| source.facts(image).name.as_str()).collect();
    match find_groups(&looks, &names) {
        GroupFinding::Separate => Ok(Units::single()),
        GroupFinding::Groups { of, by } => {
            let grouped = seen.iter().zip(of).filter_map(|(&image, group)| Some((image, group?)));
            Ok(Units::new(grouped.collect(), by))
        }
        GroupFinding::Unclear { clusters, images } => {
            reading.observer.warn(&format!(
                "{images} images lie in {clusters} tight clusters: if these are shots of the same parts and not variants of the product, name the \
                 groups, or more good images will be flagged than promised"
            ));
            Ok(Units::single())
        }
    }
}
