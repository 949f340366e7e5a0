//! What a network's classes are called: told, said by its file, or assumed.

use elucid_graph::Graph;
use elucid_models::Labels;

use crate::error::ModelError;
use crate::head::{Head, HeadKind};
use crate::model::Facts;
use crate::opening::Remark;

/// Keys of a file's metadata under which trainers write the names of classes.
const KEYS: [&str; 6] = [
    "names",
    "labels",
    "classes",
    "class_names",
    "id2label",
    "categories",
];

/// Refuses names that are not as many as there are classes.
pub(crate) fn check(labels: &Labels, head: &Head) -> Result<(), ModelError> {
    let (names, wrong) = (labels.len(), |reason| Err(ModelError::Labels { reason }));
    let set = labels.set();
    match head.count() {
        _ if names == 0 => wrong(format!("{set} holds no names")),
        // What there is for each box is not only classes.
        None => Ok(()),
        Some(count) if fits(names, head, count) => Ok(()),
        Some(count) => {
            let background = match names + 1 == count {
                true => "; if the first class is the background, name it in the first line",
                false => "",
            };
            let classes = match head.kind() {
                HeadKind::Binary => "2 answers (or one name, of yes)".to_owned(),
                HeadKind::Number | HeadKind::Numbers => format!("{count} numbers"),
                _ => format!("{count} classes"),
            };
            wrong(format!(
                "{set} has {names} names, and the network has {classes}{background}"
            ))
        }
    }
}

fn fits(names: usize, head: &Head, count: usize) -> bool {
    names == count || (head.kind() == HeadKind::Binary && names == 2)
}

/// The names of a network that nobody named: those that its file holds, or ImageNet's, with what has
/// to be said of them.
pub(crate) fn unsaid(graph: &Graph, head: &Head, remarks: &mut Vec<Remark>) -> Option<Labels> {
    if let Some(labels) = said_by_the_file(graph, head, remarks) {
        return Some(labels);
    }
    let classes = head.count().filter(|_| head.kind() == HeadKind::Classes)?;
    let imagenet = Labels::imagenet();
    let (labels, what) = match classes.checked_sub(imagenet.len()) {
        Some(0) => (imagenet, "1000 classes have ImageNet's names"),
        Some(1) => (
            imagenet.with_background(),
            "1001 classes have ImageNet's names behind a background",
        ),
        _ => return None,
    };
    remarks.push(Remark::about_names(format!(
        "nobody named the classes: it is assumed that {what}; Opening::labels names them"
    )));
    Some(labels)
}

fn said_by_the_file(graph: &Graph, head: &Head, remarks: &mut Vec<Remark>) -> Option<Labels> {
    let (key, text) = KEYS
        .into_iter()
        .find_map(|key| Some((key, graph.metadata().get(key)?)))?;
    let set = format!("\"{key}\" in the file's metadata");
    let labels = Labels::read(&set, text).map_err(|error| error.to_string());
    let labels = labels.and_then(|labels| {
        check(&labels, head).map_err(|error| error.to_string())?;
        Ok(labels)
    });
    match labels {
        Ok(labels) => Some(labels),
        Err(error) => {
            remarks.push(Remark::about_names(format!(
                "names in the file are not used: {error}"
            )));
            None
        }
    }
}

impl Facts {
    /// The name of the class that stands before the one that is scored: of a yes-or-no network with two
    /// names.
    fn negative(&self) -> Option<&str> {
        let labels = self.labels.as_ref()?;
        match (self.head.kind(), labels.len()) {
            (HeadKind::Binary, 2) => labels.name(0),
            _ => None,
        }
    }

    /// Name of a class, or its number where there are no names.
    pub(crate) fn label(&self, index: usize) -> String {
        let place = index + usize::from(self.negative().is_some());
        let name = self.labels.as_ref().and_then(|labels| labels.name(place));
        match (name, self.head.kind()) {
            (Some(name), _) => name.to_owned(),
            (None, HeadKind::Number) => "output".to_owned(),
            (None, HeadKind::Numbers) => format!("output {index}"),
            (None, _) => format!("class {index}"),
        }
    }

    /// The class of so many that a number or a name means.
    pub(crate) fn class(&self, name: &str, count: usize) -> Result<usize, ModelError> {
        let unknown = |reason| Err(ModelError::UnknownClass { reason });
        let last = count.saturating_sub(1);
        if let Ok(index) = name.trim().parse::<usize>() {
            return match index < count {
                true => Ok(index),
                false if count == 1 => unknown(format!("no class {index}: the model has one, 0")),
                false => unknown(format!(
                    "no class {index}: the model has classes 0 to {last}"
                )),
            };
        }
        let Some(labels) = &self.labels else {
            return unknown(format!(
                "no class \"{name}\": the model has no class names, give a number from 0 to {last}, or \
                 names by Opening::labels"
            ));
        };
        match (labels.find(name), self.negative()) {
            (Err(error), _) => unknown(error.to_string()),
            (Ok(0), Some(no)) => unknown(format!(
                "\"{no}\" is the answer that has no score of its own: none:0 explains it"
            )),
            (Ok(found), Some(_)) => Ok(found - 1),
            (Ok(found), None) => Ok(found),
        }
    }
}
