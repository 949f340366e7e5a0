//! `elucid attention`: what each patch attends to, and what attends to it.

use clap::Args;
use elucid::graph::Bytes;
use elucid::prelude::*;
use serde::Serialize;

use crate::args::OutArgs;
use crate::error::CliError;
use crate::look::{LookArgs, LookFacts};
use crate::report::Step;
use crate::target::{self, TargetFacts, TargetList};

use self::blocks::Shown;
use self::compute::Work;

mod blocks;
mod compute;
mod files;

/// As reports name it.
const COMMAND: &str = "attention";

/// The page, among the files of a run.
const PAGE: &str = "attention.html";

#[derive(Debug, Args)]
pub struct AttentionArgs {
    #[command(flatten)]
    look: LookArgs,

    /// What methods explain beside the attention itself: classes by name or number, differences A:B, or
    /// any other target that elucid attribute --help lists, several with commas; by default the two best
    /// guesses
    #[arg(long, visible_alias = "target", value_name = "A,B", value_parser = target::parse_list)]
    targets: Option<TargetList>,

    /// The blocks that the page shows, several with commas: last, numbers from 0, or names of their
    /// modules or weights; by default all
    #[arg(
        long,
        visible_alias = "layer",
        value_name = "BLOCK,...",
        value_delimiter = ','
    )]
    blocks: Vec<String>,

    /// The largest size of the page, such as 100MB; by default 32MiB. Where all heads would make it
    /// larger, it has their mean only
    #[arg(long, value_name = "SIZE")]
    page_limit: Option<Bytes>,

    #[command(flatten)]
    output: OutArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    look: LookFacts,
    /// Rows and columns of the patches.
    grid: [usize; 2],
    /// How many tokens stand in front of them.
    prefix: usize,
    blocks: Vec<BlockFacts>,
    targets: Vec<TargetFacts>,
    /// What stands beside the attention of single blocks.
    methods: Vec<&'static str>,
    /// Blocks and methods that are not on the page.
    left_out: Vec<LeftOut>,
    /// Whether the page has every head, and not their mean only.
    has_heads: bool,
    seconds: Vec<Step>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct BlockFacts {
    /// The number of the block in the network, from 0.
    number: usize,
    name: String,
    module: String,
    heads: usize,
    tokens: usize,
}

impl AttentionArgs {
    /// The largest size of the page in bytes.
    fn page_limit(&self) -> usize {
        let asked = self.page_limit.map(|Bytes(bytes)| bytes);
        let most = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        asked.map_or(AttentionWidget::MAX_BYTES, most)
    }
}

impl BlockFacts {
    fn of(shown: &Shown) -> Self {
        Self {
            number: shown.number,
            name: shown.block.name().to_owned(),
            module: shown.block.module().to_owned(),
            heads: shown.block.heads(),
            tokens: shown.weights.dim().2,
        }
    }
}

/// What is not shown, and why.
#[derive(Debug, Clone, Serialize)]
struct LeftOut {
    name: String,
    reason: String,
}

pub fn run(args: &AttentionArgs) -> Result<(), CliError> {
    let destination = args.output.check(COMMAND)?;
    let (image, session, mut clock) = args.look.open()?;
    let photo = args.look.read(&session, &mut clock)?;
    let work = Work {
        session: &session,
        args,
    };
    let results = work.compute(&photo, &mut clock)?;

    let (files, has_heads) = clock.time("draw", || files::of(&work, &results))?;
    let report = Report {
        look: LookFacts::of(COMMAND, &session, image, &results.seen),
        grid: results.tokens.grid,
        prefix: results.tokens.prefix,
        blocks: results.blocks.iter().map(BlockFacts::of).collect(),
        methods: results.methods.iter().map(|found| found.name).collect(),
        left_out: results.left_out,
        targets: results.targets,
        has_heads,
        seconds: clock.steps(),
        files: files.names(),
    };
    let report = files.write(&destination, &report)?;
    args.output.say([], PAGE, &report)
}
