//! Keeps the sessions of sandbox-agent-sdk in PostgreSQL, for services on several machines.
