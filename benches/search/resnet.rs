//! The shapes that the search is measured on.

use secateur_core::testing::Net;

/// A network by name.
///
/// # Panics
/// When there is none of that name.
pub(crate) fn named(network: &str) -> Net {
    match network {
        "resnet18" => Net::resnet(&[3, 32, 32], &[64, 128, 256, 512], 2),
        "resnet56" => Net::resnet(&[3, 32, 32], &[16, 32, 64], 9),
        other => panic!("unknown network {other}: resnet18 or resnet56"),
    }
}
