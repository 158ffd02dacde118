//! Hosts the sessions of `sandbox-agent-sdk` in actors of Rivet's engine, for many people at once.
