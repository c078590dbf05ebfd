//! One member's recording as a list of what the agent was told and said. A damaged line is left out and counted; what
//! is damaged and how, `replay` tells.

use serde_json::Value;
use tanist_core::dcs::{DcsInput, DcsOutcome, DcsReply, Revision};
use tanist_core::input::Input;
use tanist_core::name::MemberName;
use tanist_core::note::Note;
use tanist_core::record::{Line, split_sum};
use tanist_core::settings::Settings;
use tanist_core::time::{Mono, Now};

/// One `handle`.
#[derive(Clone, Debug)]
pub struct Told {
    pub now: Now,
    /// Counts the host's boots, as far as the recording shows them: clocks of two boots have nothing in common.
    pub boot: u32,
    /// Counts the lives of the agent, from 0.
    pub life: u32,
    pub input: Input,
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug)]
pub struct Recording {
    pub member: MemberName,
    /// As in its first header.
    pub settings: Settings,
    /// When each life of the agent began.
    pub starts: Vec<(u32, Now)>,
    pub told: Vec<Told>,
    /// Lines that could not be read.
    pub damaged: u64,
    /// Handles that were never written, by the recording's own word.
    pub lost: u64,
}

/// A revision of the store that a member met: `written` between two instants by itself, or heard of at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    pub revision: Revision,
    pub boot: u32,
    /// Sent then, when it is the member's own write.
    pub sent_at: Option<Mono>,
    pub heard_at: Mono,
}

impl Recording {
    /// Reads segments, concatenated in their order. `None`: there is no header, so nobody knows whose it is.
    pub fn read(text: &str) -> Option<Recording> {
        let mut recording: Option<Recording> = None;
        let (mut boot, mut last) = (0, Mono(0));
        for raw in text.lines() {
            let line = split_sum(raw).and_then(|(body, _)| serde_json::from_str(&body).ok());
            match (line, recording.as_mut()) {
                (Some(Line::Header(header)), known) => {
                    if header.start.mono < last && header.before == 0 {
                        boot += 1;
                    }
                    let starts = (boot, header.start);
                    match known {
                        Some(known) if header.before == 0 => known.starts.push(starts),
                        Some(_) => {}
                        None => {
                            recording = Some(Recording {
                                member: header.settings.name.clone(),
                                settings: header.settings.clone(),
                                starts: vec![starts],
                                told: Vec::new(),
                                damaged: 0,
                                lost: 0,
                            });
                        }
                    }
                }
                (Some(Line::Handle(handled)), Some(known)) => {
                    last = handled.now.mono;
                    let life = known.starts.len() as u32 - 1;
                    known.told.push(Told {
                        now: handled.now,
                        boot,
                        life,
                        input: handled.input,
                        notes: notes(handled.notes),
                    });
                }
                (Some(Line::Lost { lines }), Some(known)) => known.lost += lines,
                (Some(Line::Snapshot(_)), _) => {}
                (None, Some(known)) => known.damaged += 1,
                (_, None) => {}
            }
        }
        recording
    }

    /// Every revision that it met, in the order in which it did.
    pub fn met(&self) -> impl Iterator<Item = Met> + '_ {
        self.told.iter().filter_map(|told| {
            let Input::Dcs(said) = &told.input else {
                return None;
            };
            let (revision, sent_at) = met(said)?;
            Some(Met {
                revision,
                boot: told.boot,
                sent_at,
                heard_at: told.now.mono,
            })
        })
    }
}

/// Notes of another version of the core, which this one does not know, are left out.
fn notes(notes: Value) -> Vec<Note> {
    let notes = match notes {
        Value::Array(notes) => notes,
        _ => Vec::new(),
    };
    notes
        .into_iter()
        .filter_map(|note| serde_json::from_value(note).ok())
        .collect()
}

fn met(said: &DcsInput) -> Option<(Revision, Option<Mono>)> {
    match said {
        DcsInput::Changed { revision, .. } => Some((*revision, None)),
        DcsInput::Listed { snapshot } => Some((snapshot.revision, None)),
        DcsInput::Completed {
            sent_at, outcome, ..
        } => match outcome {
            DcsOutcome::Ok(
                DcsReply::Written { revision } | DcsReply::Acquired { revision, .. },
            ) => Some((*revision, Some(*sent_at))),
            DcsOutcome::Ok(DcsReply::Snapshot(snapshot)) => Some((snapshot.revision, None)),
            _other => None,
        },
        DcsInput::WatchLost { .. } => None,
    }
}
