//! JSON from strangers, before it is parsed.

/// The deepest nesting that anything of ours is read with.
pub const DEEPEST: usize = 32;

/// How deep objects and arrays are nested in a text; it need not be valid JSON. Neither recursive nor allocating.
pub fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in text {
        if in_string {
            (in_string, escaped) = (byte != b'"' || escaped, byte == b'\\' && !escaped);
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn nesting_is_counted_and_brackets_in_texts_are_not() {
        assert_eq!(depth(b"7"), 0);
        assert_eq!(depth(br#"{"a": [1, {"b": []}], "c": {}}"#), 4);
        assert_eq!(depth(br#"{"a": "[[[", "b\"[": "\\", "c": [1]}"#), 2);
        assert_eq!(depth(&vec![b'['; 1_000_000]), 1_000_000);
    }
}
