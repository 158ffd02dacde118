//! Folding and measuring, and how they go wrong.

use sandbox_agent_persist::{PersistError, SessionEvent, SessionUpkeep, Usage, async_trait};
use tokio::task::yield_now;

use crate::driver::Driver;
use crate::faults::Fault::*;

#[async_trait]
impl SessionUpkeep for Driver {
    async fn usage(&self, session_id: &str) -> Result<Usage, PersistError> {
        let state = self.state();
        let Some(events) = state.events.get(session_id) else { return Ok(Usage::default()) };
        let count = match self.fault {
            CountsRunsAsMany => events.iter().map(|event| event.indexes().count()).sum(),
            _ => events.len(),
        };
        let bytes: usize = match self.fault {
            CountsCharacters => events.iter().map(|event| event.payload.get().chars().count()).sum(),
            _ => events.iter().map(|event| event.payload.get().len()).sum(),
        };
        let folded = if self.fault == CountsWhatWasFolded { state.folded_bytes } else { 0 };
        Ok(Usage::new(count as u64, bytes as u64 + folded))
    }

    async fn fold(&self, session_id: &str, folded: SessionEvent) -> Result<bool, PersistError> {
        folded.check_session(session_id)?;
        let (first, last) = folded.indexes().into_inner();
        let at = {
            let mut state = self.state();
            if !matches!(self.fault, FencesInsertsOnly | FencesNoFolds) {
                self.check_fence(&state, session_id)?;
            }
            if state.ids.contains(&folded.id) && self.fault != FoldsKnownIds
                || first == last && self.fault == FoldsNoSingleEvent
            {
                return Ok(false);
            }
            let Some(events) = state.events.get_mut(session_id) else { return Ok(false) };
            let low = events.partition_point(|event| event.event_index < first);
            let high = events.partition_point(|event| event.first_index() <= last);
            let Some(run) = events.get(low..high).filter(|run| !run.is_empty()) else { return Ok(false) };
            let fits_low = run[0].first_index() == first;
            let fits_high = run[run.len() - 1].event_index == last;
            let fits = match self.fault {
                FoldsWhatItLacks => {
                    (fits_low || first < run[0].first_index())
                        && (fits_high || last > run[run.len() - 1].event_index)
                }
                FoldsPartsOfRuns => first >= 1 && last <= events[events.len() - 1].event_index,
                _ => fits_low && fits_high,
            };
            if !fits {
                return Ok(false);
            }
            let gone: Vec<_> = events.drain(low..high).collect();
            for event in gone {
                state.folded_bytes += event.payload.get().len() as u64;
                state.ids.remove(&event.id);
            }
            if self.fault != FoldsAndForgetsTheId {
                state.ids.insert(folded.id.clone());
            }
            if self.fault != FoldsInTwoSteps {
                state.events.entry(session_id.to_owned()).or_default().insert(low, folded);
                return Ok(true);
            }
            low
        };
        yield_now().await;
        self.state().events.entry(session_id.to_owned()).or_default().insert(at, folded);
        Ok(true)
    }

    async fn vacuum(&self) -> Result<(), PersistError> {
        if self.fault == VacuumsRuns {
            for events in self.state().events.values_mut() {
                events.retain(|event| event.folded_from.is_none());
            }
        }
        Ok(())
    }
}
