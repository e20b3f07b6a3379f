//! Options of `secateur serve` about webhooks.

use clap::Args;

use crate::webhook::{Allow, WebhookOptions};

#[derive(Debug, Args)]
pub(super) struct WebhookArguments {
    /// A network, an address or a host's name inside that webhooks may be sent to, over plain HTTP and on any port too; may be given
    /// several times
    #[arg(long, env = "SECATEUR_WEBHOOK_ALLOW", value_name = "CIDR|HOST", value_delimiter = ',')]
    webhook_allow: Vec<Allow>,
}

impl WebhookArguments {
    pub(super) fn options(self) -> WebhookOptions {
        WebhookOptions { allow: self.webhook_allow, ..WebhookOptions::default() }
    }
}
