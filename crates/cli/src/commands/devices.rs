//! `elucid devices`: what `--device` can take.

use clap::Args;
use elucid::device::{self, DeviceChoice};
use serde::Serialize;

use crate::console::{Output, table};
use crate::error::CliError;

#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    /// What to type after `--device`.
    device: String,
    /// What that takes, or why it takes nothing.
    description: String,
    /// Whether it can be used.
    usable: bool,
}

#[derive(Debug, Serialize)]
struct List {
    devices: Vec<Row>,
}

pub fn run(args: &DevicesArgs) -> Result<(), CliError> {
    let mut rows: Vec<Row> = [
        DeviceChoice::Auto,
        DeviceChoice::Cpu,
        DeviceChoice::Wgpu(None),
    ]
    .map(row)
    .into();
    for adapter in device::list() {
        rows.push(Row {
            device: format!("wgpu:{}", adapter.index),
            description: format!("{} ({}, {})", adapter.name, adapter.api, adapter.kind),
            usable: true,
        });
    }
    let mut out = Output::new();
    if args.json {
        out.json("devices", &List { devices: rows })?;
    } else {
        let lines: Vec<_> = rows
            .into_iter()
            .map(|r| vec![r.device, r.description])
            .collect();
        for line in table(&lines, &[]) {
            out.line(line)?;
        }
    }
    out.flush()
}

fn row(choice: DeviceChoice) -> Row {
    let opened = device::open(choice);
    Row {
        device: choice.to_string(),
        usable: opened.is_ok(),
        description: match opened {
            Ok(chosen) => chosen.description,
            Err(reason) => reason.to_string(),
        },
    }
}
