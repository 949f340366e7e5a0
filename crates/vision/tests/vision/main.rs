//! Models of pictures: preparation, heads, names.

mod described;
mod embedded;
mod heads;
mod inputs;
mod maps;
mod names;
