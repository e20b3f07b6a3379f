//! `secateur openapi`

use clap::Args;

use super::CliError;
use crate::http::openapi_document;

#[derive(Debug, Args)]
pub(super) struct OpenapiArguments {
    /// As JSON instead of YAML
    #[arg(long)]
    json: bool,
}

pub(super) fn print(arguments: &OpenapiArguments) -> Result<(), CliError> {
    let document = openapi_document();
    let text = if arguments.json {
        document.to_pretty_json().map_err(CliError::new)?
    } else {
        document.to_yaml().map_err(CliError::new)?
    };
    super::print(&text);
    Ok(())
}
