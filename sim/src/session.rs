//! A run by hand: lines of the scenario language in, what comes of them out. The world stands still between two lines.
//! Knows nothing of terminals or files.

use crate::event::Event;
use crate::moment::Moment;
use crate::plan::{Plan, Step};
use crate::report::{story, timeline, words};
use crate::scenario::claims::Fact;
use crate::scenario::judge::{Memory, Sight};
use crate::scenario::lex::{Complaint, nearest, show_span};
use crate::scenario::line::Line;
use crate::scenario::print::print;
use crate::scenario::run::left_behind;
use crate::scenario::{acts, fact};
use crate::truth::Process;
use crate::wire::Seat;
use crate::world::World;
use tanist_core::leader_key::Authority;
use tanist_core::name::MemberName;
use tanist_core::time::{Mono, Span};
use tanist_core::view::View;

pub const HELP: &str = "\
any act of the language   happens now: cut a <-> dcs, kill leader, switchover to b
go TIME                   let so much time pass, and tell what happens
next (or an empty line)   go on to the next row of the story
until FACT                go on until it is true: until leader is b
is FACT                   is it true now?
look                      what each member really is
look MEMBER               what it knows, what it has decided and why, when it looks again
view MEMBER               the same with every field, as JSON
scenario                  what was done so far, as a scenario file
save FILE                 the same, into a file
help, quit";

/// The first words of the lines that are no acts.
const WORDS: [&str; 10] = [
    "go", "next", "until", "is", "look", "view", "scenario", "save", "help", "quit",
];

/// Longest wait of `next` and `until`.
const PATIENCE: Span = Span::secs(600);

/// What a line came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Told(String),
    /// The scenario so far is to be written to this file.
    Save {
        file: String,
        text: String,
    },
    Bye,
}

pub struct Session {
    world: World,
    plan: Plan,
    names: Vec<MemberName>,
    memory: Memory,
    remembered: usize,
    /// Rows of the story told so far.
    told: usize,
    lines: usize,
}

impl Session {
    /// Goes on where the plan ends.
    pub fn new(plan: Plan) -> Session {
        let members = plan.cluster.members.iter();
        let names = members.map(|member| member.name.clone()).collect();
        let mut session = Session {
            world: left_behind(&plan),
            plan,
            names,
            memory: Memory::default(),
            remembered: 0,
            told: 0,
            lines: 0,
        };
        session.remember();
        session
    }

    /// The story so far, for the beginning.
    pub fn so_far(&mut self) -> String {
        timeline::heading(&self.names) + "\n" + &self.news()
    }

    /// What stands before the cursor.
    pub fn prompt(&self) -> String {
        format!("{}> ", self.world.now())
    }

    pub fn line(&mut self, source: &str) -> Reply {
        self.lines += 1;
        let (word, rest) = match source.trim().split_once(char::is_whitespace) {
            Some((word, rest)) => (word, rest.trim()),
            None => (source.trim(), ""),
        };
        let told = match (word, rest) {
            ("quit" | "exit", "") => return Reply::Bye,
            ("save", file) if !file.is_empty() => {
                return Reply::Save {
                    file: file.to_string(),
                    text: self.scenario(),
                };
            }
            ("help", "") => HELP.to_string(),
            ("" | "next", "") => self.go_to_next(),
            ("scenario", "") => self.scenario(),
            ("look", "") => self.look(),
            ("look" | "view", name) => self.look_at(word, name),
            ("go", _) => self.understood(source, Session::go),
            ("until", _) => self.understood(source, Session::go_until),
            ("is", _) => self.understood(source, Session::judge),
            _an_act => self.understood(source, Session::act),
        };
        Reply::Told(told)
    }

