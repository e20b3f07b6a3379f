//! Ids: UUID v7 behind a prefix that says what they name, `job_0198c2f4…`. Parsed at the edge, trusted inside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid id: it must be `{prefix}` and 32 hexadecimal digits")]
pub struct InvalidId {
    pub text: String,
    pub prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(try_from = "String", into = "String")]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &str = $prefix;

            /// A new id, later in the order than every id made before on this machine.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix($prefix).filter(|digits| digits.len() == 32);
                digits.and_then(|digits| Uuid::try_parse(digits).ok()).map(Self).ok_or_else(|| InvalidId {
                    text: text.chars().take(100).collect(),
                    prefix: $prefix,
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }
    };
}

prefixed_id!(
    /// A job.
    JobId,
    "job_"
);
prefixed_id!(
    /// An uploaded model.
    ModelId,
    "mdl_"
);
prefixed_id!(
    /// An uploaded data set.
    DatasetId,
    "dst_"
);
prefixed_id!(
    /// A resumable upload.
    UploadId,
    "upl_"
);
prefixed_id!(
    /// A key of the API; not its secret.
    KeyId,
    "key_"
);
prefixed_id!(
    /// What a job's webhook is told once; the `webhook-id` of every attempt.
    DeliveryId,
    "dlv_"
);
prefixed_id!(
    /// A secret that signs deliveries; not the secret itself.
    WebhookSecretId,
    "whs_"
);
prefixed_id!(
    /// A task; seen in logs only.
    TaskId,
    "tsk_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = JobId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let model = ModelId::generate().to_string();
        let error = model.parse::<JobId>().unwrap_err();
        assert!(error.to_string().contains("must be `job_`"), "{error}");
    }
}
