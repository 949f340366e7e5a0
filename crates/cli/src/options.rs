//! The methods' own options as flags: whatever the table of methods lists; and how maps are made of
//! what they return.

use std::collections::BTreeMap;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use elucid::attribution::Method;
use elucid::prelude::{MapStyle, Reduce};
use elucid::render::{ColorMap, Normalisation};
use elucid::study::fraction;

use crate::error::CliError;
use crate::known;

const HEADING: &str = "Method options (defaults: elucid methods NAME)";

/// Options that were given, by name.
#[derive(Debug, Clone, Default)]
pub struct MethodFlags(BTreeMap<&'static str, String>);

impl MethodFlags {
    /// What was given of a method's options.
    pub fn of(&self, method: &Method) -> BTreeMap<&'static str, String> {
        let taken = self.0.iter().filter(|(name, _)| method.takes(name));
        taken.map(|(name, value)| (*name, value.clone())).collect()
    }

    /// What was given, of whatever method.
    pub fn given(&self) -> BTreeMap<String, String> {
        let given = self.0.iter();
        given
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    /// Refuses options that none of these methods takes.
    pub fn check(&self, methods: &[&'static Method]) -> Result<(), CliError> {
        for name in self.0.keys() {
            let takes = |method: &&'static Method| method.takes(name);
            if !methods.iter().any(takes) {
                let takers = known::methods().filter(takes);
                return Err(taken_by_others(name, methods, takers));
            }
        }
        Ok(())
    }
}

/// The error for a flag that none of the methods asked for takes.
pub fn taken_by_others(
    flag: &str,
    asked: &[&'static Method],
    takers: impl Iterator<Item = &'static Method>,
) -> CliError {
    let names = |methods: &mut dyn Iterator<Item = &'static Method>| {
        let names: Vec<&str> = methods.map(|method| method.name).collect();
        names.join(", ")
    };
    let asked = names(&mut asked.iter().copied());
    match names(&mut { takers }) {
        takers if takers.is_empty() => {
            CliError::Usage(format!("no method takes --{flag}; {asked} was asked for"))
        }
        takers => CliError::Usage(format!("{asked} takes no --{flag}; it is for {takers}")),
    }
}

/// Every option of any method, once, with what the help says of it.
fn flags() -> BTreeMap<&'static str, String> {
    let mut known: BTreeMap<&'static str, Vec<(String, Vec<&'static str>)>> = BTreeMap::new();
    for method in known::methods() {
        for option in method.all_options() {
            let text = format!("{}: {}", option.help, known::values(method, &option));
            let helps = known.entry(option.name).or_default();
            match helps.iter_mut().find(|(help, _)| *help == text) {
                Some((_, methods)) => methods.push(method.name),
                None => helps.push((text, vec![method.name])),
            }
        }
    }
    let text = |helps: Vec<(String, Vec<&'static str>)>| {
        let parts = helps.into_iter().map(|(help, methods)| {
            let help = capitalised(help.trim_end_matches('.'));
            format!("{help} [{}]", methods.join(", "))
        });
        parts.collect::<Vec<_>>().join("; ")
    };
    known
        .into_iter()
        .map(|(name, helps)| (name, text(helps)))
        .collect()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// The ways in which channels become a map, by name.
fn reductions() -> impl TypedValueParser<Value = Reduce> {
    let names = Reduce::NAMES.iter().map(|(name, _)| *name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Reduce>())
}

/// How channels become maps.
#[derive(Debug, Args)]
pub struct MapArgs {
    /// How channels become one map: sum (signed), abs-sum, max-abs, l2 or positive; by default as the
    /// method is usually shown, which for maps of features is positive
    #[arg(long, value_name = "NAME", value_parser = reductions())]
    pub reduce: Option<Reduce>,

    /// Smooth the maps at the size of the photograph by a Gaussian of this fraction of its longer
    /// side, such as 0.02
    #[arg(long, value_name = "FRACTION", value_parser = fraction, default_value_t = 0.0)]
    pub smooth: f32,
}

/// How maps are drawn.
#[derive(Debug, Args)]
pub struct PictureArgs {
    /// The colours of maps: viridis, inferno, magma, cividis, plasma, turbo, gray, rdbu or glow; by default
    /// glow for maps with numbers below zero, else inferno
    #[arg(long, value_name = "NAME")]
    pub colormap: Option<ColorMap>,

    /// How numbers become colours: min-max, max-abs, positive, percentile:P, percentile-abs:P or range:LOW,HIGH, which is the
    /// same for every picture; by default percentile-abs:99 for maps with numbers below zero, min-max for such as are far
    /// above it everywhere, else percentile:99
    #[arg(long, value_name = "SCALE", visible_alias = "normalize")]
    pub normalise: Option<Normalisation>,

    /// How much of the photograph a map covers, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = opacity, default_value_t = 0.6)]
    pub opacity: f32,

    /// Write figure.svg, figure.pdf and figure.png, too: photographs and maps in rows and columns, with bars that
    /// say what the colours mean
    #[arg(long)]
    pub figure: bool,
}

impl PictureArgs {
    /// The style that suits the maps, as far as nothing else was asked for.
    pub fn style(&self, usual: MapStyle) -> MapStyle {
        let mut style = usual.with_opacity(self.opacity);
        if let Some(colors) = self.colormap {
            style = style.with_colors(colors);
        }
        if let Some(scale) = self.normalise {
            style = style.with_normalisation(scale);
        }
        style
    }

    /// What may surprise whoever sees the pictures.
    pub fn remark(&self) -> Option<String> {
        let (colors, scale) = (self.colormap?, self.normalise?);
        (colors.is_diverging() && !scale.is_symmetrical()).then(|| {
            format!("zero is not in the middle of the colours: {colors} has two sides, the scale {scale} has none")
        })
    }
}

fn opacity(text: &str) -> Result<f32, String> {
    let share = text.trim().parse().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| {
        "expected a number from 0 (only the photograph) to 1 (only the map)".to_owned()
    })
}