    fn understood(
        &mut self,
        source: &str,
        read: fn(&mut Session, &mut Line<'_>) -> Result<String, Complaint>,
    ) -> String {
        let names = self.names.clone();
        let done = Line::cut(self.lines, source, &names).and_then(|mut line| read(self, &mut line));
        done.unwrap_or_else(|complaint| complaint.to_string())
    }

    // ---- what a line does ----

    fn act(&mut self, line: &mut Line<'_>) -> Result<String, Complaint> {
        let act = acts::read(line).map_err(|mut complaint| {
            let first = line.source.split_whitespace().next().unwrap_or_default();
            let own = nearest(first, WORDS);
            let meant = own.iter().chain(&complaint.did_you_mean);
            complaint.did_you_mean = nearest(first, meant.map(String::as_str));
            complaint
        })?;
        self.world.apply(&act);
        let at = self.world.now().since(Moment::START);
        self.plan.steps.push(Step::At { at, act: Some(act) });
        self.remember();
        Ok(self.news())
    }

    fn go(&mut self, line: &mut Line<'_>) -> Result<String, Complaint> {
        line.word("go")?;
        let long = line.span()?;
        line.end()?;
        self.world.run_until(self.world.now() + long);
        self.remember();
        Ok(self.news())
    }

    fn go_until(&mut self, line: &mut Line<'_>) -> Result<String, Complaint> {
        line.word("until")?;
        let fact = fact::read_fact(line)?;
        line.end()?;
        let (since, end) = (self.world.now(), self.world.now() + PATIENCE);
        while !self.shows(&fact, since) {
            if !self.step_before(end) {
                let told = self.news();
                let long = show_span(self.world.now().since(since));
                return Ok(format!("{told}not within {long}"));
            }
        }
        Ok(self.news())
    }

    fn judge(&mut self, line: &mut Line<'_>) -> Result<String, Complaint> {
        line.word("is")?;
        let fact = fact::read_fact(line)?;
        line.end()?;
        let now = self.world.now();
        Ok(if self.shows(&fact, now) { "yes" } else { "no" }.to_string())
    }

    fn go_to_next(&mut self) -> String {
        let end = self.world.now() + PATIENCE;
        loop {
            let went_on = self.step_before(end);
            let news = self.news();
            if !news.is_empty() || !went_on {
                return news;
            }
        }
    }

    /// Lets the next thing happen if it comes before `end`. False when none does.
    fn step_before(&mut self, end: Moment) -> bool {
        let is_before = self.world.next_at().is_some_and(|next| next <= end);
        if !is_before {
            self.world.run_until(end);
        }
        let goes_on = is_before && self.world.step();
        self.remember();
        goes_on
    }

    // ---- what is seen ----

    fn remember(&mut self) {
        let new: &[Event] = &self.world.events()[self.remembered..];
        new.iter().for_each(|event| self.memory.remember(event));
        self.remembered = self.world.events().len();
    }

    fn shows(&self, fact: &Fact, since: Moment) -> bool {
        let truth = self.world.truth();
        let sight = Sight {
            truth: &truth,
            marks: self.world.marks(),
            memory: &self.memory,
        };
        sight.shows(fact, since)
    }

    /// The rows of the story that were not told yet.
    fn news(&mut self) -> String {
        let rows = story::rows(&self.names, self.world.events());
        let mut told: Vec<String> = rows[self.told..]
            .iter()
            .map(|row| timeline::line(&self.names, row))
            .collect();
        self.told = rows.len();
        if let Some(broken) = self.world.broken() {
            told.push(format!(
                "BROKEN at {}: {}. {}",
                broken.at, broken.invariant, broken.story
            ));
        }
        told.into_iter().map(|row| row + "\n").collect()
    }

    fn look(&self) -> String {
        let truth = self.world.truth();
        let mut lines = vec![format!(
            "leader key: {}{}; {} commits acknowledged, {} of them lost",
            truth.leader_key.as_ref().map_or("free", |m| m.as_str()),
            if truth.paused { ", paused" } else { "" },
            truth.commits.acked,
            truth.commits.lost
        )];
        for (name, member) in &truth.members {
            let state = words::postgres(name, member.role, member.timeline, member.can_write);
            let upstream = member.streams_from.as_ref();
            let works = member.operation.as_ref();
            lines.push(format!(
                "{state}, WAL to {}{}; agent {}, fencer {}{}",
                member.flushed,
                upstream.map_or(String::new(), |up| format!(", streams from {up}")),
                process(member.agent),
                process(member.fencer),
                works.map_or(String::new(), |verb| format!(", in {verb}")),
            ));
        }
        lines.join("\n") + "\n"
    }

    fn look_at(&self, word: &str, name: &str) -> String {
        let Some(at) = self.names.iter().position(|member| member.as_str() == name) else {
            let names: Vec<&str> = self.names.iter().map(MemberName::as_str).collect();
            return format!("{name:?} is no member; there are {}", names.join(", "));
        };
        let host = &self.world.hosts[at];
        let Some(process) = &host.agent else {
            return format!("the agent of {name} does not run");
        };
        // A Patroni has no view; it says what its REST says.
        let Some(agent) = process.agent.tanist() else {
            return self.world.rest_body(Seat(at as u8));
        };
        let view = agent.view();
        if word == "view" {
            return serde_json::to_string_pretty(&view).unwrap_or_default();
        }
        let now = host.clock.now(self.world.now()).mono;
        let wake = agent
            .next_wakeup()
            .map(|(at, why)| format!("looks again in {} ({why:?})", show_span(ahead(at, now))));
        known(&view, now, wake.as_deref().unwrap_or("waits to be told"))
    }

    fn scenario(&self) -> String {
        let mut plan = self.plan.clone();
        plan.end = self.world.now().since(Moment::START);
        print(&plan)
    }
}

fn process(process: Process) -> &'static str {
    match process {
        Process::Gone => "gone",
        Process::Frozen => "frozen",
        Process::Running => "runs",
    }
}

