//! The store in an actor's database.

mod batch;
mod chain;
mod database;
mod driver;
mod events;
mod fold;
mod followers;
mod insert;
mod limits;
mod pieces;
#[cfg(test)]
mod plans;
mod rows;
mod schema;
mod sessions;

pub use driver::RivetSqlSessionPersistDriver;
