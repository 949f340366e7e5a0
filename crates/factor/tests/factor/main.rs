//! The factorisations against naive twins and arrays of reference programs.

mod common;
mod nmf;
mod reducers;
mod reference;
