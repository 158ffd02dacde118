//! Bringing about, on purpose, what goes wrong on the real server and on the way to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;

use super::core::Core;
use super::plan::{Events, Fate, Loss, On, Plan, Scope};
use super::stream::Mood;

/// Brings about faults on a running sandbox.
///
/// A fault concerns every server id, or one after [`on`](Self::on). What is planned (“the
/// next …”) waits until it happens, in the order of the calls; [`unspent`](Self::unspent) tells
/// how much still waits, so that a test can prove that its fault did happen.
///
/// What goes wrong on the real server, to which the numbers in the descriptions refer:
///
/// 1. A POST is not the answer: past the server's limit it hangs, and the response comes over
///    SSE alone.
/// 2. The live channel holds 512 events, the ring 1024; a reader that lags is skipped ahead
///    in silence, and only the jump in ids tells.
/// 3. A GET snapshots the ring and then subscribes, so an event may be missing or come twice.
///    Around an exit, ids can arrive out of order.
/// 4. Ids begin at 1 again with a new process under the same server id.
/// 5. An exit is told over SSE at once, while the POST in flight fails at its limit only.
///    Afterwards every POST is a 502 until the DELETE.
/// 6. A DELETE of a live agent hangs until the client gives up.
/// 7. Two requests in flight with one JSON-RPC id hang both.
/// 8. A body over 2 MiB is a 413 in plain text.
/// 9. What the client sends is not echoed on the stream.
/// 10. Output that is no JSON becomes `_adapter/invalid_stdout`.
/// 11. A connection can die without an error; missing heartbeats are the sign.
/// 12. One event can be many MiB.
///
/// All but 2, 3, 11 and the network need no fault: the sandbox does them when they are due.
#[derive(Clone)]
pub struct Faults {
    core: Arc<Core>,
    scope: Scope,
}

/// The sandbox has no agent process under this server id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchServer(String);

impl fmt::Display for NoSuchServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no agent process under the server id {:?}; POST to it first", self.0)
    }
}

impl std::error::Error for NoSuchServer {}

