//! The body of a request, which ends with an error when it comes too slowly.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

use super::pace::{Pace, Pacer};

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body came at less than {} bytes in {} seconds", .0.bytes, .0.within.as_secs())]
    TooSlow(Pace),
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl BodyError {
    /// The pace that a body did not keep, when that is somewhere in the chain of causes.
    pub fn pace_missed(error: &(dyn std::error::Error + 'static)) -> Option<Pace> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(Self::TooSlow(pace)) = error.downcast_ref::<Self>() {
                return Some(*pace);
            }
            cause = error.source();
        }
        None
    }
}

/// A body that must keep a pace.
#[derive(Debug)]
pub(super) struct PacedBody {
    incoming: Incoming,
    pace: Pace,
    pacer: Pacer,
    ended: bool,
}

impl PacedBody {
    pub(super) fn new(incoming: Incoming, pace: Pace) -> Self {
        Self { incoming, pace, pacer: Pacer::new(pace), ended: false }
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pacer.bring(frame.data_ref().map_or(0, Bytes::len));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => {
                self.ended = true;
                Poll::Ready(end.map(|frame| frame.map_err(BodyError::from)))
            }
            Poll::Pending => match self.pacer.poll_too_slow(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    self.ended = true;
                    Poll::Ready(Some(Err(BodyError::TooSlow(self.pace))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
