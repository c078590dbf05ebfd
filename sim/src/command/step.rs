//! `tanist-sim step`: a run by hand, at a prompt. Reads lines from standard input, so that a file of them works, too.

use super::{Ended, cannot};
use crate::library;
use crate::plan::{Plan, Step as Line};
use crate::scenario::parse::parse;
use crate::session::{HELP, Reply, Session};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use tanist_core::time::Span;

#[derive(Clone, Debug, clap::Args)]
pub struct Step {
    /// A scenario to begin with; three members otherwise
    pub scenario: Option<PathBuf>,
    /// How much of it happens before the prompt comes
    #[arg(long, value_name = "TIME", default_value = "40s", value_parser = super::swarm::span)]
    pub until: Span,
}

const THREE: &str = "# What happens if?\ncluster a b c\nat 40s  end\n";

pub fn command(args: &Step) -> Ended {
    let plan = match &args.scenario {
        Some(path) => library::load(path),
        None => Ok(parse(THREE).expect("a scenario of three lines")),
    };
    let plan = match plan {
        Ok(plan) => beginning(plan, args.until),
        Err(e) => return cannot(e),
    };
    let mut session = Session::new(plan);
    println!("{}\n\n{}", HELP, session.so_far());
    match talk(&mut session) {
        Ok(()) => Ended::Passed,
        Err(e) => cannot(e),
    }
}

/// The plan up to a time, without its claims.
fn beginning(plan: Plan, until: Span) -> Plan {
    let is_before = |line: &Line| !matches!(line, Line::At { at, .. } if *at > until);
    let steps = plan.steps.into_iter().take_while(is_before);
    Plan {
        steps: steps
            .filter(|line| !matches!(line, Line::Expect(_)))
            .collect(),
        end: until,
        ..plan
    }
}

fn talk(session: &mut Session) -> io::Result<()> {
    let mut lines = io::stdin().lock().lines();
    loop {
        print!("{}", session.prompt());
        io::stdout().flush()?;
        let Some(line) = lines.next() else {
            println!();
            return Ok(());
        };
        match session.line(&line?) {
            Reply::Told(text) => println!("{}", text.trim_end()),
            Reply::Save { file, text } => match library::store(file.as_ref(), &text) {
                Ok(()) => println!("written to {file}"),
                Err(e) => println!("{e}"),
            },
            Reply::Bye => return Ok(()),
        }
    }
}
