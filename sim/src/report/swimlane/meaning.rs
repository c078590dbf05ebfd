//! What events mean for the picture of one member: when it is cut off, which of its acknowledged commits
//! were lost, what is said of it. Knows nothing of pixels.

use crate::act::{Act, End, HostAct, StoreAct, WireAct};
use crate::event::{Event, What};
use std::collections::BTreeSet;
use tanist_core::name::MemberName;

/// What an act means for a member's contact with the others.
pub enum Isolation {
    Begins,
    Ends,
    Same,
}

pub fn isolation(act: &Act, on: &[MemberName], name: &MemberName) -> Isolation {
    let concerned = on.contains(name);
    match act {
        Act::Wire { act, link } => {
            let ends = [&link.from, &link.to];
            let to_store = ends
                .iter()
                .any(|end| matches!(end, End::Store | End::StoreServer(_)));
            match act {
                WireAct::Cut | WireAct::Refuse if concerned || (to_store && on.is_empty()) => {
                    Isolation::Begins
                }
                WireAct::Heal if concerned => Isolation::Ends,
                WireAct::Cut
                | WireAct::Refuse
                | WireAct::Heal
                | WireAct::Delay { .. }
                | WireAct::Lose { .. }
                | WireAct::Straggle { .. } => Isolation::Same,
            }
        }
        Act::Host {
            act: HostAct::Suspend | HostAct::SuspendFor(_),
            ..
        } if concerned => Isolation::Begins,
        Act::Host {
            act: HostAct::Resume,
            ..
        } if concerned => Isolation::Ends,
        Act::Store(StoreAct::StopAll | StoreAct::HangAll | StoreAct::LoseQuorum) => {
            Isolation::Begins
        }
        Act::Store(StoreAct::StartAll | StoreAct::RegainQuorum) => Isolation::Ends,
        Act::HealWire | Act::HealAll => Isolation::Ends,
        Act::Host { .. }
        | Act::Store(_)
        | Act::Agent { .. }
        | Act::Fencer { .. }
        | Act::Postgres { .. }
        | Act::Trouble { .. }
        | Act::Operator(_)
        | Act::Clients(_) => Isolation::Same,
    }
}

/// Commits acknowledged on a timeline after the point at which the next leader left it: when commits
/// are reported lost, they are the last ones that another member acknowledged before.
pub fn lost_acks(events: &[Event]) -> BTreeSet<u64> {
    let mut acked: Vec<(u64, &MemberName)> = Vec::new();
    let mut lost = BTreeSet::new();
    for event in events {
        if let What::Acked { commit, member, .. } = &event.what {
            acked.push((*commit, member));
        } else if let What::Lost { commits, leader } = &event.what {
            let others = acked.iter().rev().filter(|(_, member)| *member != leader);
            lost.extend(others.take(*commits as usize).map(|(commit, _)| *commit));
        }
    }
    lost
}

pub fn concerns(event: &Event, name: &MemberName) -> bool {
    match &event.what {
        What::Acted { on, .. } => on.contains(name),
        What::AgentStarted { member, .. }
        | What::AgentEnded { member, .. }
        | What::FencerDied { member }
        | What::FencerFired { member }
        | What::WatchdogFired { member }
        | What::Operation { member, .. }
        | What::Promoted { member, .. }
        | What::Note { member, .. }
        | What::Answered { member, .. } => member == name,
        What::FencerStarted { .. }
        | What::Postgres { .. }
        | What::LeaderKey { .. }
        | What::Key { .. }
        | What::Streaming { .. }
        | What::Acked { .. }
        | What::Lost { .. }
        | What::Mark(_)
        | What::Broken { .. } => false,
    }
}
