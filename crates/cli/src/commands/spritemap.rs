//! `elucid spritemap`: a small picture of every channel of a layer, in one grid.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Subcommand};
use elucid::optvis::VisError;
use elucid::prelude::*;
use elucid::render::file::write_atomically;
use elucid::study::shared::{self, Blocks, Ended, Leases};
use elucid::study::{Build, lease};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::args::{ModelArgs, RunArgs};
use crate::console::{Output, to_json};
use crate::error::CliError;
use crate::flags_or::FlagsOr;
use crate::icons::{Channels, IconArgs, IconFacts, channel_count, parse_channels, parse_side};
use crate::interrupt::Interrupt;
use crate::output::REPORT;
use crate::report::{Clock, InputFacts, ModelFacts, Step, build, remarks};
use crate::schema::Versioned;
use crate::session::Session;
use crate::settings::{MergeArgs, SETTINGS, Shard, SharedArgs, ended, parse_shard};
use crate::workers::StatusArgs;

use self::folder::{Begin, Folder};

mod folder;
mod merge;
mod status;

/// The grid; its description lies beside it.
const PICTURE: &str = "sprites.png";
const DESCRIPTION: &str = "sprites.json";

/// Version of what a folder holds. Versions before 2 had no number and no journal.
const SCHEMA: u32 = 2;

/// As reports name it.
const COMMAND: &str = "spritemap";

/// A sprite map, or something done with sprite maps.
pub type SpritemapArgs = FlagsOr<Making, SpritemapCommand>;

#[derive(Debug, Subcommand)]
pub enum SpritemapCommand {
    /// Put the maps of shards together
    Merge(MergeArgs),
    /// Say how far maps are, and who is working on them
    Status(StatusArgs),
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

    /// Go on with what a run that ended early left in the folder, or help one that runs
    #[arg(long)]
    resume: bool,

    #[command(flatten)]
    shared: SharedArgs,

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
    /// [`SCHEMA`].
    schema: u32,
    build: Build,
    /// What computes, in words that are the same on all machines that compute the same.
    device: String,
    /// How many channels make a block, of which one worker at a time takes care.
    block: usize,
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
    fn new(args: &Making, session: &Session) -> Result<Self, CliError> {
        let model = &session.model;
        let layer = model.layer(&args.layer)?;
        let channels = args.channels.as_ref().map(|channels| {
            let mut channels = channels.of(model, layer)?;
            channels.sort_unstable();
            Ok::<_, CliError>(channels)
        });
        Ok(Self {
            schema: SCHEMA,
            build: build(),
            device: session.kind().to_owned(),
            block: args.icons.batch_size(),
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

    /// The channels of a block, of those that are planned.
    fn block_of<'p>(&self, planned: &'p [usize], block: usize) -> &'p [usize] {
        planned
            .chunks(self.block.max(1))
            .nth(block)
            .unwrap_or_default()
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
    /// The devices and programs, where they were several.
    made_by: Vec<String>,
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
        SpritemapArgs::Command(SpritemapCommand::Status(args)) => status::run(&args),
    }
}

fn make(args: &Making) -> Result<(), CliError> {
    // From the beginning: a signal while the model opens ends it as any other does.
    let interrupt = Interrupt::watch()?;
    let mut clock = Clock::default();
    let session = clock.time("open the model", || Session::open(&args.run, &args.model))?;
    let mut settings = Settings::new(args, &session)?;
    let planned = settings.planned();
    if planned.is_empty() {
        return Err(CliError::Usage(format!(
            "shard {} holds none of {} channels",
            args.shard,
            settings.channels.as_ref().map_or(settings.count, Vec::len)
        )));
    }
    let begin = Begin {
        resume: args.resume,
        allow_mixed: args.shared.allow_mixed,
        stale_after: args.shared.stale.time(),
    };
    let folder = Folder::open(&args.out, &mut settings, &begin)?;
    folder
        .known
        .lost
        .iter()
        .for_each(|what| session.console.note(format!("{what}; it is made again")));
    let missing = settings.missing(&folder.known.map).len();
    let (all, done) = (planned.len(), planned.len() - missing);
    if done > 0 {
        let text = format!("{done} of {all} channels are done");
        session.console.note(text);
    }
    let bar = (session.console).steps(&format!("sprites of {}", settings.layer));
    bar.set_length((missing * args.icons.steps()) as u64);
    let mut making = Sprites {
        args,
        session: &session,
        settings: &settings,
        planned: &planned,
        folder,
        bar,
        stop: interrupt.flag(),
        is_told: false,
    };
    let together = args.icons.batch_size();
    let made = clock.time("optimise", || {
        shared::run(&mut making, together, &interrupt.flag())
    });
    let Sprites { folder, bar, .. } = making;
    bar.finish_and_clear();
    let how = match made {
        Ok(how) => how,
        Err(error) => {
            folder.abandon()?;
            return Err(error);
        }
    };
    finish(
        args,
        (&session, &settings),
        folder,
        (how, &interrupt),
        clock,
    )
}

/// Draws the map, and says what there is.
fn finish(
    args: &Making,
    (session, settings): (&Session, &Settings),
    folder: Folder,
    (how, interrupt): (Ended, &Interrupt),
    clock: Clock,
) -> Result<(), CliError> {
    let all = settings.planned().len();
    if how == Ended::Stopped {
        let known = folder.close()?;
        // Whoever else is at it knows more, and draws it in the end.
        if !known.map.present().is_empty()
            && lease::held(&args.out, args.shared.stale.time())?.is_empty()
        {
            known.draw()?;
        }
        let done = all - settings.missing(&known.map).len();
        return Err(ended(
            interrupt,
            format!("{done} of {all} channels are done"),
        ));
    }
    let known = folder.close()?;
    known.draw()?;
    let report = Report {
        command: COMMAND,
        device: Some(&session.device),
        threads: Some(rayon::current_num_threads()),
        settings,
        batch_size: Some(args.icons.batch_size()),
        remarks: &settings.remarks,
        made_by: shared::Session::mixed(&known.sessions).unwrap_or_default(),
        planned: all,
        missing: Vec::new(),
        seconds: clock.steps(),
        files: [SETTINGS, PICTURE, DESCRIPTION, REPORT]
            .map(str::to_owned)
            .to_vec(),
    };
    let report = to_json(&Versioned::of(COMMAND, &report))? + "\n";
    write_atomically(args.out.join(REPORT), report.as_bytes())?;
    say(
        &args.out,
        (settings, &known.map),
        args.json.then_some(&*report),
    )
}

/// The sprites of a layer, block by block.
struct Sprites<'s> {
    args: &'s Making,
    session: &'s Session,
    settings: &'s Settings,
    planned: &'s [usize],
    folder: Folder,
    /// Over steps, of all channels that were missing at first.
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
    /// Whether it was said that the network sees pictures of another size.
    is_told: bool,
}

