//! The listeners for clients may be closed for a while, as by RabbitMQ's `suspend_listeners`. The program around the broker owns them: it is told what
//! is wished, and answers when it is so.

use axum::http::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot};

use crate::caller::Caller;
use crate::refusal::Refusal;

/// How it is to be from now on.
#[derive(Debug)]
pub struct Wish {
    /// Whether clients can connect.
    pub listens: bool,
    /// Takes the outcome; why it cannot be so.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// Takes wishes, one after the other. Where nobody grants them any more, the program ends.
pub type Wishes = mpsc::Sender<Wish>;

/// `PUT` and `DELETE /leveret/listeners/suspended`: 204, when the listeners for clients are closed, or open again. Connections go on. 503 where an address cannot be
/// listened on any more; then none is.
pub(crate) async fn suspend(caller: Caller, method: Method) -> Result<StatusCode, Refusal> {
    caller.must_administrate()?;
    let (done, outcome) = oneshot::channel();
    let listens = method == Method::DELETE;
    let ending = || Refusal::unavailable("the broker is about to end");
    let wishes = &caller.api.node.wishes;
    let sent = wishes.send(Wish { listens, done }).await;
    sent.map_err(|_| ending())?;
    let outcome = outcome.await.map_err(|_| ending())?;
    outcome.map_err(Refusal::unavailable)?;
    Ok(StatusCode::NO_CONTENT)
}
