//! The outcome of many checks in the XML that CI systems read (JUnit's, as Jenkins and GitLab take it).
//! Knows nothing of what was checked.

use std::fmt::Write;

/// One check, and what it found if it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub name: String,
    pub failed: Option<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One line.
    pub what: String,
    /// The whole story.
    pub text: String,
}

pub fn page(suite: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failed.is_some()).count();
    let mut page = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        page,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">",
        escaped(suite),
        cases.len()
    );
    for case in cases {
        let open = format!(
            "  <testcase classname=\"{}\" name=\"{}\"",
            escaped(suite),
            escaped(&case.name)
        );
        let _ = match &case.failed {
            None => writeln!(page, "{open}/>"),
            Some(failure) => writeln!(
                page,
                "{open}>\n    <failure message=\"{}\">{}</failure>\n  </testcase>",
                escaped(&failure.what),
                escaped(&failure.text)
            ),
        };
    }
    page.push_str("</testsuite>\n");
    page
}

/// XML 1.0 has no way at all to write most control characters.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_its_story_and_nothing_breaks_the_markup() {
        let held = Case {
            name: "S01 one-writer".into(),
            failed: None,
        };
        let broken = Case {
            name: "a <b>".into(),
            failed: Some(Failure {
                what: "\"two\" & more".into(),
                text: "line\n\u{1b}[0m]]>".into(),
            }),
        };
        let kept = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuite name=\"swarm\" tests=\"2\" failures=\"1\">
  <testcase classname=\"swarm\" name=\"S01 one-writer\"/>
  <testcase classname=\"swarm\" name=\"a &lt;b&gt;\">
    <failure message=\"&quot;two&quot; &amp; more\">line
\u{fffd}[0m]]&gt;</failure>
  </testcase>
</testsuite>
";
        assert_eq!(page("swarm", &[held, broken]), kept);
    }
}