impl Faults {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, scope: None }
    }

    /// The same, for one server id only.
    #[must_use]
    pub fn on(&self, server_id: impl Into<String>) -> Self {
        Self { core: self.core.clone(), scope: Some(server_id.into()) }
    }

    fn plan(&self, add: impl FnOnce(&mut Plan, Scope)) {
        add(&mut self.core.plan(), self.scope.clone());
    }

    /// How many planned faults have not fully happened yet.
    pub fn unspent(&self) -> usize {
        self.core.plan().len()
    }

    /// Forgets all planned faults, of every server id, and lets stalled streams flow.
    pub fn clear(&self) {
        *self.core.plan() = Plan::default();
        self.core.streams.resume(&None);
    }

    /// Loses events on the live channel; the ring keeps them, so a reader that sees the jump
    /// in ids gets them with `Last-Event-ID`. (2: the server skips a slow reader ahead.)
    pub fn lose(&self, events: Events) {
        self.plan(|plan, scope| plan.losses.push((scope, events, Loss::Live)));
    }

    /// Loses events on the live channel and in the ring: they can't be had again.
    /// (2: the ring had rolled on.)
    pub fn lose_for_good(&self, events: Events) {
        self.plan(|plan, scope| plan.losses.push((scope, events, Loss::Everywhere)));
    }

    /// The next GET snapshots the ring, then waits until these events have happened, and only
    /// then sends its headers and the live stream: they are in the ring, but not in this
    /// stream. Waits 10 s at most. (3: the server snapshots before it subscribes.)
    ///
    /// `Events::responses(1)` loses the response of a turn: no later id betrays it.
    pub fn lose_at_subscribe(&self, events: Events) {
        self.plan(|plan, scope| plan.races.push((scope, events)));
    }

    /// The next GET gives the last `count` events up to its `Last-Event-ID` once more.
    /// (3: an event may come twice at a reconnect.)
    pub fn repeat_at_subscribe(&self, count: u64) {
        self.plan(|plan, scope| plan.repeats.push((scope, count)));
    }

    /// The next agent exit overtakes the event before it, if that came within 50 ms: the
    /// stream shows the higher id first. (3: around an exit, ids can arrive out of order.)
    pub fn reorder_at_exit(&self) {
        self.plan(|plan, scope| plan.reorders.push(scope));
    }

    /// Breaks every open stream in the midst of its body. (The network.)
    pub fn cut_streams(&self) {
        self.core.streams.set(&self.scope, Mood::Cut);
    }

    /// Resets every connection, of every server id: streams, and POSTs in flight. (The network.)
    pub fn cut_connections(&self) {
        self.core.lines.cut_all();
    }

    /// Breaks the first stream that has delivered the event with this id, or a later one.
    /// (The network.)
    pub fn cut_stream_at(&self, id: u64) {
        self.plan(|plan, scope| plan.cuts.push((scope, id)));
    }

    /// Every open stream goes silent: no events, no heartbeats, no end. New ones work.
    /// (11: a connection that died without an error.)
    pub fn stall_streams(&self) {
        self.core.streams.set(&self.scope, Mood::Stalled);
    }

    /// The next stream that opens sends its headers and then nothing at all.
    /// (11: a connection that died without an error.)
    pub fn stall_next_stream(&self) {
        self.plan(|plan, scope| plan.stalls.push(scope));
    }

    /// Lets stalled streams flow again. They skip what the channel no longer holds. (2)
    pub fn resume_streams(&self) {
        self.core.streams.resume(&self.scope);
    }

    /// Plans what becomes of the next request of this kind.
    pub fn next(&self, on: On) -> RequestFault {
        RequestFault { faults: self.clone(), on, times: 1 }
    }

    /// Ends an agent process as if it had exited with this code. (5)
    ///
    /// # Errors
    /// When there is none under this server id.
    pub fn kill_agent(&self, server_id: &str, code: i32) -> Result<(), NoSuchServer> {
        self.process(server_id)?.outlet.set_exit(code);
        Ok(())
    }

    /// Drops a server id with its process, without a word: its streams end, a GET is a 404, the
    /// next POST begins a new process. (4: what a restarted server looks like.)
    ///
    /// # Errors
    /// When there is none under this server id.
    pub fn forget(&self, server_id: &str) -> Result<(), NoSuchServer> {
        let process = self.process(server_id)?;
        process.outlet.close();
        self.core.processes().remove(server_id);
        self.core.changed();
        Ok(())
    }

    /// Sends bytes on the open streams of a server id, as they are: broken SSE, invalid UTF-8,
    /// an event whose data is no JSON. (10, 12)
    ///
    /// # Errors
    /// When there is no process under this server id.
    pub fn send_bytes(&self, server_id: &str, bytes: impl Into<Vec<u8>>) -> Result<(), NoSuchServer> {
        let bytes = Bytes::from(bytes.into());
        self.process(server_id)?.outlet.raw(bytes);
        Ok(())
    }

    /// Takes a line as if the agent had written it, out of the blue: it gets an id, and a line
    /// that is not JSON becomes `_adapter/invalid_stdout`. (10)
    ///
    /// # Errors
    /// When there is no process under this server id.
    pub fn agent_writes(&self, server_id: &str, line: &str) -> Result<(), NoSuchServer> {
        self.process(server_id)?.outlet.line(line);
        Ok(())
    }

    fn process(&self, server_id: &str) -> Result<Arc<super::process::Process>, NoSuchServer> {
        self.core.process(server_id).ok_or_else(|| NoSuchServer(server_id.to_owned()))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("scope", &self.scope).field("unspent", &self.unspent()).finish()
    }
}

/// What becomes of the next requests of a kind; see [`Faults::next`].
#[must_use = "nothing is planned before the fault is named"]
#[derive(Debug)]
pub struct RequestFault {
    faults: Faults,
    on: On,
    times: u64,
}

impl RequestFault {
    /// The next `count` such requests, rather than one.
    pub fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }

    fn plan(self, fate: Fate) {
        let Self { faults, on, times } = self;
        if times > 0 {
            faults.plan(|plan, scope| plan.requests.push((scope, on, times, fate)));
        }
    }

    /// Answers with this, and does nothing else. (What a proxy in front does; 413 is 8.)
    pub fn answer(self, status: u16, content_type: impl Into<String>, body: impl Into<Vec<u8>>) {
        let (content_type, body) = (content_type.into(), body.into());
        self.plan(Fate::Answer { status, content_type, body });
    }

    /// Answers that much later. The agent gets the message at once. (1)
    pub fn delay(self, time: Duration) {
        self.plan(Fate::Delay(time));
    }

    /// Never answers. The agent gets the message, and its response comes over SSE. (1)
    pub fn hang(self) {
        self.plan(Fate::Hang);
    }

    /// Never answers, and the agent never gets the message. (The network.)
    pub fn hang_undelivered(self) {
        self.plan(Fate::HangUndelivered);
    }

    /// Resets the connection before the agent gets the message. (The network.)
    pub fn cut_before_delivery(self) {
        self.plan(Fate::CutBeforeDelivery);
    }

    /// Resets the connection once the agent has got the message. (The network.)
    pub fn cut_after_delivery(self) {
        self.plan(Fate::CutAfterDelivery);
    }

    /// Resets the connection in place of the answer, with the work done. (The network.)
    pub fn cut_the_answer(self) {
        self.plan(Fate::CutAnswer);
    }

    #[cfg(test)]
    pub(crate) fn panic(self) {
        self.plan(Fate::Panic);
    }
}
