//! How the demonstration speaks: numbered steps, lines with the time since the step began, tables, and
//! checks that must hold.

use std::time::Instant;

#[derive(Debug)]
pub struct Console {
    step: usize,
    steps: usize,
    began: Instant,
}

impl Console {
    pub fn new(steps: usize) -> Console {
        Console {
            step: 0,
            steps,
            began: Instant::now(),
        }
    }

    pub fn step(&mut self, title: &str) {
        self.step += 1;
        self.began = Instant::now();
        println!("\n[{}/{}] {title}", self.step, self.steps);
    }

    pub fn say(&self, line: &str) {
        println!("  {:6.2} s  {line}", self.began.elapsed().as_secs_f64());
    }

    pub fn block(&self, text: &str) {
        for line in text.lines() {
            println!("            {line}");
        }
    }

    /// A claim of the demonstration. Said when it holds; ends the demonstration when it does not.
    pub fn check(&self, claim: &str, holds: bool) -> anyhow::Result<()> {
        anyhow::ensure!(holds, "this should hold and does not: {claim}");
        self.say(&format!("ok: {claim}"));
        Ok(())
    }
}
