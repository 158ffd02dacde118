//! The store of `sandbox-agent-sdk` in the state of a Rivet actor.
//!
//! [`RivetActorState`] is the state that a
//! [`RivetJsonSessionPersistDriver`](sandbox_agent_persist_rivet_json::RivetJsonSessionPersistDriver) is
//! opened on, in an actor of `rivetkit-core`. It is the whole state of that actor: what a JavaScript
//! actor left there is kept, and members of your own go beside the driver's by
//! [`change`](RivetActorState::change).
//!
//! ```no_run
//! use rivetkit_core::{ActorEvent, ActorStart};
//! use sandbox_agent_persist_rivet_actor::RivetActorState;
//! use sandbox_agent_persist_rivet_json::RivetJsonSessionPersistDriver;
//!
//! async fn run(mut start: ActorStart) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let state = RivetActorState::new(start.ctx.clone(), start.snapshot.as_deref())?;
//!     let store = RivetJsonSessionPersistDriver::open(state.clone()).await?;
//!     // … a session is opened with `.persist(store)` here, and driven by tasks of its own.
//!     while let Some(event) = start.events.recv().await {
//!         match event {
//!             ActorEvent::SerializeState { reply, .. } => reply.send(Ok(state.deltas())),
//!             // What writes is stopped here. The state is asked for once more after this, so that
//!             // the loop goes on until there are no more events.
//!             ActorEvent::RunGracefulCleanup { reply, .. } => {
//!                 let saved = state.flush().await;
//!                 reply.send(saved.map_err(Into::into));
//!             }
//!             _ => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # When it is saved
//! By default a change asks for a save, and returns. The engine makes one at most once a second, for which
//! the actor gets `SerializeState`. What was changed since the last one is lost if the process dies, so that the
//! driver does not call itself durable.
//!
//! With [`durable`](RivetActorState::durable) each change returns after a save of its own, which many
//! changes at once share: some 10 ms each.
//!
//! # How large it may be
//! The engine never saves a state of more than 131,072 bytes, and only its log says so. So the state
//! refuses a driver that could come to need more beside what is there, and members beside drivers that
//! would leave these too little. The default limit of a driver, 96 KiB, leaves 30 KiB for them.
//!
//! # Other writers
//! A state that somebody else has saved, as an inspector can, is not written over: the drivers' writes are
//! `Fenced` errors from then on, and the actor has it after it was started anew.

mod state;

pub use state::RivetActorState;
