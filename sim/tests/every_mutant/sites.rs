//! Where in a source file each mutant is, and what it would have to be put around. Knows the grammar of Rust, nothing of
//! what a mutant means.

use super::listed::{Genre, Mutant};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, UnOp};

/// A mutant with its number.
pub type Numbered<'a> = (usize, &'a Mutant);

/// What is rewritten around one place of the source.
pub enum Site {
    /// A function that returns at once.
    Body {
        ids: Vec<(usize, String)>,
    },
    /// The end of a function that returns some iterator: another type cannot be returned beside it.
    Tail {
        ids: Vec<(usize, String)>,
    },
    /// `a && b && c`, an operator after each operand but the last.
    Logic {
        and: bool,
        operands: Vec<Range<usize>>,
        ids: Vec<Option<usize>>,
    },
    /// `a < b`, `a += b`.
    Binary {
        left: Range<usize>,
        right: Range<usize>,
        operator: Range<usize>,
        ids: Vec<(usize, String)>,
    },
    Unary {
        operand: Range<usize>,
        id: usize,
    },
    /// The guard of an arm, or the place where one would be.
    Guard {
        guard: Option<Range<usize>>,
        chained: bool,
        yes: Option<usize>,
        no: Vec<usize>,
    },
    /// A field that is taken from the rest of its struct instead.
    Field {
        name: String,
        value: Range<usize>,
        rest: String,
        id: usize,
    },
}

/// All places of a file, from the first to the last, and those around others before them.
pub struct Sites {
    pub all: Vec<(Range<usize>, Site)>,
    /// The mutants that found a place.
    pub placed: BTreeSet<usize>,
}

pub fn find(text: &str, mutants: &[Numbered<'_>]) -> Sites {
    let file = syn::parse_file(text).expect("core's sources are Rust");
    let mut wanted: BTreeMap<(usize, Genre), Vec<Numbered<'_>>> = BTreeMap::new();
    for (id, mutant) in mutants {
        let place = (byte_of(text, mutant.line, mutant.column), mutant.genre);
        wanted.entry(place).or_default().push((*id, mutant));
    }
    let mut finder = Finder {
        text,
        wanted,
        found: Vec::new(),
        chained: BTreeSet::new(),
        placed: BTreeSet::new(),
    };
    finder.visit_file(&file);
    let mut all = finder.found;
    let around = |site: &Site| !matches!(site, Site::Body { .. });
    all.sort_by_key(|(range, site)| (range.start, around(site), std::cmp::Reverse(range.end)));
    Sites {
        all,
        placed: finder.placed,
    }
}

struct Finder<'a> {
    text: &'a str,
    /// Mutants by the byte where they begin.
    wanted: BTreeMap<(usize, Genre), Vec<Numbered<'a>>>,
    found: Vec<(Range<usize>, Site)>,
    /// Operators of chains that are dealt with.
    chained: BTreeSet<usize>,
    placed: BTreeSet<usize>,
}

/// `line` and `column` count from 1, and columns count characters.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let characters = text[before..].chars().take(column - 1);
    before + characters.map(char::len_utf8).sum::<usize>()
}

