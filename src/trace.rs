//! Distributed traces: a span of a request, of each of its job's tasks on whatever worker, and of the parts of a task, in one trace.
//!
//! The position in a trace travels as W3C Trace Context writes it, a `traceparent`: in the header of a request, then in the job's row, from
//! which the workers continue. Spans leave the process with the feature `otlp` only; without it nothing here does anything.

#[cfg(feature = "otlp")]
mod export;

#[cfg(feature = "otlp")]
pub use export::{Exporter, current, follow};

/// The position of the current span; `None` outside of a trace.
#[cfg(not(feature = "otlp"))]
pub fn current() -> Option<String> {
    None
}

/// Makes a span that was not entered yet continue the trace from `parent`, where that is one.
#[cfg(not(feature = "otlp"))]
pub fn follow(_span: &tracing::Span, _parent: Option<&str>) {}
