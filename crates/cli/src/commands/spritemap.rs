//! `elucid spritemap`: a small picture of every channel of a layer, in one grid.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use elucid::prelude::*;
use elucid::render::file::write_atomically;
use serde::{Deserialize, Serialize};

use crate::args::{ModelArgs, RunArgs};
use crate::console::{Output, to_json};
use crate::error::CliError;
use crate::flags_or::FlagsOr;
use crate::icons::{Channels, IconArgs, IconFacts, channel_count, parse_channels, parse_side};
use crate::output::REPORT;
use crate::report::{BURN, Clock, InputFacts, ModelFacts, Step, remarks};
use crate::schema::Versioned;
use crate::session::Session;
use crate::settings::{MergeArgs, SETTINGS, Shard, parse_shard};

use self::folder::Folder;

mod folder;
mod merge;

/// The grid; its description lies beside it.
const PICTURE: &str = "sprites.png";
const DESCRIPTION: &str = "sprites.json";

/// As reports name it.
const COMMAND: &str = "spritemap";

/// A sprite map, or something done with sprite maps.
pub type SpritemapArgs = FlagsOr<Making, SpritemapCommand>;

#[derive(Debug, Subcommand)]
pub enum SpritemapCommand {
    /// Put the maps of shards together
    Merge(MergeArgs),
}

#[derive(Debug, Args)]
pub struct Making {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// The layer
    #[arg(long, value_name = "LAYER")]
    layer: String,

    /// Height and width of each picture in pixels
    #[arg(long, value_name = "PIXELS", value_parser = parse_side, default_value = "110")]
    size: usize,

    #[command(flatten)]
    icons: IconArgs,

    /// Only these channels: numbers and ranges with commas, such as 3,8-15
    #[arg(long, value_name = "N,...", value_parser = parse_channels)]
    channels: Option<Channels>,

    /// Only every N-th channel, from the K-th on
    #[arg(long, value_name = "K/N", value_parser = parse_shard, default_value = "1/1")]
    shard: Shard,

    /// Go on with what a run that ended early left in the folder
    #[arg(long)]
    resume: bool,

    /// Where the results go: a folder that is new or empty, or with --resume one with results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Print report.json instead of lines for people
    #[arg(long)]
    json: bool,
}

/// Everything that the pictures depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    elucid: String,
    burn: String,
    model: ModelFacts,
    input: InputFacts,
    layer: String,
    /// How many channels the layer has.
    count: usize,
    size: usize,
    icons: IconFacts,
    /// Those that were asked for, in ascending order; all of them if absent.
    channels: Option<Vec<usize>>,
    shard: Shard,
    /// How many shards this map was merged from; 0 for the map of one run.
    merged_from: usize,
    /// What was assumed of the network where nobody said it.
    #[serde(default)]
    remarks: Vec<String>,
}

impl Settings {
    fn new(args: &Making, model: &Model) -> Result<Self, CliError> {
        let layer = model.layer(&args.layer)?;
        let channels = args.channels.as_ref().map(|channels| {
            let mut channels = channels.of(model, layer)?;
            channels.sort_unstable();
            Ok::<_, CliError>(channels)
        });
        Ok(Self {
            elucid: env!("CARGO_PKG_VERSION").to_owned(),
            burn: BURN.to_owned(),
            model: ModelFacts::of(model),
            input: InputFacts::of(model).whoever_said_it(),
            layer: layer.name().to_owned(),
            count: channel_count(model, layer)?,
            size: args.size,
            icons: args.icons.facts(),
            channels: channels.transpose()?,
            shard: args.shard,
            merged_from: 0,
            remarks: remarks(model),
        })
    }

    /// The channels of the shard, in ascending order.
    fn planned(&self) -> Vec<usize> {
        let all = match &self.channels {
            Some(channels) => channels.clone(),
            None => (0..self.count).collect(),
        };
        let mine = (all.into_iter().enumerate()).filter(|(place, _)| self.shard.takes(*place));
        mine.map(|(_, channel)| channel).collect()
    }

    /// How the sprites were made, in the map's description.
    fn provenance(&self) -> String {
        let sha256 = self.model.sha256.get(..12).unwrap_or_default();
        format!("{} ({sha256}), {}", self.model.name, self.icons)
    }

    /// A map without sprites.
    fn map(&self) -> Result<SpriteMap, CliError> {
        let map = SpriteMap::new(&self.layer, self.size, self.count)?;
        Ok(map.provenance(self.provenance()))
    }