fn authority(view: &View, now: Mono) -> String {
    match view.authority {
        Authority::None => "none".to_string(),
        Authority::Paused => "the operator's, in maintenance mode".to_string(),
        Authority::Lease { until, .. } if view.authority.stands(now) => {
            format!("for {} more", show_span(ahead(until, now)))
        }
        Authority::Lease { until, .. } => format!("ended {} ago", show_span(ahead(now, until))),
    }
}

fn ahead(at: Mono, now: Mono) -> Span {
    Span(at.0.saturating_sub(now.0))
}

/// What a member knows, decided and why.
fn known(view: &View, now: Mono, wake: &str) -> String {
    let leader = view.cluster.as_ref().and_then(|c| c.leader.as_ref());
    let mut lines = vec![
        format!("{} is {}, {}", view.name, view.role, view.state),
        format!("decided: {}", view.decision),
        format!("write authority: {}", authority(view, now)),
        format!(
            "knows as leader: {}",
            leader.map_or("nobody", |leader| leader.owner.as_str())
        ),
    ];
    if let Some(running) = &view.operation {
        lines.push(format!(
            "under way for {}: {}",
            show_span(ahead(now, running.since)),
            running.verb
        ));
    }
    lines.push(wake.to_string());
    lines.push("before that:".to_string());
    for told in view.recent.iter().rev().take(8) {
        let ago = show_span(ahead(now, told.now.mono));
        lines.push(format!("  {ago} ago: {}", told.text));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::parse::parse;

    fn told(session: &mut Session, line: &str) -> String {
        match session.line(line) {
            Reply::Told(text) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn three() -> Session {
        Session::new(parse("# What if?\ncluster a b c\nat 40s  end\n").unwrap())
    }

    #[test]
    fn a_failover_can_be_walked_through_by_hand_and_kept_as_a_scenario() {
        let mut session = three();
        assert!(session.so_far().contains("leader key: "));
        assert_eq!(told(&mut session, "is everyone follows"), "yes");
        let acted = told(&mut session, "cut leader <-> dcs");
        assert!(acted.contains("cut leader <-> dcs"), "{acted}");
        let story = told(&mut session, "until timeline is 2");
        assert!(story.contains("promoted to timeline 2"), "{story}");
        let kept = told(&mut session, "scenario");
        assert!(kept.contains("at 40s       cut leader <-> dcs"), "{kept}");
        assert!(parse(&kept).is_ok());
        assert_eq!(session.line("quit"), Reply::Bye);
    }

    #[test]
    fn what_a_member_knows_is_shown_with_its_reasons() {
        let mut session = three();
        let all = told(&mut session, "look");
        assert_eq!(all.lines().count(), 4, "{all}");
        let one = told(&mut session, "look a");
        for part in [
            "decided: ",
            "write authority: ",
            "knows as leader: ",
            "before that:",
        ] {
            assert!(one.contains(part), "{part} is missing in\n{one}");
        }
        assert!(told(&mut session, "look d").contains("there are a, b, c"));
        assert!(told(&mut session, "view a").starts_with('{'));
    }

    #[test]
    fn a_line_that_is_not_understood_changes_nothing_and_names_the_word_meant() {
        let mut session = three();
        let before = session.prompt();
        for (line, hint) in [
            ("cutt a <-> dcs", "did you mean `cut`?"),
            ("loook a", "did you mean `look`?"),
            ("go", "expected a time"),
            ("until b is leding", "is not understood here"),
        ] {
            let told = told(&mut session, line);
            assert!(told.contains(hint), "{line}: {told}");
        }
        assert_eq!(session.prompt(), before);
        assert!(!told(&mut session, "scenario").contains("cut"));
    }
}
