//! Quoting: what of a request or a file is told back to people, and to the log.

/// Characters of one value.
pub(crate) const LONGEST_VALUE: usize = 200;
/// Characters of one text with values in it.
pub(crate) const LONGEST_TEXT: usize = 1000;

/// The begin of a text that may be long.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A text as a terminal may show it: cut, and with control characters and marks that change the direction of writing spelt out.
pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * longest));
    for character in text.chars().take(longest) {
        if character.is_control() || is_invisible(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// Unicode's marks for the direction of writing, line and paragraph separators, and what has no width.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äöü…");
        assert_eq!(printable("äöüß", 3), "äöü…");
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelt_out() {
        assert_eq!(printable("a\u{1b}[31mb\u{202e}c\nd", 100), "a\\u{1b}[31mb\\u{202e}c\\u{a}d");
        assert_eq!(printable("größer → ∞ 漢字", 100), "größer → ∞ 漢字");
    }
}
