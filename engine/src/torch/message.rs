//! libtorch's messages, as far as they are for users.
//!
//! libtorch writes for its own developers: C++ stack traces, addresses, the paths of the machine that it was built on, lists of
//! everything that is registered. A user is told the sentence that says what is wrong; the rest belongs in the task's log.

use secateur_core::plain_text;

const LONGEST: usize = 1000;

/// What follows these is for developers.
const ASIDES: [&str; 5] = [
    " This could be because the operator doesn't exist for this backend",
    " If you are a Facebook employee",
    " (no backtrace available)",
    " Exception raised from ",
    " please report a bug to PyTorch.",
];

/// The first line of a message without what means nothing outside of libtorch.
pub fn brief(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line = without_enforcement(line);
    let line = without_assertion(&line);
    let end = ASIDES.iter().filter_map(|aside| line.find(aside)).min().unwrap_or(line.len());
    let words: Vec<String> = line[..end].trim_end().split(' ').map(without_place).collect();
    plain_text::line_within(&words.join(" "), LONGEST)
}

/// `[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: …`
fn without_enforcement(line: &str) -> String {
    let Some(start) = line.find("[enforce fail at ") else { return line.to_owned() };
    let Some(length) = line[start..].find("] ") else { return line.to_owned() };
    format!("{}{}", &line[..start], &line[start + length + 2..])
}

/// `isTensor() INTERNAL ASSERT FAILED at "/…/ivalue_inl.h":1965, please report a bug to PyTorch. Expected Tensor but got Int`
fn without_assertion(line: &str) -> String {
    const FAILED: &str = " INTERNAL ASSERT FAILED at ";
    const REPORT: &str = "please report a bug to PyTorch.";
    let Some((before, after)) = line.split_once(FAILED) else { return line.to_owned() };
    let reason = after.split_once(REPORT).map_or("", |(_, reason)| reason.trim());
    format!("{before} does not hold. {reason}").trim_end().to_owned()
}

/// A word without the folders of an absolute path, and without the digits of an address.
fn without_place(word: &str) -> String {
    let bare = word.trim_start_matches(['"', '\'', '(', '`']);
    let opening = &word[..word.len() - bare.len()];
    if bare.len() > 1 && bare.starts_with('/') && bare[1..].contains('/') {
        let name = bare.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
        return format!("{opening}{name}");
    }
    if let Some(digits) = bare.strip_prefix("0x") {
        let end = digits.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(digits.len());
        if end > 3 {
            return format!("{opening}0x…{}", &digits[end..]);
        }
    }
    word.to_owned()
}

/// Whether a message of libtorch is that of an allocation that failed.
pub fn is_out_of_memory(message: &str) -> bool {
    ["DefaultCPUAllocator", "CUDA out of memory", "std::bad_alloc", "CUBLAS_STATUS_ALLOC_FAILED"]
        .iter()
        .any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::brief;

    #[test]
    fn the_sentence_that_says_what_is_wrong_is_left() {
        for (message, expected) in [
            (
                "mat1 and mat2 shapes cannot be multiplied (2x5 and 4x4)\nException raised from meta at /pytorch/aten/a.cpp:21 \
              (most recent call first):\nframe #0: c10::Error",
                "mat1 and mat2 shapes cannot be multiplied (2x5 and 4x4)",
            ),
            (
                "Could not run 'aten::empty.memory_format' with arguments from the 'CUDA' backend. This could be because the \
              operator doesn't exist for this backend, or was omitted. 'aten::empty' is only available for these backends: \
              [CPU, Meta, QuantizedCPU]",
                "Could not run 'aten::empty.memory_format' with arguments from the 'CUDA' backend.",
            ),
            (
                "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory",
                "err == 0. DefaultCPUAllocator: can't allocate memory",
            ),
            (
                "isTensor() INTERNAL ASSERT FAILED at \"/pytorch/aten/src/ATen/core/ivalue_inl.h\":1965, please report a bug to \
              PyTorch. Expected Tensor but got Int",
                "isTensor() does not hold. Expected Tensor but got Int",
            ),
            (
                "an object at 0x7f3a5c001234, in \"/srv/build/lib/libtorch.so\" (/root/x/y)",
                "an object at 0x…, in \"libtorch.so\" (y)",
            ),
            (
                "\n  `aten::add` in `fc` (code/__torch__.py:12) takes 1/2 of 0x1F\n",
                "`aten::add` in `fc` (code/__torch__.py:12) takes 1/2 of 0x1F",
            ),
            ("", ""),
        ] {
            assert_eq!(brief(message), expected);
        }
    }

    #[test]
    fn it_is_short_and_harmless() {
        let message = brief(&format!("\u{1b}[2J{}", "é".repeat(100_000)));
        assert!(message.starts_with("\\u001b[2J") && message.chars().count() == 1001, "{}", message.len());
    }
}
