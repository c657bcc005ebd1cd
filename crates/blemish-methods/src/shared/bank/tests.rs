//! Analytic weights, and that a bank keeps, joins and finds what it should.

use super::*;
use blemish_core::error::Error;
use blemish_core::method::FitContext;

const DIMENSIONS: usize = 16;

fn options(ratio: f64, search: Search) -> BankOptions {
    BankOptions {
        method: "made up",
        ratio,
        min: 0,
        max: usize::MAX,
        shards: 1,
        is_updatable: false,
        projection: Projected::No,
        start: FirstPick::Random,
        search,
    }
}

fn rows(count: usize, seed: usize) -> Vec<f32> {
    (0..count * DIMENSIONS).map(|at| ((at * 7919 + seed * 104_729) % 1009) as f32 / 1009.0).collect()
}

fn bank(rows: &[f32], ratio: f64, search: Search) -> Result<Bank, Error> {
    let context = FitContext::new(1, None);
    Bank::build(&options(ratio, search), &context, |collector| collector.push(rows, DIMENSIONS, 0))
}

#[test]
fn a_share_of_one_keeps_every_row_in_its_place() {
    let all = rows(50, 3);
    let bank = bank(&all, 1.0, Search::Exact).unwrap();
    assert_eq!(bank.entries(), all);
    assert_eq!(bank.covering_radius(), Some(0.0));
}

/// What was in the reserve is an entry then, in the order of picking, and nothing is left behind.
#[test]
fn a_reserve_becomes_entries_or_goes() {
    let context = FitContext::new(1, None);
    let options = BankOptions { shards: 2, ..options(0.1, Search::Exact) };
    let make =
        || Bank::build(&options, &context, |collector| collector.push(&rows(100, 3), DIMENSIONS, 0)).unwrap();
    let (near, far) = (make().without_reserve(), make().with_reserve("made up").unwrap());
    assert_eq!((near.len(), far.len()), (10, 20));
    assert_eq!(far.entries()[..10 * DIMENSIONS], near.entries()[..]);
    assert!(far.covering_radius() < near.covering_radius());
    for bank in [near, far] {
        let again = Bank::restore("made up", &bank.state()).unwrap();
        assert_eq!((again.entries(), again.covering_radius()), (bank.entries(), bank.covering_radius()));
        assert!(again.coverage.unwrap().reserve.is_empty());
    }
}

#[cfg(not(feature = "ann"))]
#[test]
fn a_build_without_the_approximate_index_says_so() {
    let error = bank(&rows(50, 3), 1.0, Search::Approximate).err().unwrap().to_string();
    assert!(error.contains("no approximate index"), "{error}");
    let mut state = bank(&rows(50, 3), 1.0, Search::Exact).unwrap().state();
    state.set_u8("index", &[1], vec![0]);
    let error = Bank::restore("made up", &state).err().unwrap().to_string();
    assert!(error.contains("feature `ann`"), "{error}");
}

/// Proposals are measured exactly, most nearest entries are found, and the graph survives being stored.
#[cfg(feature = "ann")]
#[test]
fn approximate_search_finds_nearly_all_and_is_never_too_low() {
    let all = rows(5000, 3);
    let (exact, near) = (bank(&all, 1.0, Search::Exact), bank(&all, 1.0, Search::Approximate));
    let (exact, near) = (exact.unwrap(), near.unwrap());
    let queries = rows(200, 8);
    let (best, found) = (exact.nearest(&queries, 3).unwrap(), near.nearest(&queries, 3).unwrap());
    let same =
        found.nearest_squared().zip(best.nearest_squared()).filter(|(found, best)| found == best).count();
    assert!(found.squared_distances.iter().zip(&best.squared_distances).all(|(found, best)| found >= best));
    assert!(same >= 190, "{same} of 200");
    assert!(near.index.recall().unwrap() > 0.95);
    assert!(near.describe_coverage().contains("approximate search"));
    let state = near.state();
    let again = Bank::restore("made up", &state).unwrap();
    assert_eq!(again.nearest(&queries, 3).unwrap(), found);
    assert_eq!(again.state().u8("index", 1).unwrap().1[..], state.u8("index", 1).unwrap().1[..]);
    // The index of other rows, and a cut one.
    let mut other = bank(&rows(60, 3), 1.0, Search::Exact).unwrap().state();
    let (_, bytes) = state.u8("index", 1).unwrap();
    for bytes in [bytes.to_vec(), bytes[..100].to_vec(), Vec::new()] {
        other.set_u8("index", &[bytes.len()], bytes);
        other.set_f32("index.recall", &[1], vec![1.0]);
        assert!(Bank::restore("made up", &other).err().unwrap().to_string().contains("index"));
    }
}

#[test]
fn weight_of_distances_2_3_4_is_091() {
    assert!((reweighted(2.0, 2.0, &[2.0, 3.0, 4.0]) - 1.819_938_9).abs() < 1e-6);
}

#[test]
fn weight_stays_between_its_bounds_and_huge_distances_do_not_overflow() {
    for around in [vec![500.0, 500.0, 500.0], vec![500.0, 501.0, 502.0, 900.0]] {
        let weight = reweighted(500.0, 500.0, &around) / 500.0;
        assert!(weight >= 1.0 - 1.0 / around.len() as f32 - 1e-6 && weight <= 1.0, "{weight}");
    }
    assert_eq!(reweighted(0.0, 0.0, &[0.0, 0.0]), 0.0);
}
