//! Durable inserts in batches into PostgreSQL, beside both ways in which somebody writes them by hand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::pin_mut;
use sandbox_agent_benches::record::{self, BATCH};
use sandbox_agent_benches::report::{Measure, median};
use sandbox_agent_persist::{Inserted, SessionEvent};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Statement};

use crate::bench::Bench;
use crate::place::Place;

const BAR: f64 = 0.8;
/// Of each run.
const BATCHES: u64 = 12;
const SESSION: &str = "batches";
const COLUMNS: &str = "id, session_id, event_index, created_at, connection_id, sender, payload";
const TYPES: [Type; 7] = [Type::TEXT, Type::TEXT, Type::INT8, Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT];

pub(crate) async fn measures(bench: &mut Bench) -> Result<Vec<Measure>> {
    let store = bench.schema("batches").open().await?;
    let rows = ByHand::connect(&bench.schema("rows")).await?;
    let copy = ByHand::connect(&bench.schema("copy")).await?;
    let (mut ours, mut by_rows, mut by_copy) = (Vec::new(), Vec::new(), Vec::new());
    // The first run warms all of them up.
    for run in 0..=bench.options.runs {
        let mut times = [Duration::ZERO; 3];
        for number in 0..BATCHES {
            let first = (u64::from(run) * BATCHES + number) * BATCH + 1;
            let batch = record::batch(SESSION, first, BATCH)?;
            let same = batch.clone();
            // In turn, so that a busy moment of the machine meets all.
            let start = Instant::now();
            ensure!(store.driver.insert_events(SESSION, batch).await? == Inserted::Stored);
            times[0] += start.elapsed();
            let start = Instant::now();
            rows.insert(&same).await?;
            times[1] += start.elapsed();
            let start = Instant::now();
            copy.copy(&same).await?;
            times[2] += start.elapsed();
        }
        if run > 0 {
            let rate = |time: Duration| (BATCHES * BATCH) as f64 / time.as_secs_f64();
            for (rates, time) in [&mut ours, &mut by_rows, &mut by_copy].into_iter().zip(times) {
                rates.push(rate(time));
            }
        }
    }
    store.close().await?;
    let (by_rows, by_copy) = (median(by_rows), median(by_copy));
    let (way, faster) = if by_rows > by_copy { ("rows", by_rows) } else { ("COPY", by_copy) };
    eprintln!("by hand: {by_rows:.0} events a second in rows, {by_copy:.0} with COPY");
    let name = format!("PostgreSQL: events a second in durable batches of {BATCH}, / by hand ({way})");
    Ok(vec![Measure::at_least(name, median(ours), faster, BAR)])
}

/// A connection, and a schema of its own with the driver's tables and indexes.
struct ByHand {
    client: Client,
    insert: Statement,
    copy: String,
}

impl ByHand {
    async fn connect(place: &Place) -> Result<Self> {
        // The driver makes the tables.
        place.open().await?.close().await?;
        let Place::Postgres { url, schema } = place else { anyhow::bail!("{place:?} is no schema") };
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        for setting in ["synchronous_commit", "fsync"] {
            let value: String = client.query_one(&format!("SHOW {setting}"), &[]).await?.get(0);
            ensure!(value == "on", "the baseline is not durable: {setting} is {value}");
        }
        let table = format!("\"{schema}\".events");
        let insert = format!(
            "INSERT INTO {table} ({COLUMNS}) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], \
             $4::bigint[], $5::text[], $6::text[], $7::text[])"
        );
        let insert = client.prepare(&insert).await.context("the tables are other than they were")?;
        Ok(Self { client, insert, copy: format!("COPY {table} ({COLUMNS}) FROM STDIN BINARY") })
    }

    /// All rows by one statement, which is a transaction.
    async fn insert(&self, events: &[SessionEvent]) -> Result<()> {
        let texts = |text: fn(&SessionEvent) -> &str| events.iter().map(text).collect::<Vec<_>>();
        let indexes = events.iter().map(index).collect::<Result<Vec<_>>>()?;
        let times: Vec<_> = events.iter().map(|event| event.created_at).collect();
        let values: [&(dyn ToSql + Sync); 7] = [
            &texts(|event| &event.id),
            &texts(|event| &event.session_id),
            &indexes,
            &times,
            &texts(|event| &event.connection_id),
            &texts(|event| event.sender.as_str()),
            &texts(|event| event.payload.get()),
        ];
        ensure!(self.client.execute(&self.insert, &values).await? == events.len() as u64);
        Ok(())
    }

    /// The same as one COPY.
    async fn copy(&self, events: &[SessionEvent]) -> Result<()> {
        let writer = BinaryCopyInWriter::new(self.client.copy_in(&self.copy).await?, &TYPES);
        pin_mut!(writer);
        for event in events {
            let (index, sender, payload) = (index(event)?, event.sender.as_str(), event.payload.get());
            writer
                .as_mut()
                .write(&[
                    &event.id,
                    &event.session_id,
                    &index,
                    &event.created_at,
                    &event.connection_id,
                    &sender,
                    &payload,
                ])
                .await?;
        }
        ensure!(writer.finish().await? == events.len() as u64);
        Ok(())
    }
}

fn index(event: &SessionEvent) -> Result<i64> {
    Ok(i64::try_from(event.event_index)?)
}
