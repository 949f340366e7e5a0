//! Names of values: the module that a line's parameters belong to, and where it has none, what its
//! neighbours have in common.
//!
//! `inception_3a.b1.conv`, `inception_3a.b1.norm`, `inception_3a.b1.norm/relu`, `inception_3a/concat`. A
//! module as a whole is the value of it that is read outside, which the graph finds by itself from the
//! modules of its nodes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use crate::program::{Constant, Id, Line, Program};

/// What a value is called, and which module its line stands in.
#[derive(Debug)]
pub(crate) struct Names {
    pub values: HashMap<Id, String>,
    /// For each line; empty for the network itself.
    pub modules: Vec<String>,
}

/// Operators that follow a module but need not belong to it: they belong to what their readers and what
/// they read have in common.
fn leaves_module(operator: &str) -> bool {
    operator.contains("Pool")
        || operator.starts_with("Reduce")
        || matches!(
            operator,
            "Pad"
                | "Reshape"
                | "Softmax"
                | "LogSoftmax"
                | "Slice"
                | "Transpose"
                | "Identity"
                | "Resize"
        )
}

/// `BatchNormalization` as `batch_normalization`, `LRN` as `lrn`.
fn snake(operator: &str) -> String {
    let mut out = String::new();
    let mut was_upper = true;
    for c in operator.chars() {
        if c.is_uppercase() && !was_upper {
            out.push('_');
        }
        was_upper = c.is_uppercase();
        out.extend(c.to_lowercase());
    }
    out
}

/// What holds a module or a parameter; nothing for those of the network itself.
fn container(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(container, _)| container)
}

fn common(a: &str, b: &str) -> String {
    let same = a.split('.').zip(b.split('.')).take_while(|(a, b)| a == b);
    same.map(|(a, _)| a).collect::<Vec<_>>().join(".")
}

fn shared(homes: impl Iterator<Item = String>) -> String {
    homes.reduce(|a, b| common(&a, &b)).unwrap_or_default()
}

pub(crate) fn name(program: &Program) -> Names {
    Namer::new(program).run()
}

struct Namer<'p> {
    program: &'p Program,
    fixed: HashSet<Id>,
    /// For what is fixed: the path of the first parameter in it.
    paths: HashMap<Id, String>,
    /// Modules that hold others, so that a line which reads a parameter of their own is not all of them.
    holders: HashSet<String>,
    /// The last value of those that read a module's parameters: the module's own.
    last: HashMap<String, Id>,
    /// What the modules of a value's readers have in common.
    readers: HashMap<Id, String>,
    homes: HashMap<Id, String>,
    /// Values of lines that read parameters.
    anchored: HashSet<Id>,
    /// The line that makes each value.
    makers: HashMap<Id, usize>,
    used: HashSet<String>,
    counts: HashMap<String, usize>,
}

impl<'p> Namer<'p> {
    fn new(program: &'p Program) -> Self {
        let fixed = program.fixed();
        let mut paths = HashMap::new();
        let mut used = HashSet::new();
        for line in &program.lines {
            for id in line.read() {
                if let Some(Constant::Parameter(path)) = &program.value(id).constant {
                    used.insert(path.clone());
                    paths.insert(id, path.clone());
                }
            }
            let read: Option<String> = line.read().find_map(|id| paths.get(&id).cloned());
            if let Some(path) = read.filter(|_| line.outputs.iter().all(|id| fixed.contains(id))) {
                for &out in &line.outputs {
                    paths.insert(out, path.clone());
                }
            }
        }
        used.extend(program.inputs.iter().map(|input| input.name.clone()));
        let mut holders: HashSet<String> = HashSet::from([String::new()]);
        for path in paths.values() {
            let mut module = container(path);
            while !module.is_empty() {
                module = container(module);
                holders.insert(module.to_owned());
            }
        }
        let mut namer = Self {
            program,
            fixed,
            paths,
            holders,
            last: HashMap::new(),
            readers: HashMap::new(),
            homes: HashMap::new(),
            anchored: HashSet::new(),
            makers: program.makers(),
            used,
            counts: HashMap::new(),
        };
        namer.look_ahead();
        namer
    }

    /// The first parameter that a line reads, directly or through constants.
    fn parameter(&self, line: &Line) -> Option<&str> {
        let found = line.read().find_map(|id| self.paths.get(&id));
        found.map(String::as_str)
    }

