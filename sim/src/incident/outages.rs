//! When which member could not use the store, and what that was: where all could not at once, the store; otherwise the
//! link of that member. Knows nothing of what the members made of it.

use super::clocks::Clocks;
use super::deeds::Deed;
use super::recording::Recording;
use crate::act::{Act, End, Link, StoreAct, Way, Who, WireAct};
use tanist_core::dcs::{DcsInput, DcsOutcome};
use tanist_core::input::Input;

/// From the first call that failed to the first that was answered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    from: i128,
    to: i128,
    refused: bool,
}

/// What befell the store and the members' links to it.
pub fn of_all(recordings: &[Recording], clocks: &Clocks, until: i128) -> Vec<Deed> {
    let each: Vec<Vec<Outage>> = recordings
        .iter()
        .enumerate()
        .map(|(at, recording)| of_one(at, recording, clocks, until))
        .collect();
    let mut deeds = Vec::new();
    let mut told: Vec<Outage> = Vec::new();
    for (recording, outages) in recordings.iter().zip(&each) {
        for outage in outages {
            if told.iter().any(|known| overlap(known, outage)) {
                continue;
            }
            if recordings.len() > 1 && each.iter().all(|other| meets(other, outage)) {
                let whole = together(&each, outage);
                deeds.extend(of_the_store(&whole));
                told.push(whole);
            } else {
                deeds.extend(of_a_link(recording, outage));
            }
        }
    }
    deeds
}

fn of_one(at: usize, recording: &Recording, clocks: &Clocks, until: i128) -> Vec<Outage> {
    let mut found = Vec::new();
    let mut open: Option<Outage> = None;
    let mut last_good = i128::MIN;
    for one in &recording.told {
        let Input::Dcs(DcsInput::Completed {
            sent_at, outcome, ..
        }) = &one.input
        else {
            continue;
        };
        let sent = clocks.common((at, one.boot), *sent_at);
        let heard = clocks.common((at, one.boot), one.now.mono);
        match outcome {
            // One that was sent before the latest answer tells of what is over.
            DcsOutcome::NotSent(_) | DcsOutcome::Unknown(_) if sent <= last_good => {}
            DcsOutcome::NotSent(why) | DcsOutcome::Unknown(why) => {
                let refused = why.contains("refused");
                open.get_or_insert(Outage {
                    from: sent,
                    to: until,
                    refused,
                });
            }
            DcsOutcome::Ok(_)
            | DcsOutcome::Conflict { .. }
            | DcsOutcome::SessionGone
            | DcsOutcome::Denied(_) => {
                last_good = heard;
                // What was sent before the first failure says nothing of what came after it.
                if let Some(ended) = open.take_if(|open| sent > open.from) {
                    found.push(Outage { to: heard, ..ended });
                }
            }
        }
    }
    found.extend(open);
    found
}

fn overlap(a: &Outage, b: &Outage) -> bool {
    a.from < b.to && b.from < a.to
}

fn meets(others: &[Outage], outage: &Outage) -> bool {
    others.iter().any(|other| overlap(other, outage))
}

fn together(each: &[Vec<Outage>], outage: &Outage) -> Outage {
    let with = each.iter().flatten().filter(|other| overlap(other, outage));
    with.fold(*outage, |all, one| Outage {
        from: all.from.min(one.from),
        to: all.to.max(one.to),
        refused: all.refused || one.refused,
    })
}

fn of_the_store(outage: &Outage) -> [Deed; 2] {
    let down = match outage.refused {
        true => StoreAct::StopAll,
        false => StoreAct::HangAll,
    };
    [
        (outage.from, Act::Store(down)),
        (outage.to, Act::Store(StoreAct::StartAll)),
    ]
}

fn of_a_link(recording: &Recording, outage: &Outage) -> [Deed; 2] {
    let on_link = |act| Act::Wire {
        link: Link {
            from: End::Member(Who::Member(recording.member.clone())),
            to: End::Store,
            way: Way::Both,
            lane: None,
        },
        act,
    };
    let cut = match outage.refused {
        true => WireAct::Refuse,
        false => WireAct::Cut,
    };
    [
        (outage.from, on_link(cut)),
        (outage.to, on_link(WireAct::Heal)),
    ]
}
