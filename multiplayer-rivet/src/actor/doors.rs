//! Who comes in: asked once for each connection, and remembered here, where no client can change it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox_agent_multiplayer::{ConnectionRequest, Error, Member, Participant, Result, Workspace};
use serde_json::Value;

use super::host::Host;
use crate::cbor;

/// How many more may be known than are connected before those who are gone are looked for. A connection that
/// was let in and then broke before it was open is told of to nobody.
const FORGOTTEN: usize = 64;

/// Who is connected, by the connection's id.
#[derive(Debug, Default)]
pub(super) struct Doors {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    known: HashMap<String, Participant>,
    /// Those who look on, and show among those who are here once the workspace is open.
    seats: HashMap<String, Option<Member>>,
}

impl Doors {
    /// Who this connection is.
    pub(super) fn who(&self, connection: &str) -> Result<Participant> {
        self.inside()
            .known
            .get(connection)
            .cloned()
            .ok_or_else(|| Error::refused("this connection was let in by nobody; connect again"))
    }

    /// How many look on.
    pub(super) fn seats(&self) -> usize {
        self.inside().seats.len()
    }

    pub(super) fn closed(&self, connection: &str) {
        let seat = {
            let mut inside = self.inside();
            inside.known.remove(connection);
            inside.seats.remove(connection)
        };
        // Outside the lock: giving up a seat does more than that.
        drop(seat);
    }

    /// Nobody is here any more.
    pub(super) fn clear(&self) {
        let seats = {
            let mut inside = self.inside();
            inside.known.clear();
            std::mem::take(&mut inside.seats)
        };
        drop(seats);
    }

    /// Whoever had a seat in a workspace that is gone gets one in the next.
    pub(super) fn empty_seats(&self) {
        let seats: Vec<Option<Member>> = self.inside().seats.values_mut().map(Option::take).collect();
        drop(seats);
    }

    /// Nothing panics while it holds the lock, and the maps are whole at every step.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// Asks the hook who this is, and remembers it. The first one who is let in has the workspace opened:
    /// whoever makes an actor was asked for nothing yet, and must not start a sandbox by that.
    pub(super) async fn let_in(self: &Arc<Self>, connection: &str, params: &[u8]) -> Result<()> {
        let params: Value = match params {
            [] => Value::Null,
            params => cbor::read(params, "the connection's parameters")?,
        };
        let participant = self.authorize(&request(&self.key.id, params)).await?;
        self.begin_opening();
        let mut inside = self.doors.inside();
        inside.known.insert(connection.to_owned(), participant);
        if inside.known.len() > FORGOTTEN {
            let connected = self.engine.connections();
            if inside.known.len() > connected.len() + FORGOTTEN {
                inside.known.retain(|id, _| id == connection || connected.contains(id));
            }
        }
        Ok(())
    }

    /// Somebody looks on from now on, if they may.
    pub(super) fn take_seat(self: &Arc<Self>, connection: &str) -> Result<()> {
        let participant = self.doors.who(connection)?;
        if !participant.rights.can_see() {
            let who = &participant.person.id;
            return Err(Error::refused(format!(
                "{who:?} may not look on; ask the workspace's host for the right"
            )));
        }
        let first = {
            let mut inside = self.doors.inside();
            let first = !inside.seats.contains_key(connection);
            inside.seats.entry(connection.to_owned()).or_default();
            first
        };
        if first {
            let (host, connection) = (self.clone(), connection.to_owned());
            self.tasks.spawn(async move {
                // Where it can't be opened, whoever calls is told; the next that is opened has them.
                if let Ok(workspace) = host.workspace().await {
                    host.seat(&workspace, connection, participant).await;
                }
            });
        }
        Ok(())
    }

    pub(super) fn seat_all(self: &Arc<Self>, workspace: &Workspace) {
        let waiting: Vec<(String, Participant)> = {
            let inside = self.doors.inside();
            let without = inside.seats.iter().filter(|(_, seat)| seat.is_none());
            without.filter_map(|(id, _)| Some((id.clone(), inside.known.get(id)?.clone()))).collect()
        };
        for (connection, participant) in waiting {
            let (host, workspace) = (self.clone(), workspace.clone());
            self.tasks.spawn(async move { host.seat(&workspace, connection, participant).await });
        }
    }

    async fn seat(&self, workspace: &Workspace, connection: String, participant: Participant) {
        match workspace.seat(participant).await {
            Ok(member) => {
                // Two may have come here for one seat, or the connection may have gone meanwhile.
                let spare = match self.doors.inside().seats.get_mut(&connection) {
                    Some(seat) => seat.replace(member),
                    None => Some(member),
                };
                drop(spare);
            }
            Err(error) => {
                tracing::debug!(workspace = %self.key.id, %error, "that somebody is here could not be shown");
            }
        }
    }
}

/// What is known of somebody who connects.
fn request(workspace: &str, mut params: Value) -> ConnectionRequest {
    let token = params.as_object_mut().and_then(|params| params.remove("token"));
    let request = ConnectionRequest::new(workspace).params(params);
    match token {
        Some(Value::String(token)) => request.token(token),
        _ => request,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_token_is_no_parameter_among_others() {
        let asked = request("team/one", json!({ "token": "secret", "name": "ada" }));
        assert_eq!(asked.token.as_deref(), Some("secret"));
        assert_eq!(asked.params, json!({ "name": "ada" }));
        assert_eq!(asked.workspace, "team/one");
        assert_eq!(request("w", json!({ "token": 7 })).token, None);
        assert_eq!(request("w", Value::Null).token, None);
    }
}
