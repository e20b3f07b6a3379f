//! Which choices of importance there are.

use super::Method;
use crate::importance::{Criterion, ImportanceSpec, Normalisation};
use crate::rejection::Rejection;

/// Only `sacp` has a choice. The default, and L1 that it was in version 0.1, is always allowed, since a spec as run holds it whatever its
/// method is.
pub(super) fn check(
    importance: ImportanceSpec,
    method: Method,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    if importance.criterion == Criterion::Reconstruction && importance.normalisation == Normalisation::Group {
        return invalid(
            "importance.normalisation",
            "`importance.normalisation` `group` weighs the tensors of a group, and the criterion `reconstruction` looks at none of \
             them: leave it out, or choose the criterion `l1`, `l2`, `bn_scale`, `fpgm` or `taylor`."
                .to_owned(),
        );
    }
    let defaults = [ImportanceSpec::default(), ImportanceSpec::plain(Criterion::L1)];
    if method == Method::Sacp || defaults.contains(&importance) {
        return Ok(());
    }
    let own = match method {
        Method::Config => "replays the channels of `config`",
        Method::GlobalL2 => "is defined by the L2 norm",
        Method::Uniform | Method::GlobalL1 | Method::Sacp => "is defined by the L1 norm",
    };
    let method = method.as_str();
    invalid("importance", format!("`importance` is for `method: \"sacp\"`; `{method}` {own}. Leave it out."))
}
