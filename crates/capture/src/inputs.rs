//! What goes into a forward pass beside the images, and what comes out.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::backend::DispatchTensor;
use burn::backend::capture::TensorId;
use burn::tensor::{Device, Int, Tensor};

use crate::mark::id_of;

/// An input beside the images, by its name and its shape for one image.
///
/// It becomes an input of the graph with a batch axis in front: every image has a row of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

impl Beside {
    /// An input with this shape for one image; empty for one number.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self {
            name: name.into(),
            shape: shape.into(),
        }
    }
}

/// The inputs beside the images, inside a forward pass.
#[derive(Debug)]
pub struct Inputs {
    images: usize,
    device: Device,
    declared: Vec<Beside>,
    made: RefCell<BTreeMap<String, Made>>,
}

/// An input that the pass has asked for.
#[derive(Debug, Clone)]
struct Made {
    tensor: DispatchTensor,
    given: Given,
}

#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub id: TensorId,
    pub is_int: bool,
}

impl Inputs {
    pub(crate) fn new(images: usize, device: &Device, declared: &[Beside]) -> Self {
        Self {
            images,
            device: device.clone(),
            declared: declared.to_vec(),
            made: RefCell::default(),
        }
    }

    /// An input of floating-point numbers, `[N, ..]`.
    ///
    /// # Panics
    ///
    /// When no input has this name, or it has another rank, or was asked for as integers before. Inside a
    /// capture, where alone this type exists, that becomes a [`CaptureError`](crate::CaptureError).
    pub fn float<const D: usize>(&self, name: &str) -> Tensor<D> {
        let shape = self.shape::<D>(name);
        let tensor = self.ask(name, false, || {
            let x = Tensor::<D>::zeros(shape, &self.source()).to_device(&self.device);
            (id_of(&x), x.into_dispatch())
        });
        Tensor::from_dispatch(tensor)
    }

    /// An input of integers, `[N, ..]`.
    ///
    /// # Panics
    ///
    /// As [`Inputs::float`].
    pub fn int<const D: usize>(&self, name: &str) -> Tensor<D, Int> {
        let shape = self.shape::<D>(name);
        let tensor = self.ask(name, true, || {
            let x = Tensor::<D, Int>::zeros(shape, &self.source()).to_device(&self.device);
            (crate::mark::id_of_int(&x), x.into_dispatch())
        });
        Tensor::from_dispatch(tensor)
    }

    /// Where a value is made that the recording is to take for given.
    fn source(&self) -> Device {
        crate::record::source()
    }

    fn shape<const D: usize>(&self, name: &str) -> [usize; D] {
        let Some(declared) = self.declared.iter().find(|beside| beside.name == name) else {
            let names: Vec<_> = self.declared.iter().map(|b| b.name.as_str()).collect();
            panic!("no input is called \"{name}\": there are {names:?}");
        };
        let mut shape = vec![self.images];
        shape.extend(&declared.shape);
        let rank = shape.len();
        shape.try_into().unwrap_or_else(|_| {
            panic!("input \"{name}\" has {rank} axes with the batch, not {D}");
        })
    }

    fn ask(
        &self,
        name: &str,
        is_int: bool,
        make: impl FnOnce() -> (Option<TensorId>, DispatchTensor),
    ) -> DispatchTensor {
        if let Some(made) = self.made.borrow().get(name) {
            assert!(
                made.given.is_int == is_int,
                "input \"{name}\" is asked for as integers and as floating-point numbers"
            );
            return made.tensor.clone();
        }
        let (id, tensor) = make();
        let id = id.expect("what is moved to a recording device is on it");
        let given = Given { id, is_int };
        let made = Made {
            tensor: tensor.clone(),
            given,
        };
        self.made.borrow_mut().insert(name.to_owned(), made);
        tensor
    }

    /// The inputs that were asked for.
    pub(crate) fn given(&self) -> Vec<(String, Given)> {
        let made = self.made.borrow();
        made.iter()
            .map(|(name, made)| (name.clone(), made.given.clone()))
            .collect()
    }
}

/// What a forward pass returns: a tensor, several, or nested groups of them.
///
/// Of several, the graph has an output each, in order.
pub trait Outputs {
    /// Visits each tensor by its identity on the recording device; `None` for one that is elsewhere.
    #[doc(hidden)]
    fn ids(&self) -> Vec<Option<TensorId>>;
}

impl<const D: usize> Outputs for Tensor<D> {
    fn ids(&self) -> Vec<Option<TensorId>> {
        vec![id_of(self)]
    }
}

impl<const D: usize> Outputs for Tensor<D, Int> {
    fn ids(&self) -> Vec<Option<TensorId>> {
        vec![crate::mark::id_of_int(self)]
    }
}

impl<T: Outputs> Outputs for Vec<T> {
    fn ids(&self) -> Vec<Option<TensorId>> {
        self.iter().flat_map(Outputs::ids).collect()
    }
}

impl<T: Outputs, const N: usize> Outputs for [T; N] {
    fn ids(&self) -> Vec<Option<TensorId>> {
        self.iter().flat_map(Outputs::ids).collect()
    }
}

macro_rules! tuples {
    ($(($($name:ident $place:tt),+);)*) => {
        $(impl<$($name: Outputs),+> Outputs for ($($name,)+) {
            fn ids(&self) -> Vec<Option<TensorId>> {
                let mut ids = Vec::new();
                $(ids.extend(self.$place.ids());)+
                ids
            }
        })*
    };
}

tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
    (A 0, B 1, C 2, D 3, E 4, F 5);
}
