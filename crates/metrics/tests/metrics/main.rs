//! The metrics against toys, naive twins and reference arrays.

mod cam;
mod common;
mod configuration;
mod curves;
mod faithfulness;
mod heads;
mod hidden;
mod ilsvrc;
mod information;
mod localising;
mod names;
mod quantus;
mod randomised;
mod refused;
mod robustness;
mod squeezenet;
mod targets;
mod toys;
mod twins;
