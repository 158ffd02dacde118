//! Control: asking for it, handing it over, taking it, letting go.

use std::sync::Arc;

use super::Inner;
use crate::control::{Control, ControlPolicy};
use crate::error::{Error, Result};
use crate::frame::FrameBody;
use crate::participant::Person;

impl Inner {
    pub(crate) async fn request_control(self: &Arc<Self>, person: Person) -> Result<Control> {
        self.decide(move |_, control, policy| Ok(control.ask(&person, policy))).await
    }

    /// With a free hand, also from somebody who does not drive.
    pub(crate) async fn give_control(
        self: &Arc<Self>,
        from: String,
        to: String,
        free_hand: bool,
    ) -> Result<Control> {
        self.decide(move |inner, control, policy| {
            if free_hand && !control.is_driver(&from) {
                return Ok(control.take(&inner.may_have_control(&to)?, policy));
            }
            control.check_driver(&from)?;
            control.give(&from, &inner.may_have_control(&to)?)
        })
        .await
    }

    pub(crate) async fn take_control(self: &Arc<Self>, person: Person, free_hand: bool) -> Result<Control> {
        self.decide(move |inner, control, policy| {
            let present = control.drivers.iter().any(|driver| inner.is_here(&driver.id));
            let allowed = free_hand || policy.take || !present || control.is_free(policy);
            if !allowed && !control.is_driver(&person.id) {
                control.check_driver(&person.id)?;
            }
            Ok(control.take(&person, policy))
        })
        .await
    }

    pub(crate) async fn release_control(self: &Arc<Self>, id: String, term: Option<u64>) -> Result<Control> {
        self.decide(move |_, control, policy| {
            control.check_term(term)?;
            Ok(control.release(&id, policy))
        })
        .await
    }

    /// Somebody who is here or has asked, and may have control. A name is proven by either.
    fn may_have_control(&self, id: &str) -> Result<Person> {
        if let Some((person, rights)) = self.seated(id) {
            if rights.can_control() {
                return Ok(person);
            }
            return Err(Error::refused(format!(
                "{id:?} may not have control; its host has to give the right"
            )));
        }
        let asking =
            self.line.tail.look(|now| now.control.requests.iter().find(|person| person.id == id).cloned());
        asking.ok_or_else(|| Error::not_found(format!("{id:?} is not here; control goes to somebody who is")))
    }

    /// Decides behind the gate, apart from the caller.
    async fn decide(
        self: &Arc<Self>,
        change: impl FnOnce(&Self, &Control, &ControlPolicy) -> Result<Control> + Send + 'static,
    ) -> Result<Control> {
        let inner = self.clone();
        self.apart(async move {
            let _gate = inner.gate.lock().await;
            inner.check_open()?;
            let control = inner.line.tail.look(|now| now.control.clone());
            let next = change(&inner, &control, &inner.policy)?;
            inner.change_control(next).await
        })
        .await
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
