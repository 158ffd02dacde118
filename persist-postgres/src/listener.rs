//! The listening connection: one for each driver, replaced when it breaks.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::StreamExt;
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Error};

use crate::error::{failed, silent};
use crate::follow::{Listening, UNKNOWN, Waits};
use crate::server::{Messages, Server, Unfit};

/// Between two looks whether the connection is alive and who has stopped waiting.
const LOOK: Duration = Duration::from_secs(15);
/// For how long the server may take to answer on this connection, where nothing takes long.
const ANSWER: Duration = Duration::from_secs(10);
/// A connection that lasted for so long was a good one.
const GOOD: Duration = Duration::from_secs(30);

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// With the pauses above, about half a minute.
const TRIES: usize = 12;

pub(crate) struct Listener {
    pub(crate) server: Server,
    pub(crate) channel: String,
    pub(crate) followed: String,
    pub(crate) waits: Arc<Waits>,
    pub(crate) tell: watch::Sender<Listening>,
}

impl Listener {
    /// Listens until the task is aborted, or no connection can be had.
    pub(crate) async fn run(self) {
        let mut pauses = pauses();
        loop {
            let began = Instant::now();
            let broken = self.listen().await;
            if began.elapsed() > GOOD {
                pauses = self::pauses();
            }
            match pauses.next() {
                Some(pause) if broken.is_unavailable() => {
                    self.tell.send_replace(Listening::NotYet);
                    sleep(pause).await;
                }
                _ => {
                    self.tell.send_replace(Listening::GivenUp(broken.kind(), broken.to_string()));
                    return;
                }
            }
        }
    }

    /// Listens on one connection until it breaks, and gives why.
    async fn listen(&self) -> PersistError {
        let connecting = timeout(self.server.connect_timeout(), self.server.connect());
        let (client, mut messages) = match connecting.await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return failed(&self.server.shown, error),
            Err(_) => return silent(&self.server.shown),
        };
        // Reading is what moves the connection on, so that both go on side by side.
        tokio::select! {
            broken = self.hear(&mut messages) => broken,
            Err(broken) = self.keep(&client) => broken,
        }
    }

    /// Passes on what is heard, until there is no more.
    async fn hear(&self, messages: &mut Messages) -> PersistError {
        while let Some(message) = messages.next().await {
            match message {
                Ok(AsyncMessage::Notification(heard)) => match heard.payload().split_once(' ') {
                    Some((index, session_id)) => {
                        self.waits.tell(session_id, index.parse().unwrap_or(UNKNOWN));
                    }
                    None => self.waits.tell_all(),
                },
                Ok(_) => {}
                Err(error) => return failed(&self.server.shown, error),
            }
        }
        silent(&self.server.shown)
    }

    /// Begins to listen, says so, and looks after the connection for as long as it is good.
    async fn keep(&self, client: &Client) -> Result<(), PersistError> {
        let settled = timeout(ANSWER, self.server.settle(client)).await;
        settled.map_err(|_| silent(&self.server.shown))?.map_err(|unfit| match unfit {
            Unfit::Failed(error) => failed(&self.server.shown, error),
            Unfit::Refused(why) => {
                PersistError::new(PersistErrorKind::Other, format!("{} {why}", self.server.shown))
            }
        })?;
        let (channel, followed) = (&self.channel, &self.followed);
        // Those of connections that are gone are for nobody.
        self.answer(client.batch_execute(&format!(
            "LISTEN \"{channel}\";
             DELETE FROM {followed} WHERE listener NOT IN (SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL)"
        )))
        .await?;
        let row = self.answer(client.query_one("SELECT pg_backend_pid()", &[])).await?;
        let listener: i32 = row.try_get(0).map_err(|error| failed(&self.server.shown, error))?;
        // Everybody who waits looks at the store again, now that nothing is missed.
        self.tell.send_replace(Listening::On(listener));
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.leave_idle(client, listener).await?;
        }
    }

    /// Takes the sessions for which nobody waits any more off the server's list. Answered at all, it
    /// shows that the connection is alive.
    async fn leave_idle(&self, client: &Client, listener: i32) -> Result<(), PersistError> {
        let _nobody_enters = self.waits.leaving.write().await;
        let idle = self.waits.take_idle();
        let idle: Vec<&str> = idle.iter().map(|id| &**id).collect();
        let sql = format!("DELETE FROM {} WHERE listener = $1 AND session_id = ANY ($2)", self.followed);
        self.answer(client.execute(&sql, &[&listener, &idle])).await.map(drop)
    }

    async fn answer<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, PersistError> {
        let answered = timeout(ANSWER, call).await;
        answered.map_err(|_| silent(&self.server.shown))?.map_err(|error| failed(&self.server.shown, error))
    }
}

/// How long to wait before each next try.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .with_max_times(TRIES)
        .build()
}
