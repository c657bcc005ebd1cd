//! Films through the program `ffmpeg`: frames as they are, one PPM picture after another through a pipe.

use super::{EachFrame, frame_name};
use crate::error::{DataError, ImageFault};
use crate::reader::{Pixels, RgbImage};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Most pixels of a frame, against heads that are none.
const MOST_PIXELS: usize = 1 << 28;

/// The frames of a film.
///
/// # Errors
/// [`DataError`] if there is no such program, if it cannot read the film, or if the pipe breaks.
pub(super) fn film(program: &Path, film: &Path, each: &mut EachFrame<'_>) -> Result<(), DataError> {
    let fail = |reason: String| DataError::dataset(film, reason);
    let mut command = Command::new(program);
    command.args(["-nostdin", "-v", "error", "-i"]).arg(film);
    // Every frame once, in the order of time, in 8 bits.
    command.args([
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "image2pipe",
        "-pix_fmt",
        "rgb24",
        "-c:v",
        "ppm",
        "-",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => fail(format!(
            "films are read through the program `{}`, which is not there; install ffmpeg, or save the frames as images in a folder",
            program.display()
        )),
        _ => fail(format!("`{}` cannot be started: {error}", program.display())),
    })?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(fail("there is no pipe to its reader".into()));
    };
    // A program that has much to say must not wait for somebody to listen.
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    let passed = pass(BufReader::new(stdout), film, each);
    if passed.is_err() {
        // Nobody reads on.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| fail(format!("its reader was lost: {error}")))?;
    let said = said.join().unwrap_or_default();
    passed?;
    if status.success() {
        return Ok(());
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim();
    Err(fail(format!("ffmpeg cannot read it ({last}); convert it, or save its frames as images in a folder")))
}

/// Hands on what comes through the pipe.
fn pass(mut pipe: impl BufRead, film: &Path, each: &mut EachFrame<'_>) -> Result<(), DataError> {
    for number in 1.. {
        let fault = |detail: &str| {
            DataError::image(
                &frame_name(film, number),
                ImageFault::Damaged { format: "PPM", detail: detail.into() },
            )
        };
        if pipe.fill_buf().map_err(|_| fault("the pipe is broken"))?.is_empty() {
            return Ok(());
        }
        let mut words = Vec::new();
        while words.len() < 4 {
            words.push(word(&mut pipe).ok_or_else(|| fault("its head ends too early"))?);
        }
        let side = |at: usize| words[at].parse::<usize>().ok().filter(|&side| side > 0);
        let (Some(width), Some(height), ("P6", "255")) = (side(1), side(2), (&*words[0], &*words[3])) else {
            return Err(fault("it is no picture of 8 bits"));
        };
        if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(fault("it is too large"));
        }
        let mut values = vec![0; 3 * width * height];
        pipe.read_exact(&mut values).map_err(|_| fault("it ends too early"))?;
        each(&RgbImage { height, width, pixels: Pixels::U8(values) })?;
    }
    Ok(())
}

/// The next word of a head, with the white space after it.
fn word(pipe: &mut impl BufRead) -> Option<String> {
    let mut word = String::new();
    loop {
        let mut byte = [0];
        pipe.read_exact(&mut byte).ok()?;
        match byte[0] {
            space if space.is_ascii_whitespace() => return Some(word),
            _ if word.len() > 20 => return None,
            letter => word.push(char::from(letter)),
        }
    }
}
