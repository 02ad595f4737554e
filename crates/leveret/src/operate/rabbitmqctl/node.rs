//! Commands that stop, start and empty a node of RabbitMQ: what of that is there for one broker.
//!
//! RabbitMQ's `stop_app` ends the broker and lets its Erlang machine live; clients' test suites call it, and `start_app`, to see how they connect again.
//! Here there is only the process, which whoever started it ends: `stop_app` closes the listeners for clients and every connection, as RabbitMQ does, and
//! `start_app` opens the listeners again. What serves HTTP goes on, as else nobody could ask for that. `reset` would take everything from a running broker with one word, and is refused.

use serde_json::{Value, json};

use super::super::client::{Client, ClientError};
use super::super::requests::{Ask, part};
use super::words::Words;
use super::{Action, Command, CtlError};

/// All of them.
pub(super) const COMMANDS: [&str; 6] = [
    "stop_app",
    "start_app",
    "suspend_listeners",
    "resume_listeners",
    "reset",
    "force_reset",
];

/// Is there while clients cannot connect.
const SUSPENDED: &str = "/leveret/listeners/suspended";

/// What clients are told, as by RabbitMQ.
const REASON: &str = "broker forced connection closure with reason 'shutdown'";

/// The command, if it is one of these.
pub(super) fn understand(words: &Words, client: &Client) -> Result<Option<Command>, CtlError> {
    let name = words.command.as_str();
    if !COMMANDS.contains(&name) {
        return Ok(None);
    }
    words.exactly::<0>().map_err(CtlError::Usage)?;
    let told = client.request(&Ask::get("/overview", &[]))?;
    let node = told["node"].as_str().unwrap_or_default();
    let suspend = || Ask::put(SUSPENDED, json!({}));
    let resume = || Ask::delete(SUSPENDED);
    let (banner, asks) = match name {
        "stop_app" => {
            client.request(&suspend())?;
            close_all(client)?;
            let banner = format!("Stopping rabbit application on node {node} ...");
            (banner, Vec::new())
        }
        "start_app" => (format!("Starting node {node} ..."), vec![resume()]),
        "suspend_listeners" => (
            format!(
                "Will suspend client connection listeners on node {node}. The node will no longer accept client connections!"
            ),
            vec![suspend()],
        ),
        "resume_listeners" => (
            format!(
                "Will resume client connection listeners on node {node}. The node will now accept client connections"
            ),
            vec![resume()],
        ),
        _ => {
            return Err(CtlError::NotHere(format!(
                "node {node} is not emptied by a command: stop it, and remove its data folder"
            )));
        }
    };
    let action = Action::Change(asks);
    Ok(Some(Command { banner, action }))
}

/// Closes every connection that is open. One that has gone meanwhile is as good.
fn close_all(client: &Client) -> Result<(), CtlError> {
    let told = client.request(&Ask::get("/connections", &[]))?;
    let all = told.as_array().map(Vec::as_slice).unwrap_or_default();
    for name in all.iter().filter_map(|told: &Value| told["name"].as_str()) {
        let mut ask = Ask::delete(format!("/connections/{}", part(name)));
        ask.reason = Some(REASON.to_owned());
        match client.request(&ask) {
            Ok(_) | Err(ClientError::Refused { status: 404, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
