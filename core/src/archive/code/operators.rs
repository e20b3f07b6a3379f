//! The operators that a model may contain, one list for the pre-flight and for the engine.
//!
//! Source text names an operator without its overload, which only the types of the arguments tell. So the pre-flight refuses names of
//! which no overload is allowed, and the engine, which has the types, refuses overloads.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::rejection::QUANTIZED_HINT;

const LIST: &str = include_str!("operators.txt");

/// Parts of the language that the printer writes as operators; the evaluator handles them by itself.
const LANGUAGE: [&str; 1] = ["prim::RaiseException"];

static NAMES: LazyLock<HashSet<(&str, &str)>> = LazyLock::new(|| {
    let families = LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    families.flat_map(names_of_family).collect()
});

static WITH_OUT: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let families = LIST.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" : "));
    let with_out =
        families.filter(|(head, _)| head.split(' ').any(|overload| overload == "out" || overload.ends_with("_out")));
    with_out.flat_map(|(_, names)| names.split_whitespace()).collect()
});

/// `aten Tensor Scalar : add sub` has the names `aten::add` and `aten::sub`.
fn names_of_family(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let (head, names) = line.split_once(" : ").expect("a family has a colon between overloads and names");
    let (namespace, _overloads) = head.split_once(' ').expect("a family has a namespace and overloads");
    names.split_whitespace().map(move |name| (namespace, name))
}

/// Whether some overload of `namespace::name` is allowed.
pub(super) fn is_allowed(namespace: &str, name: &str) -> bool {
    NAMES.contains(&(namespace, name))
        || LANGUAGE.iter().any(|allowed| allowed.split_once("::") == Some((namespace, name)))
}

/// Whether an overload of `aten::name` with the argument `out` is allowed.
pub(super) fn may_have_out(name: &str) -> bool {
    WITH_OUT.contains(name)
}

/// What the user can do about an operator that is not allowed, where people are likely to meet it.
pub(super) fn hint(namespace: &str, name: &str) -> &'static str {
    match (namespace, name) {
        ("torchvision", _) => {
            "Export the backbone without the part that calls torchvision's C++ operators \
             (nms, roi_align, deform_conv2d): they are not supported."
        }
        ("quantized", _) => QUANTIZED_HINT,
        ("prim", "CreateObject" | "Enter" | "fork" | "awaitable") => {
            "Save the model with `torch.jit.trace`, which writes it without classes, context managers and tasks; of those, only \
             `torch.no_grad` and its like may stand in a scripted model."
        }
        ("aten", "stft" | "istft") => {
            "Compute the spectrogram outside of the model, or as a convolution with a basis of sines and cosines: complex numbers are \
             not supported."
        }
        ("aten", name) if name.starts_with("fft_") || name.contains("complex") => {
            "Complex numbers are not supported; export the part of the model that does without them."
        }
        ("aten", "_pack_padded_sequence" | "_pad_packed_sequence") => {
            "Give padded sequences to the recurrent layer, without `pack_padded_sequence`: how a packed one is laid out depends on the data."
        }
        ("aten", name) if name.contains("fake_quantize") || name.starts_with("quantize_") => QUANTIZED_HINT,
        _ => "Export the part of the model that does not call it.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_that_people_meet_has_a_hint_of_its_own() {
        let usual = hint("aten", "save");
        for name in ["stft", "fft_rfft2", "view_as_complex", "_pack_padded_sequence", "fake_quantize_per_tensor_affine"]
        {
            assert!(!is_allowed("aten", name) && hint("aten", name) != usual, "{name}");
        }
    }

    #[test]
    fn what_computes_is_allowed_and_what_reaches_files_or_memory_is_not() {
        for name in ["add", "conv2d", "_convolution", "linear", "layer_norm", "warn", "device"] {
            assert!(is_allowed("aten", name), "{name}");
        }
        assert!(is_allowed("prim", "NumToTensor") && is_allowed("prim", "RaiseException"));
        for name in ["save", "load", "from_file", "as_strided", "set_", "resize_", "sorted", "grad", "autograd"] {
            assert!(!is_allowed("aten", name), "{name}");
        }
        assert!(!is_allowed("prim", "rpc_async") && !is_allowed("inductor", "_alloc_from_pool"));
    }

    #[test]
    fn only_what_pytorchs_own_code_has_in_a_branch_may_write_into_an_argument_of_the_caller() {
        let mut names: Vec<&str> = WITH_OUT.iter().copied().collect();
        names.sort_unstable();
        assert_eq!(names, ["chain_matmul", "div", "frobenius_norm", "linalg_vector_norm", "norm", "nuclear_norm"]);
    }
}
