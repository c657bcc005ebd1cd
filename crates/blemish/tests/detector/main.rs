//! The library as its users meet it. One program, since each further one is linked with all of it once more.

mod bytes;
mod decisions;
mod detectors;
mod ensembles;
mod export_settings;
mod exports;
mod living;
mod memory;
mod model_files;
mod resumes;
mod seams;
mod support;
mod tiles;
mod words;
