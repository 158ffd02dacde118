//! A transport that loses, doubles, reorders, stalls and cuts, by a seeded plan.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use sandbox_agent_multiplayer::{
    Call, Caller, Connection, Error, ErrorKind, Frame, InProcess, Pushed, Result, Resume, Transport,
};
use sandbox_agent_sdk::Delivery;
use sandbox_agent_sdk::persist::RawValue;
use serde_json::json;
use tokio::time::sleep;

/// The dice of a plan, shared by all connections of a client.
#[derive(Clone)]
pub struct Dice {
    dice: Arc<Mutex<fastrand::Rng>>,
    /// Nothing goes wrong any more.
    calm: Arc<AtomicBool>,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { dice: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))), calm: Arc::default() }
    }

    pub fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Whether something of so many in a hundred happens.
    fn says(&self, percent: u32) -> bool {
        !self.calm.load(Ordering::Relaxed) && self.dice.lock().unwrap().u32(0..100) < percent
    }

    fn up_to(&self, most: u64) -> u64 {
        self.dice.lock().unwrap().u64(0..=most)
    }
}

pub struct Shaky {
    inner: InProcess,
    dice: Dice,
    pub connections: Arc<AtomicU32>,
    /// The calls that left.
    pub arrived: Arc<Mutex<Vec<Call>>>,
}

impl Shaky {
    pub fn new(inner: InProcess, dice: Dice) -> Self {
        Self { inner, dice, connections: Arc::default(), arrived: Arc::default() }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Disconnected, "the plan cut the connection")
}

#[async_trait]
impl Transport for Shaky {
    async fn connect(&self, resume: Resume) -> Result<Connection> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        if self.dice.says(20) {
            return Err(gone());
        }
        // Half of the hosts push from where the client is, the others from now on.
        let resume = if self.dice.says(50) { Resume::default() } else { resume };
        let Connection { calls, pushes, .. } = self.inner.connect(resume).await?;
        let calls = ShakyCalls { calls, dice: self.dice.clone(), arrived: self.arrived.clone() };
        Ok(Connection::new(calls, shaken(pushes, self.dice.clone())))
    }

    fn is_final(&self, error: &Error) -> bool {
        self.inner.is_final(error)
    }
}

struct Pushes {
    inner: BoxStream<'static, Pushed>,
    dice: Dice,
    /// Held back, to come later than what follows.
    late: Vec<Arc<Frame>>,
    out: Vec<Pushed>,
}

fn shaken(inner: BoxStream<'static, Pushed>, dice: Dice) -> BoxStream<'static, Pushed> {
    let pushes = Pushes { inner, dice, late: Vec::new(), out: Vec::new() };
    stream::unfold(pushes, |mut pushes| async {
        loop {
            if let Some(pushed) = pushes.out.pop() {
                return Some((pushed, pushes));
            }
            if pushes.dice.says(1) {
                return None;
            }
            if pushes.dice.says(1) {
                // No notice, and no frame any more.
                std::future::pending::<()>().await;
            }
            match pushes.inner.next().await? {
                Pushed::Frames(frames) => pushes.shake(frames),
                other => return Some((other, pushes)),
            }
        }
    })
    .boxed()
}

impl Pushes {
    fn shake(&mut self, frames: Vec<Arc<Frame>>) {
        let mut out = Vec::new();
        for frame in frames {
            if self.dice.says(10) {
                continue;
            }
            if self.dice.says(10) {
                self.late.push(frame.clone());
                if self.dice.says(70) {
                    continue;
                }
            }
            out.push(self.dressed(frame));
            if self.dice.says(30) {
                out.extend(self.late.drain(..).map(|frame| Pushed::Frames(vec![frame])));
            }
        }
        out.reverse();
        self.out = out;
    }

    fn dressed(&self, frame: Arc<Frame>) -> Pushed {
        let json = String::from_utf8(frame.json().to_vec()).unwrap();
        if self.dice.says(5) {
            let stub = json!({
                "sequence": frame.sequence, "from": frame.from, "type": "large", "bytes": json.len(),
            });
            return Pushed::Json(stub.to_string());
        }
        match self.dice.up_to(2) {
            0 => Pushed::Frames(vec![frame.clone(), frame]),
            1 => Pushed::Json(format!("[{json}]")),
            _ => Pushed::Json(json),
        }
    }
}

struct ShakyCalls {
    calls: Arc<dyn Caller>,
    dice: Dice,
    arrived: Arc<Mutex<Vec<Call>>>,
}

#[async_trait]
impl Caller for ShakyCalls {
    async fn call(&self, call: Call) -> Result<Box<RawValue>> {
        if self.dice.says(3) {
            return Err(gone().with_delivery(Delivery::NotSent));
        }
        self.arrived.lock().unwrap().push(call.clone());
        sleep(Duration::from_millis(self.dice.up_to(5))).await;
        let (lost, stuck) = (self.dice.says(4), self.dice.says(1));
        let answer = self.calls.call(call).await;
        if lost {
            return Err(gone());
        }
        if stuck {
            std::future::pending::<()>().await;
        }
        answer
    }
}
