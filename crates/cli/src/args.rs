//! Flags that several commands share.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use elucid::graph::Bytes;
use elucid::models::{self, Labels};
use elucid::prelude::*;
use elucid::rules::winograd;
use elucid::vision::input::Transparency;
use elucid::vision::{InputLayout, ModelError, Preparation};

use crate::console::{Console, Output};
use crate::error::CliError;
use crate::output::Destination;

/// Where the help lists the flags of [`InputArgs`].
const INPUT_FLAGS: &str = "Input (known models need none of these)";

/// Where the help lists the flags of [`HeadArgs`].
const HEAD_FLAGS: &str = "Output (known models need none of these)";

/// Where to run, and how loudly.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where to run: auto (a hardware GPU, else the CPU), cpu, wgpu, or wgpu:N
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,

    /// How many threads compute on the CPU, up to 1024; by default one for each logical processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Compute convolutions on the CPU by their definition, without Winograd's filtering: slower, and rounded otherwise
    #[arg(long)]
    no_winograd: bool,

    /// Print no remarks and no progress
    #[arg(long, short)]
    pub quiet: bool,
}

impl RunArgs {
    /// Starts the threads that compute on the CPU, of which all of the library and of burn's CPU backend are, and says how
    /// convolutions are computed there. Has to come before anything is computed.
    pub fn start(&self) -> Result<(), CliError> {
        winograd::turn(!self.no_winograd);
        let Some(threads) = self.threads else {
            return Ok(());
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global()
            .map_err(|error| CliError::Failure(format!("cannot start {threads} threads: {error}")))
    }

    /// Standard error as these flags want it.
    pub fn console(&self) -> Console {
        Console::new(self.quiet)
    }
}

/// The folder of the results.
#[derive(Debug, Args)]
pub struct OutArgs {
    /// Where the results go: a folder that is new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// Replace the results of an earlier run of the same command in the folder
    #[arg(long)]
    force: bool,

    /// Print report.json instead of lines for people
    #[arg(long)]
    pub json: bool,
}

impl OutArgs {
    /// Refuses a folder with something in it, unless that is of `command` and to be replaced.
    pub fn check(&self, command: &'static str) -> Result<Destination, CliError> {
        Destination::check(&self.out, self.force, command)
    }

    /// Prints what was found, and where the folder and its page lie, or as JSON the report.
    pub fn say(
        &self,
        found: impl IntoIterator<Item = String>,
        page: &str,
        report: &str,
    ) -> Result<(), CliError> {
        let mut out = Output::new();
        if self.json {
            out.json_text(report)?;
            return out.flush();
        }
        for line in found {
            out.line(line)?;
        }
        out.line(format!("folder  {}", self.out.display()))?;
        out.line(format!("page    {}", self.out.join(page).display()))?;
        out.flush()
    }
}

/// Which gradients are replaced on the way.
#[derive(Debug, Args)]
pub struct GradientArgs {
    /// Which gradients: true, smooth, smooth-blur, guided, deconvnet, conservative-propagation,
    /// attn-lrp or libra-grad
    #[arg(long, value_name = "RULES", value_parser = Rules::preset)]
    pub rules: Option<Rules>,
}

/// Which network, and how photographs become its input.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// An .onnx file, or the name of a known model (see: elucid models list)
    #[arg(long, value_name = "MODEL", default_value = models::EMBEDDED)]
    pub model: OsString,

    /// Download the model first if it is a known one that is not on this machine
    #[arg(long)]
    pub pull: bool,

    /// The most memory that the network may take, opened and in a pass on one image: 2GB, 1.5GiB
    #[arg(long, value_name = "SIZE", default_value_t = Bytes(Limits::MEMORY))]
    memory_limit: Bytes,

    #[command(flatten)]
    pub input: InputArgs,

    #[command(flatten)]
    pub head: HeadArgs,
}

/// What a network's output means, where its file does not say it or says it wrongly.
#[derive(Debug, Clone, Args)]
pub struct HeadArgs {
    /// Which output is explained, of several (see: elucid inspect)
    #[arg(long = "output", help_heading = HEAD_FLAGS, value_name = "NAME")]
    of_output: Option<String>,

    /// The layer that holds the scores, before whatever the file makes of them
    #[arg(long, help_heading = HEAD_FLAGS, value_name = "LAYER")]
    logits: Option<String>,

    /// What makes probabilities of the scores: softmax (classes that exclude each other), sigmoid
    /// (labels that do not, or yes and no) or none (a regression, an embedding)
    #[arg(long, help_heading = HEAD_FLAGS, value_name = "NAME")]
    scores: Option<Probabilities>,

    /// Names of the classes: a file with one on each line, or a list or map in JSON
    #[arg(long, help_heading = HEAD_FLAGS, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl HeadArgs {
    /// `opening` with what these flags say.
    pub fn apply(&self, mut opening: Opening) -> Result<Opening, CliError> {
        if let Some(name) = &self.of_output {
            opening = opening.output(name);
        }
        if let Some(layer) = &self.logits {
            opening = opening.logits(layer);
        }
        if let Some(scores) = self.scores {
            opening = opening.scores(scores);
        }
        if let Some(file) = &self.labels {
            let labels = Labels::open(file).map_err(|e| CliError::Failure(e.to_string()))?;
            opening = opening.labels(labels);
        }
        Ok(opening)
    }
}

impl ModelArgs {
    /// The limits within which the network is opened.
    pub fn limits(&self) -> Limits {
        Limits::default().with_memory(self.memory_limit.0)
    }
}

