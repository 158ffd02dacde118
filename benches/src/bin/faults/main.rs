//! What becomes of the same work in this SDK and in the one for TypeScript, through the same
//! proxy, before the same server; and how soon ours recovers.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use futures::try_join;

use crate::bench::{Bench, Options};

mod bench;
mod broken;
mod history;
mod recovery;
mod reopened;
mod speed;
mod table;
mod turn;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let bench = Bench::new(&options)?;
    // Those wait more than they work, so they run side by side; what is timed runs alone.
    let (mut rows, (reopened, recovered)) =
        try_join!(broken::rows(&bench), async { try_join!(reopened::rows(&bench), recovery::rows(&bench)) })?;
    rows.extend(turn::rows(&bench).await?);
    rows.extend(history::rows(&bench).await?);
    rows.extend(speed::rows(&bench).await?);
    rows.extend(reopened);
    rows.extend(recovered);
    Ok(table::print(&rows, &bench.peer.version()?, options.format()))
}