fn range(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

impl<'a> Finder<'a> {
    fn take(&mut self, at: usize, genre: Genre) -> Vec<(usize, String)> {
        let there = self.wanted.remove(&(at, genre)).unwrap_or_default();
        self.placed.extend(there.iter().map(|(id, _)| *id));
        let ids = there.iter().map(|(id, m)| (*id, m.replacement.clone()));
        ids.collect()
    }

    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let Some(first) = block.stmts.first() else {
            return;
        };
        let start = range(first).start;
        let ids = self.take(start, Genre::FnValue);
        let some_iterator = matches!(&signature.output, syn::ReturnType::Type(_, kind)
            if matches!(**kind, syn::Type::ImplTrait(_)));
        let last = block.stmts.last();
        if ids.is_empty() {
        } else if some_iterator && let Some(syn::Stmt::Expr(tail, None)) = last {
            self.found.push((range(tail), Site::Tail { ids }));
        } else {
            self.found.push((start..start, Site::Body { ids }));
        }
    }

    /// `a && b && c`. With a `let` among them, `||` is no Rust.
    fn chain(&mut self, whole: &syn::ExprBinary) {
        let and = matches!(whole.op, BinOp::And(_));
        let mut operands = vec![&*whole.right];
        let mut operators = vec![range(&whole.op).start];
        let mut left = &*whole.left;
        while let Expr::Binary(inner) = left
            && matches!(inner.op, BinOp::And(_)) == and
            && matches!(inner.op, BinOp::And(_) | BinOp::Or(_))
        {
            operands.push(&inner.right);
            operators.push(range(&inner.op).start);
            left = &inner.left;
        }
        operands.push(left);
        operands.reverse();
        operators.reverse();
        self.chained.extend(operators.iter().copied());
        if operands.iter().any(|e| matches!(e, Expr::Let(_))) {
            return;
        }
        let mut ids = Vec::new();
        for at in operators {
            ids.push(
                self.take(at, Genre::BinaryOperator)
                    .first()
                    .map(|(id, _)| *id),
            );
        }
        if ids.iter().any(Option::is_some) {
            let operands = operands.into_iter().map(range).collect();
            self.found
                .push((range(whole), Site::Logic { and, operands, ids }));
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.body(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.body(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let operator = range(&node.op);
        if matches!(node.op, BinOp::And(_) | BinOp::Or(_)) {
            if !self.chained.contains(&operator.start) {
                self.chain(node);
            }
        } else {
            let ids = self.take(operator.start, Genre::BinaryOperator);
            if !ids.is_empty() {
                let site = Site::Binary {
                    left: range(&node.left),
                    right: range(&node.right),
                    operator,
                    ids,
                };
                self.found.push((range(node), site));
            }
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let whole = range(node);
        if matches!(node.op, UnOp::Not(_) | UnOp::Neg(_)) {
            for (id, _) in self.take(whole.start, Genre::UnaryOperator) {
                let operand = range(&node.expr);
                self.found
                    .push((whole.clone(), Site::Unary { operand, id }));
            }
        }
        visit::visit_expr_unary(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        let mut no: Vec<usize> = Vec::new();
        for (id, _) in self.take(range(node).start, Genre::MatchArm) {
            no.push(id);
        }
        let mut yes = None;
        let mut guard = None;
        let mut chained = false;
        if let Some((_, expr)) = &node.guard {
            guard = Some(range(&**expr));
            chained = has_let(expr);
            for (id, value) in self.take(range(&**expr).start, Genre::MatchArmGuard) {
                match value.as_str() {
                    "false" => no.push(id),
                    // What a `let` binds is not there without it.
                    _ if chained => {
                        self.placed.remove(&id);
                    }
                    _ => yes = Some(id),
                }
            }
        }
        if yes.is_some() || !no.is_empty() {
            let end = range(&node.pat).end;
            let place = guard.clone().unwrap_or(end..end);
            let site = Site::Guard {
                guard,
                chained,
                yes,
                no,
            };
            self.found.push((place, site));
        }
        visit::visit_arm(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        for field in &node.fields {
            let (Some(rest), syn::Member::Named(name)) = (&node.rest, &field.member) else {
                continue;
            };
            for (id, _) in self.take(range(field).start, Genre::StructField) {
                let (kind, rest_text) = (range(&node.path), range(&**rest));
                let (kind, rest_text) = (&self.text[kind], &self.text[rest_text]);
                let rest = match &**rest {
                    Expr::Path(_) | Expr::Field(_) => format!("{rest_text}.{name}"),
                    _ => format!("let rest: {kind} = {rest_text}; rest.{name}"),
                };
                let site = Site::Field {
                    name: name.to_string(),
                    value: range(&field.expr),
                    rest,
                    id,
                };
                self.found.push((range(field), site));
            }
        }
        visit::visit_expr_struct(self, node);
    }
}

fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}
