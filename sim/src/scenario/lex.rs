//! Cuts one line of a scenario into tokens with their columns, reads numbers, times and sizes, and says
//! what is wrong with a line: where, and which word was probably meant. Knows no verb of the language.

use std::fmt;
use tanist_core::time::Span;

/// One word or sign. `column` counts characters from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub column: usize,
}

/// A line that cannot be understood, shown as editors show it: the line, a caret, what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub line: usize,
    pub column: usize,
    pub width: usize,
    pub source: String,
    pub what: String,
    pub did_you_mean: Option<String>,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.what
        )?;
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {}", self.source)?;
        let pad = " ".repeat(self.column.saturating_sub(1));
        write!(f, " {margin} | {pad}{}", "^".repeat(self.width.max(1)))?;
        match &self.did_you_mean {
            Some(word) => write!(f, " did you mean `{word}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Complaint {}

/// The signs of the language, longest first so that `<->` is not read as `<` and `->`.
const SIGNS: [&str; 9] = ["<->", "->", "<=", ">=", "=", ":", ",", "<", ">"];

/// The tokens of a line, its comment left out. `Err`: the column of a character that starts no token.
pub fn tokens(line: &str) -> Result<Vec<Token>, usize> {
    let chars: Vec<char> = line.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at].is_whitespace() {
            at += 1;
            continue;
        }
        if chars[at] == '#' {
            break;
        }
        let column = at + 1;
        let text = match sign_at(&chars[at..]) {
            Some(sign) => sign.to_string(),
            None if chars[at] == QUOTE => quoted_at(&chars[at..]),
            None => word_at(&chars[at..]),
        };
        if text.is_empty() {
            return Err(column);
        }
        at += text.chars().count();
        found.push(Token { text, column });
    }
    Ok(found)
}

const QUOTE: char = '\'';

/// A quoted text with its quotes, as SQL quotes: a quote inside is doubled. Empty when it never ends.
fn quoted_at(rest: &[char]) -> String {
    let mut text = String::from(QUOTE);
    let mut at = 1;
    while let Some(&c) = rest.get(at) {
        text.push(c);
        at += 1;
        if c == QUOTE && rest.get(at) == Some(&QUOTE) {
            text.push(QUOTE);
            at += 1;
        } else if c == QUOTE {
            return text;
        }
    }
    String::new()
}

/// The text inside the quotes of a token.
pub fn unquote(token: &str) -> Option<String> {
    let inside = token.strip_prefix(QUOTE)?.strip_suffix(QUOTE)?;
    Some(inside.replace("''", "'"))
}

pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn sign_at(rest: &[char]) -> Option<&'static str> {
    SIGNS.into_iter().find(|sign| {
        sign.chars()
            .enumerate()
            .all(|(i, c)| rest.get(i) == Some(&c))
    })
}

/// Letters, digits and `_ . % / + -`; a `-` that begins `->` ends the word.
fn word_at(rest: &[char]) -> String {
    let mut word = String::new();
    for (i, &c) in rest.iter().enumerate() {
        let arrow = c == '-' && rest.get(i + 1) == Some(&'>');
        let part_of_word = c.is_alphanumeric() || matches!(c, '_' | '.' | '%' | '/' | '+' | '-');
        if arrow || !part_of_word {
            break;
        }
        word.push(c);
    }
    word
}

/// `500ms`, `30s`, `1m30s`, `2h`, `1.5s`: a number needs its unit, except zero.
pub fn span(text: &str) -> Option<Span> {
    if text == "0" {
        return Some(Span::ZERO);
    }
    let mut rest = text;
    let mut total = Span::ZERO;
    while !rest.is_empty() {
        let digits = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
                .len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len()
            - tail
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let (unit, after) = tail.split_at(letters);
        let unit = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        total = total + Span::micros(decimal(number, unit)?);
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// `number` times `unit`, exactly: at most six digits after the point, none of them lost.
fn decimal(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 6 || (number.contains('.') && part.is_empty()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let scale = 10_u64.pow(part.len() as u32);
    let part: u64 = if part.is_empty() {
        0
    } else {
        part.parse().ok()?
    };
    let fraction = part.checked_mul(unit)?;
    (fraction % scale == 0).then_some(())?;
    whole.checked_mul(unit)?.checked_add(fraction / scale)
}

/// The shortest text that `span` reads back to the same length.
pub fn show_span(span: Span) -> String {
    let mut rest = span.as_micros();
    let mut text = String::new();
    for (unit, name) in [
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
        (1, "us"),
    ] {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// `+5000ppm`, `-300ppm`.
pub fn ppm(text: &str) -> Option<i32> {
    let number = text.strip_suffix("ppm")?;
    number.strip_prefix('+').unwrap_or(number).parse().ok()
}

/// `5%`, `0.5%`, as a share of a thousand.
pub fn per_mille(text: &str) -> Option<u32> {
    let share = decimal(text.strip_suffix('%')?, 10)?;
    u32::try_from(share).ok().filter(|share| *share <= 1_000)
}

pub fn show_per_mille(share: u32) -> String {
    match share % 10 {
        0 => format!("{}%", share / 10),
        tenth => format!("{}.{tenth}%", share / 10),
    }
}

/// `16MB`, `100kB`, `64B` or plain bytes.
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The shortest text that `bytes` reads back to the same size.
pub fn show_bytes(size: u64) -> String {
    for (unit, name) in [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")] {
        if size > 0 && size.is_multiple_of(unit) {
            return format!("{}{name}", size / unit);
        }
    }
    format!("{size}B")
}

/// The valid word nearest to `word`, when it is near enough to have been meant.
pub fn nearest<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    valid
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 3)
        .map(|(_, candidate)| candidate.to_string())
}

/// Letters to insert, delete, replace or swap with their neighbour to come from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let differs = usize::from(from[i - 1] != to[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + differs);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_words_are_told_apart_and_comments_left_out() {
        let texts: Vec<String> = tokens("at 60s  cut a<->dcs # both ways")
            .unwrap()
            .into_iter()
            .map(|t| t.text)
            .collect();
        assert_eq!(texts, ["at", "60s", "cut", "a", "<->", "dcs"]);
        assert_eq!(tokens("when b : x").unwrap().len(), 4);
        assert_eq!(tokens("cut a ; b"), Err(7));
    }

    #[test]
    fn quoted_text_keeps_its_signs_and_quotes() {
        let found = tokens("configure '{\"a\": \"it''s # 1\"}' # why").unwrap();
        assert_eq!(unquote(&found[1].text).unwrap(), "{\"a\": \"it's # 1\"}");
        assert_eq!(quote("{\"a\": \"it's # 1\"}"), found[1].text);
        assert_eq!(tokens("configure 'x"), Err(11));
    }

    #[test]
    fn times_read_back_as_they_were_written() {
        for (text, micros) in [
            ("500ms", 500_000),
            ("1m30s", 90_000_000),
            ("1.5s", 1_500_000),
            ("2h", 7_200_000_000),
        ] {
            assert_eq!(span(text), Some(Span::micros(micros)));
            assert_eq!(
                span(&show_span(Span::micros(micros))),
                Some(Span::micros(micros))
            );
        }
        for bad in ["", "30", "s", "1x", "1.s", "1.0000001s", "99999999999999h"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_misspelt_word_is_answered_with_the_nearest_valid_one() {
        assert_eq!(
            nearest("frezee", ["freeze", "crash"]),
            Some("freeze".into())
        );
        assert_eq!(nearest("zebra", ["freeze", "crash"]), None);
    }
}
