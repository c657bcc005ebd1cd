//! `blemish serve`: models over HTTP.

use crate::args::ServeArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use blemish_serve::fault::Fault;
use blemish_serve::options::ServeOptions;
use blemish_serve::server::Checked;
use blemish_serve::{logs, rooms, server};
use serde_json::json;

pub fn run(args: &ServeArgs, threads: Option<usize>, verbose: u8, console: &Console) -> Result<(), Failure> {
    let options = options(args, threads)?;
    if args.check {
        logs::start(false, verbose);
        return told(args, &server::check(options, rooms::check)?);
    }
    logs::start(options.logs_json, verbose);
    let listening = |address: &str| {
        console.tell(&format!("listening on {address}"), &json!({"event": "listening", "address": address}));
    };
    Ok(server::serve(options, Box::new(rooms::all), listening)?)
}

fn options(args: &ServeArgs, threads: Option<usize>) -> Result<ServeOptions, Failure> {
    let mut options = match &args.config {
        Some(path) => rooms::options(path)?,
        None => ServeOptions::default(),
    };
    args.apply(&mut options);
    // What is not given leaves the file its say.
    let engine = super::engine_options(&args.engine, threads)?;
    if engine.engine != Default::default() {
        options.engine = engine.engine;
    }
    if engine.device != Default::default() {
        options.device = engine.device;
    }
    options.threads = threads.or(options.threads);
    options.check()?;
    Ok(options)
}

fn told(args: &ServeArgs, checked: &Checked) -> Result<(), Failure> {
    if args.machine.json {
        return print_as_is(&serde_json::to_string(checked).map_err(Failure::new)?);
    }
    let mut text = format!("would listen on {}\n", checked.listen);
    for (name, version, method) in &checked.models {
        text += &format!("{name:<24}{version:<16}{method}\n");
    }
    print(text.trim_end())
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let text = match fault.help.is_empty() {
            true => fault.text,
            false => format!("{}; {}", fault.text, fault.help),
        };
        match fault.code {
            "setting" => Self::usage(text),
            _ => Self::new(text),
        }
    }
}
