//! What is packaged, for what machine, as of when.

use super::{Failure, output};
use std::path::Path;
use std::process::Command;

/// What every package says of itself.
pub struct Facts {
    pub version: String,
    /// The commit, with `-dirty` behind it if files differ from it; empty outside a repository.
    pub commit: String,
    /// The target triple.
    pub target: String,
    /// Seconds since 1970: the time that everything has.
    pub epoch: u64,
}

impl Facts {
    /// Of the workspace in a folder, for this machine. `SOURCE_DATE_EPOCH` sets the time, else it is that of the commit.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(root));
        let mut commit = git(&["rev-parse", "HEAD"]).unwrap_or_default().trim().to_owned();
        if !commit.is_empty() && !git(&["status", "--porcelain"])?.trim().is_empty() {
            commit += "-dirty";
        }
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => git(&["log", "-1", "--format=%ct"]).map_err(|error| {
                format!("set SOURCE_DATE_EPOCH, since there is no commit to take the time of ({error})")
            })?,
        };
        let epoch = epoch
            .trim()
            .parse()
            .map_err(|_| format!("SOURCE_DATE_EPOCH is `{}`, not seconds", epoch.trim()))?;
        let rustc = output(Command::new("rustc").arg("-vV"))?;
        let target = rustc.lines().find_map(|line| line.strip_prefix("host: "));
        let target = target.ok_or("rustc does not say its host")?.to_owned();
        Ok(Self { version: env!("CARGO_PKG_VERSION").into(), commit, target, epoch })
    }

    /// What the packages of a version and target are called.
    pub fn name(&self) -> String {
        format!("blemish-{}-{}", self.version, self.target)
    }

    /// The time in the form of RFC 3339.
    pub fn time(&self) -> String {
        let (days, seconds) = (self.epoch / 86_400, self.epoch % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// The time as changelogs of Debian have it.
    pub fn mail_time(&self) -> String {
        let (days, seconds) = (self.epoch / 86_400, self.epoch % 86_400);
        let (year, month, day) = date(days);
        let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
        let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            [month as usize - 1];
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{weekday}, {day:02} {name} {year} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

/// Year, month and day of the day `days` after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut rest) = (1970, days);
    while rest >= 365 + u64::from(is_leap(year)) {
        rest -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}
