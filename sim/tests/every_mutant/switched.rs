//! A source file in which every mutant stands behind a switch; what does not compile in the end is found out by the
//! compiler and left off.
//!
//! Each arm that belongs to a mutant stands between `/*<7*/` and `/*7>*/`, so that an error in it names it.

use super::sites::{self, Numbered, Site, Sites};
use std::collections::BTreeSet;
use std::ops::Range;

/// `text` with its mutants behind switches, and the numbers of those that found a place.
pub fn rewritten(text: &str, mutants: &[Numbered<'_>]) -> (String, BTreeSet<usize>) {
    let sites = sites::find(text, mutants);
    let out = Text {
        text,
        sites: &sites,
    }
    .render(0..text.len(), 0);
    (out, sites.placed)
}

struct Text<'a> {
    text: &'a str,
    sites: &'a Sites,
}

fn on(id: usize) -> String {
    format!("crate::mutant::on({id})")
}

/// An arm of its own, closed by `else`.
fn arm(id: usize, then: &str) -> String {
    format!("/*<{id}*/if {} {{ {then} }} else/*{id}>*/ ", on(id))
}

impl Text<'_> {
    fn render(&self, within: Range<usize>, from: usize) -> String {
        let mut out = String::new();
        let mut at = within.start;
        for (index, (range, site)) in self.sites.all.iter().enumerate().skip(from) {
            if range.start < at || range.end > within.end {
                continue;
            }
            out.push_str(&self.text[at..range.start]);
            out.push_str(&self.site(index, site));
            at = range.end;
        }
        out.push_str(&self.text[at..within.end]);
        out
    }

    fn site(&self, index: usize, site: &Site) -> String {
        let inner = |range: &Range<usize>| self.render(range.clone(), index + 1);
        match site {
            Site::Body { ids } => {
                let returns = |(id, value): &(usize, String)| {
                    format!("/*<{id}*/if {} {{ return {value}; }}/*{id}>*/ ", on(*id))
                };
                ids.iter().map(returns).collect()
            }
            Site::Tail { ids } => {
                let whole = self.sites.all[index].0.clone();
                let tail = inner(&whole);
                ids.iter().fold(tail, |tail, (id, other)| {
                    let on = on(*id);
                    format!(
                        "({tail}).take(if {on} {{ 0 }} else {{ usize::MAX }})\
                         .chain(/*<{id}*/{on}.then(|| {other}).into_iter().flatten()/*{id}>*/)"
                    )
                })
            }
            Site::Logic { and, operands, ids } => {
                let operands = operands.iter().map(inner).collect::<Vec<_>>();
                logic(index, *and, &operands, ids)
            }
            Site::Binary {
                left,
                right,
                operator,
                ids,
            } => {
                let (left, right) = (inner(left), inner(right));
                let arms = ids
                    .iter()
                    .map(|(id, other)| arm(*id, &format!("({left} {other} {right})")));
                let operator = &self.text[operator.clone()];
                let arms: String = arms.collect();
                format!("({arms}{{ ({left} {operator} {right}) }})")
            }
            Site::Unary { operand, id } => {
                let operand = inner(operand);
                let operator = &self.text[self.sites.all[index].0.start..][..1];
                format!(
                    "({}{{ {operator}{operand} }})",
                    arm(*id, &format!("({operand})"))
                )
            }
            Site::Guard {
                guard,
                chained,
                yes,
                no,
            } => {
                let not: Vec<String> = no
                    .iter()
                    .map(|id| format!("/*<{id}*/!{}/*{id}>*/", on(*id)))
                    .collect();
                match guard {
                    None => format!(" if {}", not.join(" && ")),
                    Some(guard) if *chained => {
                        let all = not.into_iter().chain([inner(guard)]).collect::<Vec<_>>();
                        all.join(" && ")
                    }
                    Some(guard) => {
                        let arms: String = no.iter().map(|id| arm(*id, "false")).collect();
                        let yes = yes.map(|id| arm(id, "true")).unwrap_or_default();
                        format!("({arms}{yes}{{ {} }})", inner(guard))
                    }
                }
            }
            Site::Field {
                name,
                value,
                rest,
                id,
            } => format!("{name}: ({}{{ {} }})", arm(*id, rest), inner(value)),
        }
    }
}

/// A chain of operands of which one operator is the other one, with the precedence that the text would have: in
/// `a && b || c` it is `a && b`, in `a || b && c` it is `b && c` that belongs together.
fn logic(index: usize, and: bool, operands: &[String], ids: &[Option<usize>]) -> String {
    let switched = |id: &Option<usize>| id.map_or("false".into(), on);
    let mut out = format!("('chain{index}: {{ let so_far: bool = {};", operands[0]);
    for (id, operand) in ids.iter().zip(&operands[1..]) {
        let on = switched(id);
        // Switched, what came before decides where it is true, and is forgotten where it is not.
        out.push_str(&if and {
            format!(
                " if so_far == {on} {{ break 'chain{index} so_far; }} let so_far: bool = {operand};"
            )
        } else {
            format!(
                " if so_far && !{on} {{ break 'chain{index} true; }} \
                 let so_far: bool = if so_far || !{on} {{ {operand} }} else {{ false }};"
            )
        });
    }
    out.push_str(" so_far })");
    out
}