    /// Those of the planned channels that the map has not.
    fn missing(&self, map: &SpriteMap) -> Vec<usize> {
        let planned = self.planned().into_iter();
        planned.filter(|&channel| !map.contains(channel)).collect()
    }
}

#[derive(Debug, Serialize)]
struct Report<'r> {
    command: &'static str,
    device: Option<&'r str>,
    /// Those that compute on the CPU.
    threads: Option<usize>,
    settings: &'r Settings,
    batch_size: Option<usize>,
    remarks: &'r [String],
    planned: usize,
    /// Planned channels without a sprite, where that was allowed.
    missing: Vec<usize>,
    /// Of this run; a map that was resumed took longer in all.
    seconds: Vec<Step>,
    files: Vec<String>,
}

pub fn run(args: SpritemapArgs) -> Result<(), CliError> {
    match args {
        SpritemapArgs::Flags(args) => make(&args),
        SpritemapArgs::Command(SpritemapCommand::Merge(args)) => merge::run(&args),
    }
}

fn make(args: &Making) -> Result<(), CliError> {
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    let settings = Settings::new(args, &session.model)?;
    let planned = settings.planned();
    if planned.is_empty() {
        return Err(CliError::Usage(format!(
            "shard {} holds none of {} channels",
            args.shard,
            settings.channels.as_ref().map_or(settings.count, Vec::len)
        )));
    }
    let mut folder = Folder::open(&args.out, &settings, args.resume)?;
    let missing = settings.missing(&folder.map);
    let done = planned.len() - missing.len();
    if done > 0 {
        let all = planned.len();
        session
            .console
            .note(format!("{done} of {all} channels are done"));
    }
    let optimised = clock.time("optimise", || {
        optimise(args, &session, &settings, &missing, &mut folder)
    });
    if let Err(error) = optimised {
        folder.abandon();
        return Err(error);
    }
    let report = Report {
        command: COMMAND,
        device: Some(&session.device),
        threads: Some(rayon::current_num_threads()),
        settings: &settings,
        batch_size: Some(args.icons.batch_size()),
        remarks: &settings.remarks,
        planned: planned.len(),
        missing: Vec::new(),
        seconds: clock.steps(),
        files: [SETTINGS, PICTURE, DESCRIPTION, REPORT]
            .map(str::to_owned)
            .to_vec(),
    };
    let report = to_json(&Versioned::of(COMMAND, &report))? + "\n";
    write_atomically(args.out.join(REPORT), report.as_bytes())?;
    let map = folder.close();
    say(&args.out, (&settings, &map), args.json.then_some(&*report))
}

/// Adds the sprites of these channels, a batch at a time.
fn optimise(
    args: &Making,
    session: &Session,
    settings: &Settings,
    channels: &[usize],
    folder: &mut Folder,
) -> Result<(), CliError> {
    let (batch, steps) = (args.icons.batch_size(), args.icons.steps());
    let bar = session
        .console
        .steps(&format!("sprites of {}", settings.layer));
    let total = channels.len().div_ceil(batch).saturating_mul(steps);
    bar.set_length(total as u64);
    for (i, channels) in channels.chunks(batch).enumerate() {
        let vis = args.icons.vis([settings.size; 2], channels, {
            let bar = bar.clone();
            move |at| {
                bar.set_position((i * steps + at.done) as u64);
                at.continue_()
            }
        });
        let made = vis.channels(&session.model, &settings.layer, channels)?;
        if let (0, Some([height, width])) = (i, made.network_size()) {
            session.console.note(format!(
                "the network does not take pictures of this size at {}, and sees them resized to \
                 {height} x {width}",
                settings.layer
            ));
        }
        let mut sprites = Vec::with_capacity(channels.len());
        for (i, &channel) in channels.iter().enumerate() {
            if let Some(bytes) = made.bytes(i) {
                sprites.push((channel, Picture::from_rgb(bytes.view())?));
            }
        }
        folder.add(&sprites)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// What there is, and where, or the report where that is to be printed.
fn say(
    folder: &Path,
    (settings, map): (&Settings, &SpriteMap),
    report: Option<&str>,
) -> Result<(), CliError> {
    let mut out = Output::new();
    if let Some(report) = report {
        out.json_text(report)?;
        return out.flush();
    }
    out.line(format!(
        "{} of {} channels of {}",
        map.present().len(),
        settings.count,
        settings.layer
    ))?;
    out.line(format!("folder  {}", folder.display()))?;
    out.line(format!("map     {}", folder.join(PICTURE).display()))?;
    out.flush()
}