/// Values may begin with a dash, flags are none.
fn parse_value(text: &str) -> Result<String, String> {
    match text.strip_prefix("--") {
        Some(_) => Err(format!("expected a value, not the flag {text}")),
        None => Ok(text.to_owned()),
    }
}

impl Args for MethodFlags {
    fn augment_args(command: Command) -> Command {
        flags().into_iter().fold(command, |command, (name, help)| {
            command.arg(
                Arg::new(name)
                    .long(name)
                    .help(help)
                    .help_heading(HEADING)
                    .value_name("VALUE")
                    .value_parser(parse_value)
                    .allow_hyphen_values(true),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MethodFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for name in flags().into_keys() {
            if let Some(value) = matches.get_one::<String>(name) {
                self.0.insert(name, value.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use elucid::attribution::METHODS;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        flags: MethodFlags,
    }

    #[test]
    fn every_option_of_every_method_is_a_flag() {
        for method in METHODS {
            for option in method.all_options() {
                for value in ["7", "-1,-2.5", "-"] {
                    let flag = format!("--{}", option.name);
                    let flags = Program::try_parse_from(["p", &flag, value]).unwrap().flags;
                    assert_eq!(flags.of(method)[option.name], value);
                    flags.check(&[method]).unwrap();
                    let strangers = METHODS.iter().filter(|m| !m.takes(option.name));
                    for stranger in strangers {
                        assert!(flags.of(stranger).is_empty());
                        let error = flags.check(&[stranger]).unwrap_err();
                        let CliError::Usage(message) = error else {
                            panic!("{error:?}");
                        };
                        assert!(message.contains(method.name), "{message}");
                        flags.check(&[stranger, method]).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn a_flag_is_no_value() {
        assert!(parse_value("--out").is_err());
        assert_eq!(parse_value("-0.5").unwrap(), "-0.5");
    }

    #[test]
    fn an_option_nobody_takes_says_who_would() {
        let message = |error| match error {
            CliError::Usage(message) => message,
            other => panic!("{other:?}"),
        };
        let first = METHODS[0];
        let error = taken_by_others("steps", &[first], METHODS[1..2].iter().copied());
        assert_eq!(
            message(error),
            format!(
                "{} takes no --steps; it is for {}",
                first.name, METHODS[1].name
            )
        );
    }
}
