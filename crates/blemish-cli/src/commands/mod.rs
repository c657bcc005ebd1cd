//! One file a command.

pub mod bench;
pub mod calibrate;
pub mod check;
mod child;
pub mod data;
pub mod demo;
pub mod eval;
pub mod export;
pub mod fit;
pub mod info;
mod inputs;
pub mod living;
pub mod man;
pub mod methods;
mod model_card;
mod monitor;
mod next;
pub mod pick;
#[cfg(feature = "serve")]
pub mod ping;
pub mod predict;
mod report;
#[cfg(feature = "serve")]
pub mod serve;
pub mod suspects;
mod taken;
mod unused;
mod values;
pub mod verify;
pub mod version;
pub mod weights;

use crate::args::{
    Cli, EngineArgs, InputSize, LayoutArgs, Size, TileModelsArg, TransformArgs, ValueRange, ViewArgs,
};
use crate::console::Console;
use crate::failure::Failure;
use blemish::data::{Dataset, OpenOptions, Tiling, Transform, open_dataset};
use blemish::features::EngineOptions;
use blemish::{Detector, Groups, TileModels, TileOptions};
use clap::CommandFactory;
use serde_json::json;
use std::path::Path;

/// Prints a shell's completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "blemish", &mut script);
    crate::output::print_as_is(String::from_utf8_lossy(&script).trim_end())
}

/// Engine options from the command line.
fn engine_options(args: &EngineArgs, threads: Option<usize>) -> Result<EngineOptions, Failure> {
    Ok(EngineOptions { engine: args.engine.parse()?, device: args.device.parse()?, threads })
}

/// Loads a model; one that no digest covers is told apart.
fn load(path: &Path, engine: &EngineOptions, console: &Console) -> Result<Detector, Failure> {
    let detector = Detector::load(path, engine)?;
    if !detector.is_covered() {
        let line = format!(
            "note: `{}` was written by an older blemish: its learnt content is checked for damage, its thresholds and settings are not",
            path.display()
        );
        console.tell(&line, &json!({"event": "note", "message": line}));
    }
    Ok(detector)
}

/// Opens the data of a command.
fn open(data: &Path, layout: &LayoutArgs) -> Result<Dataset, Failure> {
    open_for(1, data, layout)
}

/// Opens data for a model that looks at clips of so many frames: with more than one all images are frames of videos.
fn open_for(clip: usize, data: &Path, layout: &LayoutArgs) -> Result<Dataset, Failure> {
    Ok(open_dataset(data, &open_options(clip, layout))?)
}

fn open_options(clip: usize, layout: &LayoutArgs) -> OpenOptions {
    OpenOptions {
        test_dir: layout.test_dir.clone(),
        mask_dir: layout.mask_dir.clone(),
        category: layout.category.clone(),
        all_categories: layout.all_categories,
        skip_bad: layout.skip_bad,
        trust_folders: layout.trust_folders,
        frames: layout.frames || clip > 1,
        group_column: None,
    }
}

/// The groups of the command line: `none`, `auto`, a pattern.
fn groups(text: &str) -> Result<Groups, Failure> {
    Ok(match text {
        "none" => Groups::None,
        "auto" => Groups::Auto,
        pattern => Groups::Pattern(pattern.parse()?),
    })
}

/// Opens the data of a fit with its groups, for a method that looks at clips of so many frames: of a list groups may be a column.
fn open_in_groups(
    clip: usize,
    data: &Path,
    layout: &LayoutArgs,
    text: &str,
) -> Result<(Dataset, Groups), Failure> {
    match groups(text) {
        Err(_) if data.is_file() => {
            let options = OpenOptions { group_column: Some(text.to_owned()), ..open_options(clip, layout) };
            Ok((open_dataset(data, &options)?, Groups::Auto))
        }
        groups => {
            let groups = groups?;
            Ok((open_for(clip, data, layout)?, groups))
        }
    }
}

/// The tiles of the command line.
fn tiles(args: &ViewArgs) -> Option<TileOptions> {
    let mut tiling = match args.tile? {
        Size::Exact { width, height } => Tiling::new(height, width),
        Size::ShorterSide(side) => Tiling::new(side, side),
    };
    tiling.overlap = args.tile_overlap.unwrap_or(tiling.overlap);
    let models = match args.tile_models {
        TileModelsArg::Shared => TileModels::Shared,
        TileModelsArg::Each => TileModels::Each,
    };
    Some(TileOptions { tiling, models, per_image: args.tiles_per_image })
}

/// The image transform of the command line on top of the method's own.
fn transform(args: &TransformArgs, default: Transform) -> Result<Transform, Failure> {
    let filter = default.filter;
    let mut transform = match args.size {
        None | Some(InputSize::Auto) => default,
        Some(InputSize::Native) => Transform::native(),
        Some(InputSize::Resized(Size::Exact { width, height })) => Transform::resize_to(height, width),
        Some(InputSize::Resized(Size::ShorterSide(side))) => Transform::shorter_side(side),
    };
    transform.filter = filter;
    match args.crop {
        None => {}
        Some(Size::Exact { width, height }) => transform = transform.with_crop(height, width),
        Some(Size::ShorterSide(side)) => transform = transform.with_crop(side, side),
    }
    if let Some(ValueRange::Fixed(black, white)) = args.value_range {
        transform = transform.with_value_range((black, white));
    }
    if let Some(path) = &args.roi {
        transform = transform.with_region_of_interest(path)?;
    }
    Ok(transform)
}
