//! Keeps the sessions of sandbox-agent-sdk in an actor's state, as JSON.
