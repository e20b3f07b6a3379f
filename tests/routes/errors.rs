//! docs/errors.md against the codes that problem documents and failed jobs may have.

use std::collections::BTreeMap;
use std::path::Path;

use secateur::http::every_error;

/// The paragraphs of the page by code.
fn paragraphs() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).unwrap();
    let mut found = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let (heading, text) = section.split_once('\n').expect("a heading is a line");
        let code = heading.strip_prefix('`').and_then(|code| code.strip_suffix('`'));
        let code = code.unwrap_or_else(|| panic!("the heading {heading:?} is no code between backticks"));
        // The next heading, of a group of codes, is not part of it.
        let text = text.split("\n## ").next().unwrap_or_default().trim();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(found.insert(code.to_owned(), words.join(" ")).is_none(), "`{code}` is on the page twice");
    }
    found
}

#[test]
fn every_code_has_a_paragraph_that_begins_with_its_status_and_title() {
    let paragraphs = paragraphs();
    for (status, code, title) in every_error() {
        let paragraph = paragraphs.get(code).unwrap_or_else(|| panic!("docs/errors.md has no heading `{code}`"));
        let (begin, needed) = (format!("{}, {title}. ", status.as_u16()), 60);
        assert!(paragraph.starts_with(&begin), "docs/errors.md, `{code}`: it has to begin with {begin:?}: {paragraph}");
        assert!(paragraph.len() > begin.len() + needed, "docs/errors.md, `{code}`: say what to do about it");
    }
}

#[test]
fn every_paragraph_is_of_a_code() {
    let codes: Vec<_> = every_error().map(|(_, code, _)| code).collect();
    assert!(codes.len() > 60, "the codes were not found: {codes:?}");
    let stale: Vec<_> = paragraphs().into_keys().filter(|code| !codes.contains(&code.as_str())).collect();
    assert!(stale.is_empty(), "docs/errors.md has paragraphs on what is no code: {stale:?}");
}
