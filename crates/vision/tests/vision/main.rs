//! Models of pictures: preparation, heads, names.

mod embedded;
mod heads;
mod inputs;
mod names;
