//! Draws a table as patronictl does: a title set into the top border, cells of several lines, rules between
//! rows as soon as one cell has several lines. Knows nothing of what is in it.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

pub struct Column {
    pub title: &'static str,
    pub align: Align,
}

/// The table without a final line break.
pub fn draw(title: &str, columns: &[Column], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            let widest = cells.flat_map(|cell| cell.split('\n')).map(width).max();
            widest.unwrap_or(0).max(width(column.title))
        })
        .collect();
    let rule = rule(&widths);
    let titles: Vec<String> = columns.iter().map(|c| c.title.to_string()).collect();
    let between_rows = rows.iter().flatten().any(|cell| cell.contains('\n'));
    let mut lines = vec![titled(&rule, title), line(&titles, columns, &widths)];
    lines.push(rule.clone());
    for (at, row) in rows.iter().enumerate() {
        if between_rows && at > 0 {
            lines.push(rule.clone());
        }
        lines.extend(row_lines(row, columns, &widths));
    }
    lines.push(rule);
    lines.join("\n")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn rule(widths: &[usize]) -> String {
    let mut rule = String::from("+");
    for width in widths {
        rule.push_str(&"-".repeat(width + 2));
        rule.push('+');
    }
    rule
}

/// The title replaces what it covers of the rule; the last two characters of the rule always stay.
fn titled(rule: &str, title: &str) -> String {
    let room = rule.len().saturating_sub(2);
    let title: String = title.chars().take(room).collect();
    let rest = &rule[(1 + width(&title)).min(rule.len())..];
    format!("{}{title}{rest}", &rule[..1])
}

fn row_lines(row: &[String], columns: &[Column], widths: &[usize]) -> Vec<String> {
    let height = row.iter().map(|cell| cell.split('\n').count()).max();
    let nth = |n: usize| -> Vec<String> {
        let cells = row.iter().map(|cell| cell.split('\n').nth(n));
        cells.map(|part| part.unwrap_or_default().into()).collect()
    };
    (0..height.unwrap_or(0))
        .map(|n| line(&nth(n), columns, widths))
        .collect()
}

fn line(cells: &[String], columns: &[Column], widths: &[usize]) -> String {
    let mut line = String::from("|");
    for ((cell, column), room) in cells.iter().zip(columns).zip(widths) {
        let padding = " ".repeat(room.saturating_sub(width(cell)));
        let text = match column.align {
            Align::Left => format!(" {cell}{padding} |"),
            Align::Right => format!(" {padding}{cell} |"),
        };
        line.push_str(&text);
    }
    line
}
