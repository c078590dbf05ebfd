//! What was measured, one value a line, kept as it comes: an aborted run keeps what it has seen.
//! Knows nothing of how a value came about.

use anyhow::{Context, ensure};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

const HEAD: &str = "run\tversion\tround\tagent\tcell\tmeasure\tvalue";

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When the run of `make bench` began that this belongs to.
    pub run: String,
    pub version: String,
    pub round: u32,
    pub agent: String,
    pub cell: String,
    /// Unit last: `outage_multihost_s`.
    pub measure: String,
    pub value: f64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            run,
            version,
            round,
            agent,
            cell,
            measure,
            value,
        } = self;
        write!(
            f,
            "{run}\t{version}\t{round}\t{agent}\t{cell}\t{measure}\t{value:.6}"
        )
    }
}

impl Row {
    fn parse(line: &str) -> Option<Row> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().map(str::to_string);
        Some(Row {
            run: next()?,
            version: next()?,
            round: next()?.parse().ok()?,
            agent: next()?,
            cell: next()?,
            measure: next()?,
            value: next()?.parse().ok()?,
        })
    }
}

/// The file of all values.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
}

impl Ledger {
    pub fn open(path: &Path) -> anyhow::Result<Ledger> {
        let ledger = Ledger {
            path: path.to_path_buf(),
        };
        if !path.exists() {
            ledger.append(HEAD)?;
        }
        Ok(ledger)
    }

    pub fn add(&self, rows: &[Row]) -> anyhow::Result<()> {
        let lines: Vec<String> = rows.iter().map(Row::to_string).collect();
        self.append(&lines.join("\n"))
    }

    fn append(&self, text: &str) -> anyhow::Result<()> {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .with_context(|| format!("opening {}", self.path.display()))?;
        Ok(writeln!(file, "{text}")?)
    }

    pub fn read(&self) -> anyhow::Result<Vec<Row>> {
        let text = std::fs::read_to_string(&self.path)
            .with_context(|| format!("reading {}", self.path.display()))?;
        let mut lines = text.lines();
        ensure!(
            lines.next() == Some(HEAD),
            "{} is not a file of measurements",
            self.path.display()
        );
        lines
            .map(|line| Row::parse(line).with_context(|| format!("not a measurement: {line}")))
            .collect()
    }
}

/// Median and range of the values of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub n: usize,
}

impl Summary {
    pub fn of(mut values: Vec<f64>) -> Option<Summary> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let n = values.len();
        let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
        Some(Summary {
            median,
            min,
            max,
            n,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            median,
            min,
            max,
            n,
        } = self;
        write!(f, "{median:.2} ({min:.2}-{max:.2}, N={n})")
    }
}

/// The values of one measure of one cell.
pub fn summary(rows: &[Row], agent: &str, cell: &str, measure: &str) -> Option<Summary> {
    let wanted = |row: &&Row| row.agent == agent && row.cell == cell && row.measure == measure;
    Summary::of(rows.iter().filter(wanted).map(|row| row.value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let row = Row {
            run: "2026-01-01T00:00:00Z".into(),
            version: "abc".into(),
            round: 3,
            agent: "tanist".into(),
            cell: "switchover".into(),
            measure: "outage_multihost_s".into(),
            value: 0.25,
        };
        assert_eq!(Row::parse(&row.to_string()), Some(row));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let found = Summary::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(found.to_string(), "2.50 (1.00-4.00, N=4)");
        assert_eq!(Summary::of(vec![7.0]).unwrap().median, 7.0);
        assert_eq!(Summary::of(Vec::new()), None);
    }
}