impl Sprites<'_> {
    fn missing(&self, block: usize) -> impl Iterator<Item = usize> {
        let channels = self.settings.block_of(self.planned, block).iter().copied();
        channels.filter(|&channel| !self.folder.known.map.contains(channel))
    }
}

impl Blocks for Sprites<'_> {
    type Error = CliError;

    fn count(&self) -> usize {
        self.planned.len().div_ceil(self.settings.block.max(1))
    }

    fn left(&self, block: usize) -> usize {
        self.missing(block).count()
    }

    fn leases(&self) -> &Leases {
        self.folder.leases()
    }

    fn refresh(&mut self) -> Result<(), CliError> {
        self.folder.refresh()
    }

    fn work(&mut self, blocks: &[usize]) -> Result<Ended, CliError> {
        let channels = blocks.iter().flat_map(|&block| self.missing(block));
        let channels: Vec<usize> = channels.collect();
        for channels in channels.chunks(self.args.icons.batch_size()) {
            if self.optimise(channels)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Whole)
    }

    fn waits(&mut self) {
        let text = "others are at the channels that are left; waiting for them";
        self.session.console.note(text);
    }
}

impl Sprites<'_> {
    /// Adds the sprites of these channels, which are optimised together.
    fn optimise(&mut self, channels: &[usize]) -> Result<Ended, CliError> {
        let &mut Self {
            args,
            session,
            settings,
            ..
        } = self;
        let steps = args.icons.steps();
        let left: usize = (0..self.count()).map(|block| self.left(block)).sum();
        let length = self.bar.length().unwrap_or_default();
        let before = length.saturating_sub((left * steps) as u64);
        let together = channels.len();
        let vis = args.icons.vis([settings.size; 2], channels, {
            let (bar, stop) = (self.bar.clone(), Arc::clone(&self.stop));
            move |at| {
                bar.set_position(before + (at.done * together) as u64);
                match stop.load(Ordering::Relaxed) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            }
        });
        let made = match vis.channels(&session.model, &settings.layer, channels) {
            Err(VisError::Cancelled(_)) => return Ok(Ended::Stopped),
            made => made?,
        };
        if let (false, Some([height, width])) = (self.is_told, made.network_size()) {
            session.console.note(format!(
                "the network does not take pictures of this size at {}, and sees them resized to \
                 {height} x {width}",
                settings.layer
            ));
            self.is_told = true;
        }
        let sprites = made
            .all_bytes()
            .map(|bytes| Picture::from_rgb(bytes.view()));
        let sprites: Vec<Picture> = sprites.collect::<Result<_, _>>()?;
        self.folder.add(channels, &sprites)?;
        info!(channels = together, first = channels[0], "sprites made");
        Ok(Ended::Whole)
    }
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
