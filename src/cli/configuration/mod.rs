//! The page about configuration, docs/configuration.md: every option as the command line declares it, and every variable that
//! is read elsewhere.
//!
//! `secateur configuration > docs/configuration.md` writes it; `tests/cli/configuration.rs` says when the page or the list of
//! variables has drifted from the code.

mod variables;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Arguments;
use variables::OTHER_VARIABLES;

const HEAD: &str = "\
# Configuration

`secateur` is configured by options and by environment variables; there is no configuration file. An option goes before its
variable, and the variable before the default. Sizes are whole bytes and times whole seconds or days, as the column *takes* says.
A variable for a switch is `true` or `false`. What a single job does is not configured here but said in its [spec](spec.md).

This page is written by `secateur configuration > docs/configuration.md`, and `make test` compares the two.
";

const OTHERS: &str = "
## Variables without an option

The program, its libraries, the scripts and the tests read these too. A worker hands its engines `LD_LIBRARY_PATH`,
`CUDA_VISIBLE_DEVICES`, `NVIDIA_VISIBLE_DEVICES`, `RUST_BACKTRACE`, `SECATEUR_ENGINE_FAULT` and `TZ`, and nothing else of its environment.
";

/// docs/configuration.md as the code has it: the options of every command, then the variables without an option.
#[must_use]
pub fn configuration_page() -> String {
    let program = Arguments::command();
    let mut page = String::from(HEAD);
    page += "\n## Every command\n\n";
    page += &option_table(&program);
    describe_subcommands(&program, "secateur", &mut page);
    page += OTHERS;
    for group in OTHER_VARIABLES {
        page += &format!("\n### {}\n\n| variable | default | meaning |\n|---|---|---|\n", group.title);
        for variable in group.variables {
            page += &format!("| `{}` | {} | {} |\n", variable.name, variable.default, cell(variable.meaning));
        }
    }
    page
}

/// Writes the page to stdout.
pub(super) fn print() {
    super::print(&configuration_page());
}

/// Appends a section for every command below `command` that takes options of its own.
fn describe_subcommands(command: &Command, path: &str, page: &mut String) {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let path = format!("{path} {}", subcommand.get_name());
        if subcommand.get_arguments().next().is_some() {
            let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
            page.push_str(&format!("\n## `{path}`\n\n{about}.\n\n"));
            page.push_str(&option_table(subcommand));
        }
        describe_subcommands(subcommand, &path, page);
    }
}

fn option_table(command: &Command) -> String {
    let mut table = String::from("| option | variable | takes | default | meaning |\n|---|---|---|---|---|\n");
    for option in command.get_arguments() {
        let (meaning, default_in_words) = split_help(option);
        let default = default_in_words.or_else(|| default_value(option)).unwrap_or_else(|| usual_default(option));
        let variable = option.get_env().map_or_else(|| "–".to_owned(), |name| format!("`{}`", name.to_string_lossy()));
        table += &format!(
            "| {} | {variable} | {} | {} | {} |\n",
            cell(&option_name(option)),
            cell(&what_it_takes(option)),
            cell(&default),
            cell(&meaning),
        );
    }
    table
}

/// `--output`, `-o` or, for an argument by place, `MODEL`.
fn option_name(option: &Arg) -> String {
    let long = option.get_long().map(|name| format!("`--{name}`"));
    let short = option.get_short().map(|letter| format!("`-{letter}`"));
    let names: Vec<String> = long.into_iter().chain(short).collect();
    if names.is_empty() { format!("`{}`", value_name(option)) } else { names.join(", ") }
}

/// The words that the option may have, or else the name of its value, which says the unit.
fn what_it_takes(option: &Arg) -> String {
    if !option.get_action().takes_values() {
        return "–".to_owned();
    }
    let words: Vec<String> = option.get_possible_values().iter().map(|word| format!("`{}`", word.get_name())).collect();
    let value = if words.is_empty() { format!("`{}`", value_name(option)) } else { words.join(", ") };
    match (option.get_value_delimiter(), option.get_action()) {
        (Some(_), _) => format!("{value}, several with commas between"),
        (None, ArgAction::Append) => format!("{value}, may be given several times"),
        _ => value,
    }
}

fn value_name(option: &Arg) -> String {
    let names = option.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ")
}

/// The help, with what each word means, and the default that stands at its end as `[default: …]`.
fn split_help(option: &Arg) -> (String, Option<String>) {
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    let (mut meaning, default) = match help.split_once(" [default: ") {
        Some((meaning, default)) => (meaning.to_owned(), Some(default.trim_end_matches(']').to_owned())),
        None => (help, None),
    };
    for word in option.get_possible_values() {
        if let Some(help) = word.get_help() {
            meaning += &format!("; `{}`: {help}", word.get_name());
        }
    }
    (meaning, default)
}

fn default_value(option: &Arg) -> Option<String> {
    if !option.get_action().takes_values() {
        return None;
    }
    let value = option.get_default_values().first()?.to_string_lossy();
    let readable = value.parse().ok().and_then(|number| in_large_units(number, &value_name(option)));
    Some(readable.map_or_else(|| format!("`{value}`"), |readable| format!("`{value}` ({readable})")))
}

/// A number of bytes or seconds as a person would say it, where it is long and comes out even.
fn in_large_units(number: u64, unit: &str) -> Option<String> {
    let units: &[(u64, &str)] = match unit {
        "BYTES" => &[(1 << 30, "GiB"), (1 << 20, "MiB")],
        "SECONDS" => &[(3600, "hours"), (60, "minutes")],
        _ => &[],
    };
    let (size, name) = units.iter().find(|(size, _)| number > *size && number.is_multiple_of(*size))?;
    Some(format!("{} {name}", number / size))
}

fn usual_default(option: &Arg) -> String {
    if option.is_required_set() {
        "required".to_owned()
    } else if option.get_action().takes_values() {
        "–".to_owned()
    } else {
        "off".to_owned()
    }
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_in_large_units_where_they_come_out_even() {
        assert_eq!(in_large_units(4 << 30, "BYTES").as_deref(), Some("4 GiB"));
        assert_eq!(in_large_units(1536 << 20, "BYTES").as_deref(), Some("1536 MiB"));
        assert_eq!(in_large_units(21_600, "SECONDS").as_deref(), Some("6 hours"));
        assert_eq!(in_large_units(61, "SECONDS"), None);
        assert_eq!(in_large_units(3600, "N"), None);
    }
}
