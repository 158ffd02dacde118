//! Who takes part, and what they may do.

use serde::{Deserialize, Serialize};

/// Somebody who takes part: a person, or a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Person {
    /// Who they are; the same for all their connections, and when they come again.
    pub id: String,
    /// The name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is a program, so that people see whom they hand control to.
    #[serde(default)]
    pub program: bool,
}

impl Person {
    /// A person with this id.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), name: None, program: false }
    }

    /// A program with this id.
    pub fn program(id: impl Into<String>) -> Self {
        Self { program: true, ..Self::new(id) }
    }

    /// The name to show.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// What somebody may do. Nothing, unless it is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u16);

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $can:ident;)+) => {
        impl Rights {
            /// Nothing.
            pub const NONE: Self = Self(0);
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)+

            $(
                #[doc = concat!("Whether [`", stringify!($name), "`](Self::", stringify!($name), ") is among them.")]
                pub const fn $can(self) -> bool {
                    self.0 & Self::$name.0 != 0
                }
            )+
        }
    };
}

rights! {
    /// To see frames, and what is stored.
    SEE = 0, can_see;
    /// To send prompts, as far as control allows. Where the policy lets observers
    /// [propose](crate::ObserverPrompts::Propose), those of somebody who can't have control go out once nobody drives.
    PROMPT = 1, can_prompt;
    /// To answer permissions, as far as control allows.
    ANSWER = 2, can_answer;
    /// To ask for control, and to have it.
    CONTROL = 3, can_control;
    /// To take control from somebody.
    TAKE = 4, can_take;
    /// To use the sandbox's files and processes.
    SANDBOX = 5, can_use_sandbox;
}

impl Rights {
    /// To look on.
    pub const OBSERVER: Self = Self::SEE;
    /// To look on, ask for control, and prompt and answer with it.
    pub const MEMBER: Self = Self(Self::SEE.0 | Self::PROMPT.0 | Self::ANSWER.0 | Self::CONTROL.0);
    /// Everything.
    pub const OWNER: Self = Self(Self::MEMBER.0 | Self::TAKE.0 | Self::SANDBOX.0);

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// Somebody who was let in, with what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// Who.
    pub person: Person,
    /// What they may do.
    pub rights: Rights,
}

impl Participant {
    /// Somebody with these rights.
    pub fn new(person: Person, rights: Rights) -> Self {
        Self { person, rights }
    }
}
