//! Layers around any store of sandbox-agent-sdk: encryption and redaction.
