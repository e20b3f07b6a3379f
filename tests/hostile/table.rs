//! `table.md`: attack by layer alone, with a summary by family at its head. Each test looks at its own column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::catalogue::Attack;

/// Set to write the table instead of comparing with it; then the tests must run one after another.
const WRITE: &str = "SECATEUR_WRITE_HOSTILE_TABLE";
const HEAD: &str = "| attack | what it does | pre-flight alone | operators alone | sandbox alone | no layer |\n|---|---|---|---|---|---|\n";
const SUMMARY_HEAD: &str = "| attacks | | refused by pre-flight alone | refused by the operator list and the evaluator alone | held by the sandbox alone | come through without any |\n|---|---|---|---|---|---|\n";
/// Where the security page holds the summary, when it does.
const PLACE: (&str, &str) = ("<!-- attacks: begin, written by `make hostile-table` -->\n", "<!-- attacks: end -->");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Preflight,
    Operators,
    Sandbox,
    Nothing,
}

/// The cells of one attack, by column.
type Cells = [String; 4];
type Rows = BTreeMap<String, Cells>;

impl Column {
    /// Compares what was seen with what the table says of these attacks.
    ///
    /// # Panics
    /// When they differ.
    pub(crate) fn compare(self, attacks: &[Attack], seen: BTreeMap<String, String>) {
        let mut rows = read();
        if is_written_anew() {
            rows.retain(|name, _| attacks.iter().any(|attack| attack.name == *name));
            for (name, cell) in seen {
                rows.entry(name).or_default()[self as usize] = cell;
            }
            write(attacks, &rows);
            return;
        }
        let written = |name: &str| rows.get(name).map_or("", |cells| &cells[self as usize]);
        let differ = |(name, cell): (&String, &String)| {
            let line = || format!("{name}: {cell}, and the table says `{}`", written(name));
            (!agree(written(name), cell)).then(line)
        };
        let differing: Vec<String> = seen.iter().filter_map(differ).collect();
        assert!(
            differing.is_empty(),
            "{} cells of {self:?} differ from tests/hostile/table.md (`make hostile-table` writes it anew):\n{}",
            differing.len(),
            differing.join("\n")
        );
    }
}

/// Whether two cells say the same. Whether a limit of time or memory, or a crash, comes before the end that a program would have
/// otherwise is a matter of the machine's load, so what was stopped agrees with every end that left no trace.
fn agree(written: &str, seen: &str) -> bool {
    let leaves_a_trace = |cell: &str| cell.contains("a file is");
    let one_was_stopped = written == "stopped" || seen == "stopped";
    written == seen || (one_was_stopped && !leaves_a_trace(written) && !leaves_a_trace(seen))
}

pub(crate) fn is_written_anew() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// The part of the security page that the table is summed up in, as it is and as it should be; `None` when it has no such part.
pub(crate) fn security_page(attacks: &[Attack]) -> Option<(String, String)> {
    let text = std::fs::read_to_string(in_repository("docs/security.md")).ok()?;
    let (_, rest) = text.split_once(PLACE.0)?;
    let (written, _) = rest.split_once(PLACE.1)?;
    Some((written.to_owned(), summary(attacks, &read())))
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read() -> Rows {
    let text = std::fs::read_to_string(in_repository("tests/hostile/table.md")).unwrap_or_default();
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells.first()?.strip_prefix('`')?.strip_suffix('`')?;
        let cells: Cells = std::array::from_fn(|column| cells.get(column + 2).copied().unwrap_or_default().to_owned());
        Some((name.to_owned(), cells))
    };
    text.lines().filter_map(row).collect()
}

fn write(attacks: &[Attack], rows: &Rows) {
    let summary = summary(attacks, rows);
    let mut text = format!(
        "# Attacks by layer\n\nWritten by `make hostile-table`; `tests/hostile/mod.rs` says what the columns mean.\n\n{summary}"
    );
    for family in families(attacks) {
        text += &format!("\n## {family}\n\n{HEAD}");
        for attack in attacks.iter().filter(|attack| attack.family == family) {
            let cells = rows.get(&attack.name).cloned().unwrap_or_default();
            text += &format!("| `{}` | {} | {} |\n", attack.name, attack.says, cells.join(" | "));
        }
    }
    std::fs::write(in_repository("tests/hostile/table.md"), text).unwrap();

    let page = in_repository("docs/security.md");
    let Ok(text) = std::fs::read_to_string(&page) else { return };
    if let Some((before, rest)) = text.split_once(PLACE.0)
        && let Some((_, after)) = rest.split_once(PLACE.1)
    {
        std::fs::write(page, format!("{before}{}{summary}{}{after}", PLACE.0, PLACE.1)).unwrap();
    }
}

/// In the order of the catalogue.
fn families(attacks: &[Attack]) -> Vec<&str> {
    let mut families: Vec<&str> = Vec::new();
    for attack in attacks {
        if !families.contains(&attack.family.as_str()) {
            families.push(&attack.family);
        }
    }
    families
}

fn summary(attacks: &[Attack], rows: &Rows) -> String {
    let mut text = SUMMARY_HEAD.to_owned();
    let mut total = [0; 5];
    for family in families(attacks) {
        let cells = attacks.iter().filter(|attack| attack.family == family).filter_map(|attack| rows.get(&attack.name));
        let cells: Vec<&Cells> = cells.collect();
        let count = |column: Column, holds: fn(&str) -> bool| {
            cells.iter().filter(|cells| holds(&cells[column as usize])).count()
        };
        let counts = [
            cells.len(),
            count(Column::Preflight, is_refused),
            count(Column::Operators, is_refused),
            count(Column::Sandbox, |cell| cell == "held"),
            count(Column::Nothing, |cell| !is_refused(cell)),
        ];
        text += &summary_line(family, counts);
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    text + &summary_line("**all**", total)
}

fn summary_line(name: &str, counts: [usize; 5]) -> String {
    format!("| {name} | {} |\n", counts.map(|count| count.to_string()).join(" | "))
}

fn is_refused(cell: &str) -> bool {
    cell.starts_with("refused")
}
