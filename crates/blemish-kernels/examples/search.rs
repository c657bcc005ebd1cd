//! Seconds of an exact search and of a plain matrix product of its size, for `benches/distance/search.py`.
//!
//! `cargo run --release -p blemish-kernels --example search -- random|structured ROWS DIMENSIONS QUERIES K [FOLDER]`; prints a line of
//! JSON. With FOLDER, the rows, queries and nearest indices are written there as raw little-endian values. `RAYON_NUM_THREADS` sets the threads of
//! the search; the product has one.

#[path = "../benches/support/points.rs"]
mod points;

use blemish_kernels::knn::MemoryBank;
use std::path::Path;
use std::time::Instant;

const REPEATS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let told: Vec<String> = std::env::args().skip(1).collect();
    let [kind, rows, dimensions, queries, k, folder @ ..] = &told[..] else {
        return Err("search random|structured ROWS DIMENSIONS QUERIES K [FOLDER]".into());
    };
    let make = if kind == "random" { points::random } else { points::structured };
    let (rows, dimensions): (usize, usize) = (rows.parse()?, dimensions.parse()?);
    let (count, k): (usize, usize) = (queries.parse()?, k.parse()?);
    let queries = make(count, dimensions, 7);
    let started = Instant::now();
    let bank = MemoryBank::new(make(rows, dimensions, 1), dimensions)?;
    let build = started.elapsed().as_secs_f64();
    let mut seconds = Vec::new();
    let mut found = bank.search(&queries[..dimensions], k)?;
    for _ in 0..REPEATS {
        let started = Instant::now();
        found = bank.search(&queries, k)?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    if let [folder] = folder {
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(Path::new(folder).join(name), bytes);
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        write("rows.f32", bytes(bank.rows()))?;
        write("queries.f32", bytes(&queries))?;
        write("found.u32", found.indices.iter().flat_map(|&index| (index as u32).to_le_bytes()).collect())?;
    }
    println!(
        "{{\"seconds\": {}, \"product\": {}, \"width\": {}, \"build\": {build}, \"peak_bytes\": {}}}",
        seconds[REPEATS / 2],
        product_rate(dimensions),
        bank.image_width(),
        peak_bytes()
    );
    Ok(())
}

/// Floating-point operations a second of the best of several plain matrix products on this thread.
fn product_rate(dimensions: usize) -> f64 {
    let (m, n, k) = (1024, 4096, dimensions);
    let (a, b) = (points::random(m, k, 1), points::random(n, k, 2));
    let mut out = vec![0.0f32; m * n];
    let (to, a, b, step) = (out.as_mut_ptr(), a.as_ptr(), b.as_ptr(), k as isize);
    let best = (0..5)
        .map(|_| {
            let started = Instant::now();
            // SAFETY: the three slices hold m x n, m x k and n x k values, which the strides stay within.
            unsafe {
                gemm::gemm(
                    m,
                    n,
                    k,
                    to,
                    1,
                    n as isize,
                    false,
                    a,
                    1,
                    step,
                    b,
                    step,
                    1,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
            started.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    2.0 * (m * n * k) as f64 / best
}

/// The most memory this process has had.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
}
