//! `blemish man`: the manual page of the program, with a section for each command.

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::print_as_is;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use std::io::{self, Write};

pub fn run() -> Result<(), Failure> {
    let page = page().map_err(|error| Failure::stdout(&error))?;
    print_as_is(String::from_utf8_lossy(&page).trim_end())
}

fn page() -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    commands_of(&command, &mut page)?;
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// The sections of the commands below one. Options of every command are told once, at the top.
fn commands_of(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
        let name = one.get_bin_name().unwrap_or(one.get_name()).to_uppercase();
        writeln!(page, ".SH \"{name}\"")?;
        let own = one.clone().mut_args(|argument| {
            let is_everywhere =
                argument.is_global_set() || matches!(argument.get_id().as_str(), "help" | "version");
            argument.hide(is_everywhere)
        });
        let mut section = Vec::new();
        let man = Man::new(own);
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        // Below the command's own heading.
        page.extend(String::from_utf8_lossy(&section).replace(".SH ", ".SS ").into_bytes());
        commands_of(one, page)?;
    }
    Ok(())
}
