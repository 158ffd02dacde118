//! Control: asking for it, handing it over, taking it, letting go.

use std::sync::Arc;

use super::Inner;
use crate::control::{Control, ControlPolicy};
use crate::error::{Error, Result};
use crate::frame::FrameBody;
use crate::participant::Person;

impl Inner {
    pub(crate) async fn request_control(self: &Arc<Self>, person: &Person) -> Result<Control> {
        self.decide(|control, policy| Ok(control.ask(person, policy))).await
    }

    pub(crate) async fn give_control(self: &Arc<Self>, from: &str, to: &str) -> Result<Control> {
        // A name is proven by being here, or by having asked.
        let known = self.line.tail.look(|now| {
            let asking = &now.control.requests;
            now.here.iter().chain(asking).find(|person| person.id == to).cloned()
        });
        let to = known.ok_or_else(|| {
            Error::not_found(format!("{to:?} is not here; control goes to somebody who is"))
        })?;
        self.decide(|control, _| control.give(from, &to)).await
    }

    pub(crate) async fn take_control(self: &Arc<Self>, person: &Person) -> Result<Control> {
        self.decide(|control, policy| {
            let present = control.drivers.iter().any(|driver| self.is_here(&driver.id));
            if !policy.take && present && !control.is_free(policy) && !control.is_driver(&person.id) {
                control.check_driver(&person.id)?;
            }
            Ok(control.take(person, policy))
        })
        .await
    }

    pub(crate) async fn release_control(self: &Arc<Self>, id: &str, term: Option<u64>) -> Result<Control> {
        self.decide(|control, policy| {
            control.check_term(term)?;
            Ok(control.release(id, policy))
        })
        .await
    }

    async fn decide(
        self: &Arc<Self>,
        change: impl FnOnce(&Control, &ControlPolicy) -> Result<Control>,
    ) -> Result<Control> {
        let _gate = self.gate.lock().await;
        self.check_open()?;
        let control = self.line.tail.look(|now| now.control.clone());
        self.change_control(change(&control, &self.policy)?).await
    }

    /// Puts it into the line, where that says something else; behind the gate.
    pub(super) async fn change_control(self: &Arc<Self>, next: Control) -> Result<Control> {
        if self.line.tail.look(|now| now.control != next) {
            self.line.append(FrameBody::Control(next.clone())).await?;
            self.watch_absent(&next);
            self.accept_what_may_go(&next).await?;
        }
        Ok(next)
    }
}
