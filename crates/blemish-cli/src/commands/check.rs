//! `blemish data check`: what a data set holds and what is wrong with it.

use crate::args::CheckArgs;
use crate::console::{Console, with_progress};
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use crate::terminal::shown_path;
use blemish::data::OpenOptions;
use blemish::data::check::{CategoryCheck, Issue, Severity, check_dataset};
use serde_json::json;
use std::path::Path;

/// Issues of one kind that are listed in full.
const LISTED: usize = 10;
/// Sizes that are listed.
const SIZES: usize = 5;

pub fn run(args: &CheckArgs, console: &Console) -> Result<(), Failure> {
    let options = OpenOptions {
        test_dir: args.layout.test_dir.clone(),
        mask_dir: args.layout.mask_dir.clone(),
        category: args.layout.category.clone(),
        // Each has a check of its own in any case.
        all_categories: false,
        skip_bad: true,
        trust_folders: args.layout.trust_folders,
        frames: args.layout.frames,
        group_column: None,
    };
    let checks =
        with_progress(console, "checking", |progress| check_dataset(&args.data, &options, progress))?;
    let problems: usize = checks.iter().map(CategoryCheck::problems).sum();
    if args.machine.json {
        print_as_is(&format!("{:#}", json!({"problems": problems, "categories": checks})))?;
    } else {
        let texts: Vec<String> = checks.iter().map(text).collect();
        print(&texts.join("\n\n"))?;
    }
    match problems {
        0 => Ok(()),
        count => Err(Failure::new(format!(
            "`{}` has {count} {} that would spoil a fit or an evaluation; they are marked with ! above",
            args.data.display(),
            if count == 1 { "problem" } else { "problems" }
        ))),
    }
}

fn text(check: &CategoryCheck) -> String {
    let mut text =
        format!("{} ({})\n  to learn from: {} images\n", check.category, check.root.display(), check.train);
    let kinds: Vec<String> = check.test.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let tested: usize = check.test.values().sum();
    text += &format!("  to test with:  {tested} images{}", if tested > 0 { ": " } else { "" });
    text += &format!("{}\n  masks:         {}\n  sizes:         ", kinds.join(", "), check.masks);
    let sizes: Vec<String> = check
        .sizes
        .iter()
        .take(SIZES)
        .map(|size| format!("{}x{} ({})", size.width, size.height, size.images))
        .collect();
    text += &sizes.join(", ");
    if check.sizes.len() > SIZES {
        text += &format!(", and {} more", check.sizes.len() - SIZES);
    }
    for line in super::taken::lines(&check.folders, &check.passed_over) {
        text += &format!("\n  {line}");
    }
    for remark in &check.remarks {
        text += &format!("\n  note: {remark}");
    }
    if check.issues.is_empty() {
        return text
            + if check.remarks.is_empty() {
                "\n  nothing is wrong"
            } else {
                "\n  nothing else is to be said"
            };
    }
    for group in check.issues.chunk_by(|one, other| one.finding == other.finding) {
        let mark = if group[0].severity == Severity::Problem { "!" } else { "-" };
        text += &format!("\n  {mark} {}: {}", group[0].finding.words(), group.len());
        for issue in group.iter().take(LISTED) {
            text += &format!("\n      {}", line(issue, &check.root));
        }
        if group.len() > LISTED {
            text += &format!("\n      and {} more (--json lists all)", group.len() - LISTED);
        }
    }
    text
}

fn line(issue: &Issue, root: &Path) -> String {
    let name = |path: &std::path::PathBuf| shown_path(path.strip_prefix(root).unwrap_or(path));
    let files: Vec<String> = issue.files.iter().map(name).collect();
    match files.is_empty() {
        true => issue.detail.clone(),
        false => format!("{}: {}", files.join(" = "), issue.detail),
    }
}
