//! What burn takes apart, put together again: one line for what is one thing, as an exporter would write
//! it, so that it has one name and one rule.
//!
//! Attention and squeeze-and-excitation stay as they are: the graph finds them by itself, however they are
//! spelled.

mod linear;
mod norm;
mod pointwise;
mod pool;
mod response;

use std::collections::HashMap;

use crate::program::{Id, Line, Program};

/// Brings a program into its normal form.
pub(crate) fn normalise(program: &mut Program) {
    program.prune();
    linear::operands(program);
    linear::rows(program);
    linear::biases(program);
    response::find(program);
    norm::find(program);
    pool::padded(program);
    pool::means(program);
    program.prune();
    pointwise::find(program);
    program.prune();
}

/// Who makes and who reads each value, while nothing changes.
struct Uses {
    makers: HashMap<Id, usize>,
    readers: HashMap<Id, Vec<usize>>,
}

impl Uses {
    fn of(program: &Program) -> Self {
        Self {
            makers: program.makers(),
            readers: program.readers(),
        }
    }

    /// The line that makes a value, if it is of this operator.
    fn maker<'p>(&self, program: &'p Program, id: Id, operator: &str) -> Option<&'p Line> {
        let line = &program.lines[*self.makers.get(&id)?];
        (line.operator == operator).then_some(line)
    }

    /// The same where nothing but one line reads the value, so that it can disappear.
    fn inner<'p>(&self, program: &'p Program, id: Id, operator: &str) -> Option<&'p Line> {
        self.is_inner(program, id)
            .then(|| self.maker(program, id, operator))?
    }

    fn is_inner(&self, program: &Program, id: Id) -> bool {
        !program.is_kept(id)
            && self
                .readers
                .get(&id)
                .is_some_and(|readers| readers.len() == 1)
    }

    /// The place of the only line that reads a value, if it is of this operator.
    fn next(&self, program: &Program, id: Id, operator: &str) -> Option<usize> {
        if !self.is_inner(program, id) {
            return None;
        }
        let &place = self.readers.get(&id)?.first()?;
        (program.lines[place].operator == operator).then_some(place)
    }
}
