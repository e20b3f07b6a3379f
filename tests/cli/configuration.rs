//! docs/configuration.md against the code: the options, and the variables that sources read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{secateur, stdout};

/// Variables that cargo sets for build scripts.
const OF_CARGO: [&str; 1] = ["OUT_DIR"];

/// Beginnings of variables on the page that libraries read.
const OF_LIBRARIES: [&str; 3] = ["AWS_", "PG", "TMPDIR"];

#[test]
fn the_committed_page_is_that_of_the_code() {
    let committed = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    assert_eq!(
        committed.trim_end(),
        secateur::cli::configuration_page().trim_end(),
        "docs/configuration.md has drifted: `cargo run -- configuration > docs/configuration.md`"
    );
}

#[test]
fn the_command_prints_the_page() {
    let output = secateur().arg("configuration").output().unwrap();
    assert!(output.status.success());
    assert_eq!(stdout(&output).trim_end(), secateur::cli::configuration_page().trim_end());
}

#[test]
fn the_page_has_every_option_with_its_variable_its_value_and_its_default() {
    let page = secateur::cli::configuration_page();
    for line in [
        "| `--max-upload-bytes` | `SECATEUR_MAX_UPLOAD_BYTES` | `BYTES` | `4294967296` (4 GiB) | Longest model or data set that is taken |",
        "| `--keep-jobs` | `SECATEUR_KEEP_JOBS` | `DAYS` | never | Days after which jobs go that have ended |",
        "| `--database-url` | `DATABASE_URL` | `URL` | required | The server's Postgres |",
        "| `--no-fine-tune` | – | – | off | Prune only |",
        "| `--output`, `-o` | – | `FILE` | the model's name with -pruned | Where to write the pruned model |",
    ] {
        assert!(page.contains(line), "{line} is missing:\n{page}");
    }
}

#[test]
fn every_variable_that_a_source_reads_is_on_the_page() {
    let documented = documented_variables();
    let missing: Vec<_> = variables_in_sources().into_iter().filter(|(name, _)| !documented.contains(name)).collect();
    assert!(missing.is_empty(), "say in src/cli/configuration/variables.rs what these are: {missing:#?}");
}

#[test]
fn every_variable_on_the_page_is_read_by_a_source() {
    let read = variables_in_sources();
    let options = secateur::cli::configuration_page();
    let (options, _) = options.split_once("## Variables without an option").unwrap();
    let is_read = |name: &String| read.contains_key(name) || options.contains(&format!("| `{name}` |"));
    let is_of_library = |name: &String| OF_LIBRARIES.iter().any(|prefix| name.starts_with(prefix));
    let stale: Vec<_> =
        documented_variables().into_iter().filter(|name| !is_read(name) && !is_of_library(name)).collect();
    assert!(stale.is_empty(), "no source reads {stale:?}");
}

/// What stands between backticks in the columns of variables: the second of options, the first of the others.
fn documented_variables() -> BTreeSet<String> {
    let page = secateur::cli::configuration_page();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| option"));
    let cells = rows.flat_map(|row| row.split(" | ").take(2)).map(|cell| cell.trim_start_matches("| "));
    let named = cells.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'));
    named.flat_map(|names| names.split(", ")).filter(|name| is_variable(name)).map(str::to_owned).collect()
}

/// The variables that sources read, each with the first place where one does.
fn variables_in_sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in sources(&root()) {
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        // This file has the patterns themselves.
        if shown == "tests/cli/configuration.rs" {
            continue;
        }
        let names = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => read_by_rust(&text, &shown),
            Some("py") => between(&text, &["os.environ.get(\"", "os.environ[\"", "os.getenv(\""], '"'),
            Some("cpp" | "h") => between(&text, &["getenv(\""], '"'),
            _ => read_by_shell(&text),
        };
        for name in names.into_iter().filter(|name| !OF_CARGO.contains(&name.as_str())) {
            found.entry(name).or_insert_with(|| shown.clone());
        }
    }
    assert!(found.len() > 20, "the sources were not found: {found:?}");
    found
}

/// Names that are read by a literal, a constant or, where one is read after the other, an array of the same file.
fn read_by_rust(text: &str, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    for call in ["env::var(", "env::var_os("] {
        for (_, rest) in text.match_indices(call).map(|(at, _)| text.split_at(at + call.len())) {
            let argument = rest.split(')').next().unwrap();
            if let Some(literal) = argument.strip_prefix('"') {
                names.push(literal.trim_end_matches('"').to_owned());
            } else if is_variable(argument) {
                let declared = between(text, &[&format!("const {argument}: &str = \"")], '"');
                assert_eq!(declared.len(), 1, "{path}: `{argument}` is no constant of this file");
                names.extend(declared);
            } else {
                let arrays = between(text, &["[&str; "], ';');
                let literals = arrays.iter().flat_map(|array| array.split('"')).filter(|part| is_variable(part));
                let before = names.len();
                names.extend(literals.map(str::to_owned));
                assert!(names.len() > before, "{path}: it cannot be seen which variables `{argument}` names");
            }
        }
    }
    names
}

/// Names with a default or a complaint, `${NAME:-…}`: the scripts run with `set -u`, so the others are set by themselves. In the
/// Makefile also what a user may set on make's command line, `$(NAME)`.
fn read_by_shell(text: &str) -> Vec<String> {
    let expansions = between(text, &["${"], '}');
    let with_default = expansions.iter().filter_map(|expansion| {
        let end = expansion.find(|letter: char| !is_variable_letter(letter))?;
        let (name, rest) = expansion.split_at(end);
        rest.trim_start_matches(':').starts_with(['-', '?', '+']).then_some(name)
    });
    let of_make = between(text, &["$("], ')');
    let of_make = of_make.iter().map(|name| name.trim_start_matches("or $(").trim_start_matches("or "));
    let own = |name: &str| text.contains(&format!("\n{name} := ")) || name == "MAKEFILE_LIST";
    let of_make = of_make.filter(|name| text.contains("\n.PHONY:") && !own(name));
    with_default.chain(of_make).filter(|name| is_variable(name)).map(str::to_owned).collect()
}

/// What stands between each of the openings and the next `end`.
fn between(text: &str, openings: &[&str], end: char) -> Vec<String> {
    let starts = openings.iter().flat_map(|opening| text.match_indices(opening).map(|(at, _)| at + opening.len()));
    starts.filter_map(|start| text[start..].split_once(end)).map(|(inside, _)| inside.to_owned()).collect()
}

fn is_variable(name: &str) -> bool {
    name.len() > 1
        && name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && name.chars().all(is_variable_letter)
}

fn is_variable_letter(letter: char) -> bool {
    letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_'
}

/// Everything that is compiled or run, in this folder and below; what was built or fetched is not looked at.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_ours =
                !name.starts_with('.') && !["target", "data", "corpus", "demo-output"].contains(&name.as_str());
            sources.extend(is_ours.then(|| self::sources(&path)).into_iter().flatten());
        } else if name == "Makefile" || [".rs", ".py", ".sh", ".cpp", ".h"].iter().any(|ending| name.ends_with(ending))
        {
            sources.push(path);
        }
    }
    sources.sort();
    sources
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
