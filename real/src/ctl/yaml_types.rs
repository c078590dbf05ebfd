//! Which text YAML 1.1 would read as something other than text, by PyYAML's rules: such a string needs quotes.

/// The types of YAML 1.1 as PyYAML recognises them: null, booleans, merge, numbers, dates.
pub fn reads_as_another_type(text: &str) -> bool {
    const WORDS: &[&str] = &["yes", "no", "true", "false", "on", "off", "null"];
    let is_word = WORDS.iter().any(|word| {
        let capital = word[..1].to_uppercase() + &word[1..];
        text == *word || text == word.to_uppercase() || text == capital
    });
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    is_word
        || matches!(text, "~" | "<<" | "=")
        || is_integer(unsigned)
        || is_float(text, unsigned)
        || is_date(text)
}

fn all(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(allowed)
}

fn is_digit_or_gap(c: char) -> bool {
    c.is_ascii_digit() || c == '_'
}

fn is_integer(unsigned: &str) -> bool {
    let starts_with = |from: char| unsigned.starts_with(|c: char| c.is_ascii_digit() && c >= from);
    if let Some(binary) = unsigned.strip_prefix("0b") {
        return all(binary, |c| matches!(c, '0' | '1' | '_'));
    }
    if let Some(hex) = unsigned.strip_prefix("0x") {
        return all(hex, |c| c.is_ascii_hexdigit() || c == '_');
    }
    if let Some(octal) = unsigned.strip_prefix('0') {
        return octal.chars().all(|c| matches!(c, '0'..='7' | '_'));
    }
    starts_with('1') && (all(unsigned, is_digit_or_gap) || is_base_sixty(unsigned))
}

/// `190:20:30`, a number to YAML 1.1.
fn is_base_sixty(text: &str) -> bool {
    let Some((first, rest)) = text.split_once(':') else {
        return false;
    };
    let below_sixty = |part: &str| match part.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    all(first, is_digit_or_gap) && rest.split(':').all(below_sixty)
}

fn is_float(text: &str, unsigned: &str) -> bool {
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    // PyYAML wants a sign in the exponent: 1e5 is text to it.
    let exponent_fits = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['-', '+']);
        digits.is_some_and(|d| all(d, |c| c.is_ascii_digit()))
    });
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return false;
    };
    let fraction_fits = fraction.chars().all(is_digit_or_gap);
    if whole.is_empty() {
        let unsigned_text = text == unsigned;
        return unsigned_text && exponent_fits && fraction_fits && starts_with_digit(fraction);
    }
    let whole_fits = starts_with_digit(whole) && all(whole, is_digit_or_gap);
    let sixty = exponent.is_none() && is_base_sixty(whole);
    exponent_fits && fraction_fits && (whole_fits || sixty)
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// A date alone has two digits for month and day; with a time one each is enough.
fn is_date(text: &str) -> bool {
    let (date, clock) = match text.split_once(['T', 't', ' ', '\t']) {
        Some((date, clock)) => (date, Some(clock.trim_start())),
        None => (text, None),
    };
    let fields: Vec<&str> = date.split('-').collect();
    let [year, month, day] = fields[..] else {
        return false;
    };
    let digits = |field: &str, counts: std::ops::RangeInclusive<usize>| {
        counts.contains(&field.len()) && all(field, |c| c.is_ascii_digit())
    };
    let short = if clock.is_some() { 1..=2 } else { 2..=2 };
    let dated = digits(year, 4..=4) && digits(month, short.clone()) && digits(day, short);
    dated && clock.is_none_or(is_clock)
}

fn is_clock(text: &str) -> bool {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'));
    let (clock, zone) = text.split_at(end.unwrap_or(text.len()));
    let fields: Vec<&str> = clock.split(':').collect();
    let zone = zone.trim_start();
    let zone_fits = zone.is_empty()
        || zone == "Z"
        || zone
            .strip_prefix(['-', '+'])
            .is_some_and(|offset| all(offset, |c| c.is_ascii_digit() || c == ':'));
    fields.len() == 3 && zone_fits && fields.iter().all(|f| starts_with_digit(f))
}
