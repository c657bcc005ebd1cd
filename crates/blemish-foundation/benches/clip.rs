//! Time of WinCLIP's networks with random weights, on one thread: `cargo bench -p blemish-foundation --bench clip`.
//!
//! Prints seconds an image for the image alone, and for the image with all windows of 2x2 and 3x3 tokens, and seconds for 242 prompts.
//! `benches/winclip_speed.py` runs it beside anomalib.

use blemish_features::ImageText;
use blemish_foundation::clip::{Clip, Form};
use std::time::Instant;

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread can be had");
    pool.install(run);
}

fn run() {
    let clip = Clip::random(&Form::of(ImageText::ClipVitB16Plus240), 1);
    let form = *clip.image().form();
    let rgb: Vec<f32> = (0..3 * form.size * form.size).map(|at| (at * 7919 % 1009) as f32 / 1009.0).collect();
    let lists = [2, 3].map(|scale| windows(form.grid(), scale));
    // Twice, since the first time brings pages into memory.
    for _ in 0..2 {
        let image = timed(|| drop(clip.image().embed(&rgb, &[], false)));
        let windows = timed(|| drop(clip.image().embed(&rgb, &lists, true)));
        println!("{{\"image\": {image:.3}, \"windows\": {windows:.3}}}");
    }
    let prompts: Vec<String> =
        (0..242).map(|number| format!("a photo of the metal nut {number} without flaw")).collect();
    let seconds = timed(|| drop(clip.embed_texts(&prompts)));
    println!("{{\"prompts\": {seconds:.3}}}");
}

/// CPU seconds of this process where the system tells them, else wall seconds: others may use the machine as well.
fn timed(work: impl FnOnce()) -> f64 {
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    work();
    match (cpu, cpu_seconds()) {
        (Some(before), Some(after)) => after - before,
        _ => wall.elapsed().as_secs_f64(),
    }
}

/// User and system time by `/proc`, in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn windows(grid: usize, scale: usize) -> Vec<Vec<usize>> {
    let starts = || 0..=grid - scale;
    let window = |top: usize, left: usize| {
        (top..top + scale).flat_map(|y| (left..left + scale).map(move |x| y * grid + x)).collect()
    };
    starts().flat_map(|top| starts().map(move |left| window(top, left))).collect()
}
