//! Bodies that nobody has read to their end.
//!
//! Where a request is refused before its body is read, closing the connection at once would lose the answer: the system resets a
//! connection with unread data, and the caller sees the reset instead of the reason. So what still comes is read for a while and thrown away.

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use futures_util::{Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long what still comes is read.
const PATIENCE: Duration = Duration::from_secs(3);

/// The stream of a body whose rest is read and thrown away when it is dropped.
struct Lingering {
    body: Option<BodyDataStream>,
    most: u64,
    /// Whether the caller waits for a word before it sends anything: then it sends nothing if it is not asked to.
    waits: bool,
}

/// The same body; up to `most` bytes of what nobody has read are read when it is dropped.
pub(super) fn lingering(body: Body, headers: &HeaderMap, most: u64) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let waits = headers.contains_key(header::EXPECT);
    Body::from_stream(Lingering { body: Some(body.into_data_stream()), most, waits })
}

impl Stream for Lingering {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.waits = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let next = body.poll_next_unpin(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        next
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|_| !self.waits) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let most = self.most;
        let rest = async move {
            let mut read = 0;
            while let Some(Ok(piece)) = body.next().await {
                read += piece.len() as u64;
                if read > most {
                    break;
                }
            }
        };
        runtime.spawn(tokio::time::timeout(PATIENCE, rest));
    }
}