/// How photographs become the input of a network that nobody described, or another way for one
/// that is known.
#[derive(Debug, Clone, Args)]
pub struct InputArgs {
    /// Height and width of the input: HxW, or one number for a square
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "HxW", value_parser = parse_size)]
    input_size: Option<[usize; 2]>,

    /// Order of the input's channels: rgb or bgr
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "ORDER")]
    channel_order: Option<ChannelOrder>,

    /// Factor on pixel values of 0 to 255: a number, or a fraction such as 1/255. Below 1/1000, such as
    /// 1/4095 or 1/65535, on the values of 16-bit pictures as they are stored
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "FACTOR", value_parser = parse_scale, allow_hyphen_values = true)]
    scale: Option<f32>,

    /// Subtracted after scaling: one number, or one per channel as A,B,C in the input's order
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "MEAN", value_parser = parse_channels, allow_hyphen_values = true)]
    mean: Option<Numbers>,

    /// Divisor after the mean: one number, or one per channel as A,B,C in the input's order
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "STD", value_parser = parse_channels, allow_hyphen_values = true)]
    std: Option<Numbers>,

    /// How photographs are fitted: crop:PIXELS (of the shorter side, before the crop), squash or
    /// pad
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "WAY")]
    resize: Option<Resize>,

    /// How the input lies: nchw (channels first) or nhwc (channels last) [default: as the file shows]
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "LAYOUT")]
    layout: Option<InputLayout>,

    /// The channels that are drawn as red, green and blue, counted from 0
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "R,G,B", value_parser = parse_drawn)]
    rgb: Option<[usize; 3]>,

    /// What becomes of transparent pixels where no channel holds the opacity: white or black (the picture is
    /// laid over it), or dropped (their colours count, as of Pillow's convert("RGB")) [default: white]
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "WAY")]
    transparency: Option<Transparency>,

    /// The input that takes the picture, in a network of several
    #[arg(long, help_heading = INPUT_FLAGS, value_name = "NAME")]
    input: Option<String>,

    /// The value of another input, held fixed: a .npy file, or FILE.npz:MEMBER. Again for each
    #[arg(long = "feed", help_heading = INPUT_FLAGS, value_name = "NAME=FILE.npy", value_parser = parse_feed)]
    feeds: Vec<(String, PathBuf)>,
}

impl InputArgs {
    /// How a network is opened with these flags.
    pub fn opening(&self) -> Result<Opening, CliError> {
        let mut opening = Opening::new().adjusted_by(Preparation {
            size: self.input_size,
            order: self.channel_order,
            scale: self.scale,
            mean: self.mean.clone().map(|Numbers(mean)| mean),
            std: self.std.clone().map(|Numbers(std)| std),
            resize: self.resize,
            drawn: self.rgb,
            transparency: self.transparency,
        });
        if let Some(layout) = self.layout {
            opening = opening.layout(layout);
        }
        if let Some(name) = &self.input {
            opening = opening.input(name);
        }
        for (name, file) in &self.feeds {
            let value = elucid::vision::input::open_array(file).map_err(ModelError::from)?;
            opening = opening.feed(name, value.mapv(|v| v as f32));
        }
        Ok(opening)
    }
}

/// `HxW`, or one number for a square.
pub fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let side = |t: &str| {
        t.trim()
            .parse::<usize>()
            .map_err(|_| "expected HEIGHTxWIDTH, such as 224x224".to_owned())
    };
    match text.split_once(['x', 'X']) {
        Some((height, width)) => Ok([side(height)?, side(width)?]),
        None => side(text).map(|s| [s, s]),
    }
}

fn parse_scale(text: &str) -> Result<f32, String> {
    let number = |t: &str| {
        t.trim()
            .parse::<f32>()
            .map_err(|_| "expected a number, or a fraction such as 1/255")
    };
    match text.split_once('/') {
        Some((above, below)) => Ok(number(above)? / number(below)?),
        None => Ok(number(text)?),
    }
}

/// One number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq)]
struct Numbers(Vec<f32>);

fn parse_channels(text: &str) -> Result<Numbers, String> {
    let numbers = text.split(',').map(|t| t.trim().parse());
    let numbers = numbers.collect::<Result<_, _>>();
    numbers
        .map(Numbers)
        .map_err(|_| "expected one number, or one for each channel as A,B,C".to_owned())
}

fn parse_drawn(text: &str) -> Result<[usize; 3], String> {
    let numbers = text.split(',').map(|t| t.trim().parse());
    let numbers: Option<Vec<usize>> = numbers.collect::<Result<_, _>>().ok();
    match numbers.as_deref() {
        Some(&[r, g, b]) => Ok([r, g, b]),
        _ => Err("expected three channels as 3,2,1, counted from 0".to_owned()),
    }
}

fn parse_feed(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), file.into()))
        }
        _ => Err("expected NAME=FILE.npy".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_as_documented() {
        assert_eq!(parse_size("224"), Ok([224, 224]));
        assert_eq!(parse_size("199x214"), Ok([199, 214]));
        for wrong in ["", "x", "224x", "-1", "2x3x4", "a"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_scale("1/255"), Ok(1.0 / 255.0));
        assert_eq!(parse_scale("2"), Ok(2.0));
        assert!(parse_scale("1/").is_err());
        assert_eq!(parse_channels("0.5"), Ok(Numbers(vec![0.5])));
        let three = Numbers(vec![104.0, 117.0, 123.0]);
        assert_eq!(parse_channels("104, 117,123"), Ok(three));
        assert!(parse_channels("1,,2").is_err());
        assert_eq!(parse_drawn("3,2, 1"), Ok([3, 2, 1]));
        assert!(parse_drawn("3,2").is_err());
        assert_eq!(parse_feed("a=b=c"), Ok(("a".to_owned(), "b=c".into())));
        assert!(parse_feed("a").is_err());
    }
}
