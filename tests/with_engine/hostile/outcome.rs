//! What came of one attack, in the words of the table.

use secateur::engine::Exit;

use crate::hostile::canary::Trace;

/// How an engine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Refused(String),
    /// By its own word, not the model's fault.
    Failed(String),
    /// A signal, a limit of memory, the end of its time.
    Died(String),
}

#[derive(Debug)]
pub(super) struct Seen {
    pub name: String,
    pub end: End,
    pub traces: Vec<Trace>,
    /// Processes that are still there.
    pub left: Vec<String>,
}

impl End {
    pub(super) fn of(exit: &Exit) -> Self {
        match exit {
            Exit::Done { .. } => Self::Done,
            Exit::Rejected(rejection) => Self::Refused(rejection.code.as_str().to_owned()),
            Exit::Failed(message) => Self::Failed(message.clone()),
            other => Self::Died(format!("{other:?}")),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Done => "passes".to_owned(),
            // Which limit comes first is a matter of the machine's load.
            Self::Refused(code) if code == "out_of_memory" || code == "timed_out" => "stopped".to_owned(),
            Self::Refused(code) => format!("refused: `{code}`"),
            Self::Failed(_) => "fails".to_owned(),
            Self::Died(_) => "stopped".to_owned(),
        }
    }
}

impl Seen {
    /// In the column of a layer that refuses.
    pub(super) fn refusal(&self) -> String {
        match self.made() {
            Some(made) => format!("too late: {made}"),
            None => self.end.words(),
        }
    }

    /// In the column of the layer that holds.
    pub(super) fn holding(&self) -> String {
        if self.is_held() { "held".to_owned() } else { format!("**escaped**: {}", self.doing()) }
    }

    pub(super) fn is_held(&self) -> bool {
        self.traces.is_empty() && self.left.is_empty()
    }

    /// In the column without any layer.
    pub(super) fn doing(&self) -> String {
        self.made().unwrap_or_else(|| match &self.end {
            End::Done => "runs".to_owned(),
            end => end.words(),
        })
    }

    fn made(&self) -> Option<String> {
        let words = self.traces.iter().map(|trace| match trace {
            Trace::Made => "a file is made",
            Trace::Overwritten => "a file is overwritten",
            Trace::Read => "a file is read",
        });
        let words: Vec<&str> = words.collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}
