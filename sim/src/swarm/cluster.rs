//! Draws what the cluster of a run looks like. Mostly what people run, sometimes what they should not.

use crate::shape::{ClientShape, ClusterShape, RewindPolicy, Runs, WatchdogMode};
use crate::streams::Stream;
use tanist_core::time::Span;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

pub fn draw(draw: &mut Stream) -> ClusterShape {
    let size = *draw.pick(&[2, 3, 3, 3, 3, 3, 4, 5]).unwrap_or(&3);
    let mut shape = ClusterShape::of(&NAMES[..size]);
    shape.store_servers = *draw.pick(&[1, 3, 3, 3, 5]).unwrap_or(&3);
    let timings = [
        (30, 10, 10),
        (30, 10, 10),
        (30, 10, 10),
        (20, 5, 5),
        (20, 2, 3),
        (60, 10, 20),
    ];
    let (ttl, loop_wait, retry) = *draw.pick(&timings).unwrap_or(&(30, 10, 10));
    shape.ttl = Span::secs(ttl);
    shape.loop_wait = Span::secs(loop_wait);
    shape.retry_timeout = Span::secs(retry);
    shape.maximum_lag_on_failover = *draw
        .pick(&[1 << 20, 1 << 20, 0, 1 << 30])
        .unwrap_or(&(1 << 20));
    shape.primary_start_timeout = *draw
        .pick(&[Span::secs(300), Span::secs(300), Span::secs(30), Span::ZERO])
        .unwrap_or(&Span::secs(300));
    shape.rewind = RewindPolicy {
        use_pg_rewind: draw.chance(850),
        wal_log_hints: draw.chance(850),
        remove_data_directory_on_rewind_failure: draw.chance(600),
        remove_data_directory_on_diverged_timelines: draw.chance(700),
    };
    shape.clients = ClientShape {
        roaming_every: *draw
            .pick(&[Span::millis(200), Span::secs(1), Span::secs(5)])
            .unwrap_or(&Span::secs(1)),
        stubborn_every: *draw
            .pick(&[Span::millis(500), Span::secs(2), Span::ZERO])
            .unwrap_or(&Span::secs(2)),
        server_loop_every: *draw
            .pick(&[Span::ZERO, Span::ZERO, Span::millis(200)])
            .unwrap_or(&Span::ZERO),
    };
    members(draw, &mut shape);
    shape
}

/// At most one member has a tag, so that somebody eligible is always there.
fn members(draw: &mut Stream, shape: &mut ClusterShape) {
    let tagged = draw.below(shape.members.len() as u64) as usize;
    let (nofailover, priority) = (draw.chance(120), draw.chance(120));
    let several = shape.members.len() > 2;
    for (at, member) in shape.members.iter_mut().enumerate() {
        member.nofailover = nofailover && several && at == tagged;
        member.failover_priority = (priority && at == tagged).then_some(5);
        if draw.chance(100) {
            member.supervisor = Some(whole_millis(draw.span(Span::millis(100), Span::secs(40))));
        }
    }
}

/// In some runs WAL is removed soon, and slots may hold back little.
pub fn retention(draw: &mut Stream, shape: &mut ClusterShape) {
    if !draw.chance(350) {
        return;
    }
    let sizes = [0, 4 << 10, 16 << 10, 64 << 10];
    shape.wal_keep = *draw.pick(&sizes).unwrap_or(&0);
    let limits = [None, None, Some(8 << 10), Some(32 << 10)];
    shape.slot_keep = *draw.pick(&limits).unwrap_or(&None);
    let paces = [Span::secs(30), Span::secs(60), Span::secs(150)];
    shape.checkpoints_every = *draw.pick(&paces).unwrap_or(&Span::secs(60));
}

/// In few runs the last member was given the first one's name by mistake.
pub fn misname(draw: &mut Stream, shape: &mut ClusterShape) {
    let first = shape.members.first().map(|member| member.name.clone());
    if shape.members.len() > 2
        && draw.chance(20)
        && let Some(last) = shape.members.last_mut()
    {
        last.goes_by = first;
    }
}

/// In one run of seven some members are run by Patroni, at least one is not: a cluster that is being swapped. Never beside
/// a namesake, whose key a Patroni takes for its own whoever wrote it.
pub fn mix(draw: &mut Stream, shape: &mut ClusterShape) {
    let members = shape.members.len() as u64;
    let (mixed, swapped) = (draw.chance(MIXED), draw.between(1, members - 1));
    for _ in 0..swapped {
        let at = draw.below(members) as usize;
        if mixed {
            shape.members.iter_mut().for_each(|m| m.goes_by = None);
            shape.members[at].runs = Runs::Patroni;
        }
    }
}

/// In half of the clusters that are being swapped every host has a watchdog device, which only Patronis use.
pub fn watch(draw: &mut Stream, shape: &mut ClusterShape) {
    let (watched, required) = (draw.chance(500), draw.chance(400));
    let halved = draw.chance(250);
    if !watched || shape.members.iter().all(|m| m.runs == Runs::Tanist) {
        return;
    }
    for member in &mut shape.members {
        member.watchdog = Some(Span::secs(1));
    }
    if required {
        shape.watchdog = WatchdogMode::Required;
    }
    if halved {
        shape.safety_margin = None;
    }
}

/// Of a thousand runs.
const MIXED: u32 = 150;

fn whole_millis(span: Span) -> Span {
    Span::millis(span.as_millis())
}
