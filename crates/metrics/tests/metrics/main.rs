//! The metrics against toys, naive twins and reference arrays.

mod common;
mod configuration;
mod heads;
mod hidden;
mod ilsvrc;
mod squeezenet;
mod toys;
mod twins;
