//! docs/spec.md against the code.

use std::path::Path;

use super::{secateur, stdout};

#[test]
fn the_committed_page_is_that_of_the_code() {
    let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spec.md")).unwrap();
    assert_eq!(
        committed.trim_end(),
        secateur::cli::spec_reference_page().trim_end(),
        "docs/spec.md has drifted: `cargo run -- spec-reference > docs/spec.md`"
    );
}

#[test]
fn the_command_prints_the_page() {
    let output = secateur().arg("spec-reference").output().unwrap();
    assert!(output.status.success());
    assert_eq!(stdout(&output).trim_end(), secateur::cli::spec_reference_page().trim_end());
}

#[test]
fn the_page_has_every_field_with_its_range_its_default_and_its_meaning() {
    let page = secateur::cli::spec_reference_page();
    for line in [
        "| `target` | [object](#target) | required | What is to be removed. |",
        "| `flops_reduction` | number, above 0 and below 1 | – | Share of the multiply-accumulates",
        "| `round_to` | whole number, 1 or more | `1` | Kept channel counts are multiples of this. |",
        "| `epochs` | whole number, 1 to 10000 | `30` | Epochs of the full fine-tune. |",
        "| `optimizer` | `auto`, `sgd`, `adamw` | `auto` |",
        "| `fine_tune.epochs` | `20` | `30` |",
        "| `fpgm` | Sum of a filter's distances to the layer's other filters",
    ] {
        assert!(page.contains(line), "{line} is missing:\n{page}");
    }
}

#[test]
fn no_field_and_no_word_is_without_a_meaning() {
    let page = secateur::cli::spec_reference_page();
    let silent: Vec<_> = page.lines().filter(|line| line.starts_with("| ") && line.ends_with("|  |")).collect();
    assert!(silent.is_empty(), "say what these mean where they are declared: {silent:#?}");
}
