//! Who drives: a pure machine over who has control, who asks for it, and who has gone.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::participant::Person;

/// Who drives, and who asks to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Control {
    /// Grows each time that control changes hands. Who acts on an older one is refused.
    pub term: u64,
    /// Who drives; nobody, where control is free.
    pub drivers: Vec<Person>,
    /// Who asks to, oldest first.
    pub requests: Vec<Person>,
}

/// How control is handed around.
///
/// Unless told: one driver; control that is free goes to whoever prompts or asks first; nobody takes it
/// from a driver who is here; what others prompt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlPolicy {
    /// How many may drive at once; one unless told.
    pub drivers: usize,
    /// Whether who has the right to can take control from a driver who is here; no unless told.
    pub take: bool,
    /// What becomes of a prompt by somebody who does not drive.
    pub observers: ObserverPrompts,
    /// Whether who has the right to can answer permissions without driving; no unless told.
    pub observers_answer: bool,
}

impl Default for ControlPolicy {
    fn default() -> Self {
        Self { drivers: 1, take: false, observers: ObserverPrompts::Refuse, observers_answer: false }
    }
}

impl ControlPolicy {
    /// So many may drive at once; 0 counts as 1.
    #[must_use]
    pub fn drivers(mut self, most: usize) -> Self {
        self.drivers = most.max(1);
        self
    }

    /// Whether control can be taken from a driver who is here.
    #[must_use]
    pub fn take(mut self, allowed: bool) -> Self {
        self.take = allowed;
        self
    }

    /// What becomes of a prompt by somebody who does not drive.
    #[must_use]
    pub fn observers(mut self, prompts: ObserverPrompts) -> Self {
        self.observers = prompts;
        self
    }

    /// Whether permissions can be answered without driving.
    #[must_use]
    pub fn observers_answer(mut self, allowed: bool) -> Self {
        self.observers_answer = allowed;
        self
    }
}

/// What becomes of a prompt by somebody who does not drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObserverPrompts {
    /// It is refused with [`NotDriving`](ErrorKind::NotDriving). The default.
    #[default]
    Refuse,
    /// It waits until a driver accepts it, its author gets control, or nobody drives.
    Propose,
}

/// Each call gives the control that comes of it; what it does not change is the same as before.
impl Control {
    /// Whether this person drives.
    pub fn is_driver(&self, id: &str) -> bool {
        self.drivers.iter().any(|driver| driver.id == id)
    }

    /// Whether there is room for another driver.
    pub(crate) fn is_free(&self, policy: &ControlPolicy) -> bool {
        self.drivers.len() < policy.drivers
    }

    /// An error where the caller acts on a term that is over.
    pub(crate) fn check_term(&self, term: Option<u64>) -> Result<(), Error> {
        match term {
            Some(term) if term != self.term => Err(Error::new(
                ErrorKind::StaleControl { term: self.term },
                format!("control has changed hands since term {term}; look who drives, and ask for it again"),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn check_driver(&self, id: &str) -> Result<(), Error> {
        if self.is_driver(id) {
            return Ok(());
        }
        let drivers: Vec<String> = self.drivers.iter().map(|driver| driver.id.clone()).collect();
        let message = match &*drivers {
            [] => "nobody drives; ask for control first".to_owned(),
            _ => format!("{} drives; ask for control", drivers.join(", ")),
        };
        Err(Error::new(ErrorKind::NotDriving { drivers }, message))
    }

    /// Somebody asks to drive: they do at once where there is room, and else wait.
    pub(crate) fn ask(&self, person: &Person, policy: &ControlPolicy) -> Self {
        if self.is_driver(&person.id) {
            return self.clone();
        }
        if self.is_free(policy) {
            return self.with_driver(person);
        }
        let mut next = self.clone();
        if !next.requests.iter().any(|asking| asking.id == person.id) {
            next.requests.push(person.clone());
        }
        next
    }

    /// A driver hands over.
    pub(crate) fn give(&self, from: &str, to: &Person) -> Result<Self, Error> {
        self.check_driver(from)?;
        if from == to.id {
            return Ok(self.clone());
        }
        let mut next = self.clone();
        next.drivers.retain(|driver| driver.id != from && driver.id != to.id);
        Ok(next.with_driver(to))
    }

    /// Somebody takes control from whoever has had it longest.
    pub(crate) fn take(&self, person: &Person, policy: &ControlPolicy) -> Self {
        if self.is_driver(&person.id) {
            return self.clone();
        }
        let mut next = self.clone();
        if !next.is_free(policy) && !next.drivers.is_empty() {
            next.drivers.remove(0);
        }
        next.with_driver(person)
    }

    /// Somebody lets go, or gives up asking; who has asked longest comes next.
    pub(crate) fn release(&self, id: &str, policy: &ControlPolicy) -> Self {
        let mut next = self.clone();
        next.requests.retain(|asking| asking.id != id);
        let before = next.drivers.len();
        next.drivers.retain(|driver| driver.id != id);
        if next.drivers.len() == before {
            return next;
        }
        next.term += 1;
        match next.requests.first().cloned() {
            Some(first) if next.is_free(policy) => next.with_driver(&first),
            _ => next,
        }
    }

    fn with_driver(&self, person: &Person) -> Self {
        let mut next = self.clone();
        next.requests.retain(|asking| asking.id != person.id);
        next.drivers.push(person.clone());
        next.term += 1;
        next
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ada() -> Person {
        Person::new("ada")
    }

    fn bob() -> Person {
        Person::program("bob")
    }

    fn drivers(control: &Control) -> Vec<&str> {
        control.drivers.iter().map(|driver| &*driver.id).collect()
    }

    #[test]
    fn free_control_goes_to_who_asks_and_then_to_who_waits() {
        let policy = ControlPolicy::default();
        let control = Control::default().ask(&ada(), &policy);
        assert_eq!((drivers(&control), control.term), (vec!["ada"], 1));
        let control = control.ask(&bob(), &policy).ask(&bob(), &policy);
        assert_eq!((drivers(&control), control.requests.len(), control.term), (vec!["ada"], 1, 1));
        let control = control.release("ada", &policy);
        assert_eq!((drivers(&control), control.requests.len()), (vec!["bob"], 0));
        assert!(control.term > 1);
    }

    #[test]
    fn who_acts_on_a_term_that_is_over_is_refused() {
        let policy = ControlPolicy::default();
        let control = Control::default().ask(&ada(), &policy);
        control.check_term(Some(1)).unwrap();
        let control = control.give("ada", &bob()).unwrap();
        let error = control.check_term(Some(1)).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::StaleControl { term: control.term });
        let error = control.check_driver("ada").unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::NotDriving { drivers: vec!["bob".to_owned()] });
        assert!(control.give("ada", &ada()).is_err(), "who does not drive hands nothing over");
    }

    #[test]
    fn several_drive_where_the_policy_says_so_and_one_makes_room_for_who_takes() {
        let policy = ControlPolicy::default().drivers(2);
        let control = Control::default().ask(&ada(), &policy).ask(&bob(), &policy);
        assert_eq!(drivers(&control), ["ada", "bob"]);
        let control = control.take(&Person::new("eve"), &policy);
        assert_eq!(drivers(&control), ["bob", "eve"]);
    }

    #[test]
    fn who_gives_up_asking_changes_no_term() {
        let policy = ControlPolicy::default();
        let control = Control::default().ask(&ada(), &policy).ask(&bob(), &policy);
        let after = control.release("bob", &policy);
        assert_eq!((after.term, after.requests.len()), (control.term, 0));
    }
}
