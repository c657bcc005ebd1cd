//! Nearest neighbours over a bank that is kept in parts.

use super::Neighbours;
use crate::KernelError;

/// The k nearest of all parts from the k nearest of each, exactly as one bank of the concatenated parts would answer.
///
/// Each part comes with the number of rows of the parts before it, which its indices are moved by; ties go to the
/// lowest moved index. Every part must have been asked the same queries. The result has as many neighbours a query
/// as asked for by `k`, or all that the parts hold.
///
/// # Errors
/// [`KernelError::Empty`] without parts, [`KernelError::Setting`] for k = 0, [`KernelError::Shape`] if the parts
/// answer different numbers of queries.
pub fn merge_neighbours(parts: &[(usize, &Neighbours)], k: usize) -> Result<Neighbours, KernelError> {
    let Some((_, first)) = parts.first() else {
        return Err(KernelError::Empty { what: "the list of parts" });
    };
    if k == 0 {
        let range = "at least 1 neighbour must be asked for".into();
        return Err(KernelError::Setting { setting: "k", value: "0".into(), range });
    }
    let queries = first.queries();
    if let Some((_, other)) = parts.iter().find(|(_, part)| part.queries() != queries) {
        return Err(KernelError::Shape {
            what: "a part's answer",
            shape: format!("{queries} queries x {} neighbours", other.k),
            expected: queries * other.k,
            found: other.indices.len(),
        });
    }
    let k = k.min(parts.iter().map(|(_, part)| part.k).sum());
    let mut merged = Neighbours {
        k,
        squared_distances: Vec::with_capacity(queries * k),
        indices: Vec::with_capacity(queries * k),
    };
    let mut candidates = Vec::new();
    for query in 0..queries {
        candidates.clear();
        for &(offset, part) in parts {
            let range = query * part.k..(query + 1) * part.k;
            let indices = part.indices[range.clone()].iter().map(|index| index + offset);
            candidates.extend(part.squared_distances[range].iter().copied().zip(indices));
        }
        candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        merged.squared_distances.extend(candidates[..k].iter().map(|candidate| candidate.0));
        merged.indices.extend(candidates[..k].iter().map(|candidate| candidate.1));
    }
    Ok(merged)
}
