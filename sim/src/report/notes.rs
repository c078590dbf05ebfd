//! Which of an agent's notes belong into a story. What the columns or another row already tell, and what
//! is said again and again until something changes, is left out.

use crate::event::{Event, What};
use std::collections::{BTreeMap, BTreeSet};
use tanist_core::decision::{Decision, Waiting};
use tanist_core::name::MemberName;
use tanist_core::note::Note;

/// What each agent has said since something was last done to the world.
#[derive(Debug, Default)]
pub struct Said {
    complaints: BTreeMap<MemberName, BTreeSet<String>>,
    last: BTreeMap<MemberName, String>,
}

impl Said {
    /// Is this event news? Everything that is no note is.
    pub fn is_news(&mut self, event: &Event) -> bool {
        match &event.what {
            What::Acted { .. } => {
                self.complaints.clear();
                true
            }
            What::Note { member, note } => self.is_news_from(member, note),
            _no_note => true,
        }
    }

    fn is_news_from(&mut self, member: &MemberName, note: &Note) -> bool {
        let text = note.to_string();
        match worth(note) {
            Worth::ToldElsewhere => false,
            Worth::Once => {
                let complaints = self.complaints.entry(member.clone()).or_default();
                complaints.insert(text)
            }
            Worth::EachTime => self.last.insert(member.clone(), text.clone()) != Some(text),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    ToldElsewhere,
    /// A complaint: once, until somebody does something.
    Once,
    EachTime,
}

fn worth(note: &Note) -> Worth {
    match note {
        // The columns and the lane's own events tell of operations; the numbers are nobody's business.
        Note::OperationStarted { .. }
        | Note::OperationEnded { .. }
        | Note::Late { .. }
        | Note::RequestEnded { .. }
        | Note::FencerFired { .. } => Worth::ToldElsewhere,
        Note::Decided(decision) => match decision {
            Decision::Wait(Waiting::Operation { .. }) => Worth::ToldElsewhere,
            _worth_telling => Worth::EachTime,
        },
        Note::StoreFailed { .. }
        | Note::SideTaskFailed { .. }
        | Note::KeyRenewalFailed { .. }
        | Note::WatchLost { .. }
        | Note::Namesake { .. }
        | Note::FencerRefused { .. }
        | Note::Unreadable { .. }
        | Note::ConfigComplaint { .. }
        | Note::ModeHandoverGivenUp { .. } => Worth::Once,
        Note::LeaderChanged { .. }
        | Note::KeyAcquired { .. }
        | Note::KeyReleased
        | Note::FencerReady
        | Note::ReinitGivenUp
        | Note::FencerLost { .. }
        | Note::RequestTaken { .. }
        | Note::FailoverKeyDropped { .. }
        | Note::PauseChanged { .. }
        | Note::AssertionFailed { .. } => Worth::EachTime,
    }
}
