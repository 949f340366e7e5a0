//! Feature visualisation on toys and on GoogLeNet.

mod featvis_googlenet;
mod featvis_toys;
