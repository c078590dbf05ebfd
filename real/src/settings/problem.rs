//! What is wrong with a configuration, told so that its author can mend it: where, what was expected, what to do.
//! Never quotes a secret.

use super::node::Origin;
use std::cell::RefCell;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// `postgresql.listen`
    pub path: String,
    /// What was found and what was expected.
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: {}; {}",
            self.origin, self.path, self.what, self.remedy
        )
    }
}

/// All problems of one configuration, so that its author sees them at once.
#[derive(Debug, Default)]
pub struct Findings {
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl Findings {
    pub fn error(&self, problem: Problem) {
        self.errors.borrow_mut().push(problem);
    }
    pub fn warn(&self, problem: Problem) {
        self.warnings.borrow_mut().push(problem);
    }
    pub fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.errors.into_inner(), self.warnings.into_inner())
    }
}