    /// What stands around the module that a parameter belongs to.
    fn around<'a>(&self, path: &'a str) -> &'a str {
        let module = container(path);
        match self.holders.contains(module) {
            true => module,
            false => container(module),
        }
    }

    fn is_fixed(&self, line: &Line) -> bool {
        line.outputs.iter().all(|id| self.fixed.contains(id))
    }

    fn look_ahead(&mut self) {
        for line in self.program.lines.iter().rev() {
            if self.is_fixed(line) {
                continue;
            }
            let home = match self.parameter(line) {
                Some(path) => Some(self.around(path).to_owned()),
                None => line
                    .outputs
                    .iter()
                    .find_map(|id| self.readers.get(id).cloned()),
            };
            let Some(home) = home else {
                continue;
            };
            for id in line.read() {
                let joined = self.readers.get(&id).map(|other| common(other, &home));
                self.readers
                    .insert(id, joined.unwrap_or_else(|| home.clone()));
            }
        }
        for line in &self.program.lines {
            if self.is_fixed(line) {
                continue;
            }
            if let (Some(path), Some(&out)) = (self.parameter(line), line.outputs.first())
                && !self.holders.contains(container(path))
            {
                self.last.insert(container(path).to_owned(), out);
            }
        }
    }

    fn run(mut self) -> Names {
        let program = self.program;
        let mut values: HashMap<Id, String> = HashMap::new();
        let mut modules = Vec::with_capacity(program.lines.len());
        for input in &program.inputs {
            values.insert(input.value, input.name.clone());
        }
        // What the forward pass says counts before what is guessed.
        for line in &program.lines {
            for &out in &line.outputs {
                if let Some(mark) = &program.value(out).mark {
                    let name = self.unique(mark);
                    values.insert(out, name);
                }
            }
        }
        for line in &program.lines {
            if self.is_fixed(line) {
                let path = self
                    .parameter(line)
                    .map(container)
                    .unwrap_or_default()
                    .to_owned();
                for &out in &line.outputs {
                    let name = self.unique(&joined(&path, &snake(line.operator)));
                    values.insert(out, name);
                }
                modules.push(path);
                continue;
            }
            let (home, name) = self.line(line);
            for &out in &line.outputs {
                if let Entry::Vacant(vacant) = values.entry(out) {
                    vacant.insert(self.unique(&name));
                }
                self.homes.insert(out, home.clone());
            }
            modules.push(home);
        }
        Names { values, modules }
    }

    /// The module of a line, and the name of what it makes.
    fn line(&mut self, line: &Line) -> (String, String) {
        let out = line.outputs.first().copied();
        let data: Vec<Id> = line.read().filter(|id| !self.fixed.contains(id)).collect();
        let kind = snake(line.operator);
        let parameter = self.parameter(line).map(ToOwned::to_owned);
        match parameter {
            Some(path) => {
                let home = container(&path).to_owned();
                let is_last = out.is_some() && self.last.get(&home).copied() == out;
                let name = match is_last {
                    true => home.clone(),
                    // Of a module that holds others, the parameter says more than the module.
                    false if self.holders.contains(&home) => joined(&path, &kind),
                    false => joined(&home, &kind),
                };
                self.anchored.extend(out);
                (home, name)
            }
            None => {
                let of = |id: &Id| self.homes.get(id).cloned().unwrap_or_default();
                let branch = match line.operator {
                    "Add" | "Mul" | "Concat" => self.branch(&data),
                    _ => None,
                };
                let mut home = match branch {
                    // A residual sum belongs to what holds the whole branch that is added: as far as its
                    // lines have parameters, which say it best.
                    Some(branch) => {
                        let anchored = branch.iter().filter(|id| self.anchored.contains(id));
                        let home = match anchored.clone().next() {
                            Some(_) => shared(anchored.map(of)),
                            None => shared(branch.iter().map(of)),
                        };
                        match self.last.contains_key(&home) {
                            true => container(&home).to_owned(),
                            false => home,
                        }
                    }
                    None => shared(data.iter().map(of)),
                };
                if leaves_module(line.operator) {
                    let readers = out.and_then(|out| self.readers.get(&out));
                    home = common(&home, readers.map_or("", String::as_str));
                }
                let name = joined(&home, &kind);
                (home, name)
            }
        }
    }

    /// What a value depends on, constants aside.
    fn above(&self, id: Id) -> BTreeSet<Id> {
        let mut above = BTreeSet::new();
        let mut waiting = vec![id];
        while let Some(next) = waiting.pop() {
            let Some(&place) = self.makers.get(&next) else {
                continue;
            };
            for read in self.program.lines[place].read() {
                if !self.fixed.contains(&read) && above.insert(read) {
                    waiting.push(read);
                }
            }
        }
        above
    }

    /// Of two values where one depends on the other: what lies between them.
    fn branch(&self, data: &[Id]) -> Option<BTreeSet<Id>> {
        let &[a, b] = data else {
            return None;
        };
        let between = |x: Id, y: Id| {
            let mut branch = self.above(x);
            if !branch.remove(&y) {
                return None;
            }
            let before = self.above(y);
            branch.retain(|id| !before.contains(id));
            branch.insert(x);
            Some(branch)
        };
        between(a, b).or_else(|| between(b, a))
    }

    /// The name, or with the next free number.
    fn unique(&mut self, name: &str) -> String {
        if self.used.insert(name.to_owned()) {
            return name.to_owned();
        }
        let count = self.counts.entry(name.to_owned()).or_insert(1);
        loop {
            *count += 1;
            let numbered = format!("{name}_{count}");
            if self.used.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}

fn joined(path: &str, kind: &str) -> String {
    match path.is_empty() {
        true => kind.to_owned(),
        false => format!("{path}/{kind}"),
    }
}
