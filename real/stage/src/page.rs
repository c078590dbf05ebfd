//! Both worlds side by side: a sentence for the terminal, a table for the reports.

use crate::play::Played;
use tanist_sim::scenario::run::Verdict;

/// A scenario, as each world told it.
pub struct Row {
    pub scenario: String,
    pub question: String,
    pub simulated: Verdict,
    pub real: Result<Played, String>,
}

impl Row {
    /// Did both worlds come to the same verdict?
    pub fn agrees(&self) -> bool {
        let real = self.real.as_ref();
        real.is_ok_and(|played| played.held() == self.simulated.held())
    }

    fn told(&self) -> String {
        match &self.real {
            Err(why) => format!("could not be played: {why}"),
            Ok(played) if played.held() => {
                let unjudged = match played.unjudged {
                    0 => String::new(),
                    some => format!(", {some} not seen from outside"),
                };
                let lost = match played.loss_unknown {
                    true => ", what is lost was not judged",
                    false => "",
                };
                let leader = played
                    .leader_at_end
                    .as_ref()
                    .map_or("nobody", |l| l.as_str());
                format!(
                    "holds: {} claims kept{unjudged}{lost}; {} promotions, {leader} leads",
                    played.kept, played.promotions
                )
            }
            Ok(played) => {
                let refuted = played
                    .refuted
                    .iter()
                    .map(|r| format!("at {}: {}", r.at, r.story));
                let found: Vec<String> = played.broken.iter().cloned().chain(refuted).collect();
                found.join("; ")
            }
        }
    }

    pub fn sentence(&self) -> String {
        format!("{}: {}", self.scenario, self.told())
    }
}

pub fn summary(rows: &[Row]) -> String {
    let same = rows.iter().filter(|row| row.agrees()).count();
    format!(
        "{} scenarios played on real servers, {same} with the simulator's verdict",
        rows.len()
    )
}

pub fn page(rows: &[Row]) -> String {
    let mut page = String::from(
        "# Both worlds\n\nScenarios that were played in the simulator and on real servers (PostgreSQL 15, etcd, Tanist's agents), \
         judged by the same claims.\nWritten by `make stage`; a claim that is not seen from outside (a mark of the simulator, \
         an operation in a lane) is judged by the simulator alone.\n\n",
    );
    page += &format!(
        "{}.\n\n| scenario | question | simulator | real servers |\n|---|---|---|---|\n",
        summary(rows)
    );
    for row in rows {
        let simulated = match row.simulated.held() {
            true => "holds".to_string(),
            false => row.simulated.sentence(),
        };
        let name = row
            .scenario
            .trim_start_matches("scenarios/")
            .trim_end_matches(".scn");
        let told = row.told().replace('\n', " ").replace('|', "\\|");
        page += &format!("| {name} | {} | {simulated} | {told} |\n", row.question);
    }
    page
}
