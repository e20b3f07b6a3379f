//! The method `config`: a configuration that an earlier job wrote, on the same model.

use crate::configuration::{Configuration, ReplayConfig};
use crate::group::Grouping;
use crate::rejection::{Code, Rejection};
use crate::surgery;

/// The channels that a replayed configuration keeps.
///
/// # Errors
/// [`Code::InvalidSpec`] when it does not fit the groups.
pub(super) fn replayed(grouping: &Grouping, config: &ReplayConfig) -> Result<Configuration, Rejection> {
    let invalid = |detail: String| Rejection::new(Code::InvalidSpec, detail).at("config");
    let known = |name: &String| grouping.groups().iter().any(|group| &group.name == name);
    if let Some(unknown) = config.groups.keys().find(|name| !known(name)) {
        return Err(invalid(format!("`config.groups` names `{unknown}`, but the network has no such group."))
            .hint("Replay it on the model that it was found for."));
    }
    let keep = grouping
        .groups()
        .iter()
        .map(|group| config.groups.get(&group.name).cloned().unwrap_or_else(|| (0..group.channels() as u32).collect()))
        .collect();
    let configuration = Configuration { keep };
    surgery::check(grouping, &configuration).map_err(|error| invalid(format!("`config` does not fit: {error}.")))?;
    Ok(configuration)
}
