//! Where a model runs: the CPU, or a GPU that wgpu reaches.
//!
//! ```
//! use elucid_graph::device::{self, DeviceChoice};
//!
//! let chosen = device::open("cpu".parse::<DeviceChoice>()?)?;
//! println!("running on {}", chosen.description);
//! # Ok::<(), elucid_graph::device::DeviceError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// A wish for a device, spelled `auto`, `cpu`, `wgpu` or `wgpu:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceChoice {
    /// The best hardware GPU if there is one that works, else the CPU. Never a software
    /// implementation of a GPU, which is many times slower than the CPU backend.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An adapter by its place in [`list`]; `None` takes the best, a software one if there is no
    /// other.
    Wgpu(Option<usize>),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.pad("auto"),
            DeviceChoice::Cpu => f.pad("cpu"),
            DeviceChoice::Wgpu(None) => f.pad("wgpu"),
            DeviceChoice::Wgpu(Some(index)) => f.pad(&format!("wgpu:{index}")),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::UnknownChoice(text.to_owned());
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "wgpu" => Ok(DeviceChoice::Wgpu(None)),
            _ => {
                let digits = text.strip_prefix("wgpu:").ok_or_else(unknown)?;
                // `parse` alone would take a leading plus sign.
                if !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(unknown());
                }
                let index = digits.parse().map_err(|_| unknown())?;
                Ok(DeviceChoice::Wgpu(Some(index)))
            }
        }
    }
}

/// What sort of adapter wgpu found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU seen through a virtual machine.
    Virtual,
    /// A GPU that the driver says no more about.
    Other,
    /// A graphics API implemented on the CPU, such as llvmpipe or SwiftShader.
    Software,
}

impl AdapterKind {
    /// Whether there is a GPU behind it.
    pub fn is_hardware(self) -> bool {
        self != AdapterKind::Software
    }
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            AdapterKind::Discrete => "discrete GPU",
            AdapterKind::Integrated => "integrated GPU",
            AdapterKind::Virtual => "virtual GPU",
            AdapterKind::Other => "GPU",
            AdapterKind::Software => "software",
        })
    }
}

/// An adapter that wgpu can open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AdapterInfo {
    /// Its place in [`list`]: the `N` of `wgpu:N`.
    pub index: usize,
    /// The driver's name for it.
    pub name: String,
    /// The graphics API: `Vulkan`, `Metal`, `DirectX 12` or `OpenGL`.
    pub api: String,
    /// What sort it is.
    pub kind: AdapterKind,
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            name,
            api,
            kind,
        } = self;
        write!(f, "wgpu:{index} {name} ({api}, {kind})")
    }
}

/// A device, and what it is in words.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The device.
    pub device: Device,
    /// For people: `cpu (flex, 8 threads)`, or `wgpu:0 NVIDIA H100 (Vulkan, discrete GPU)`.
    pub description: String,
}

/// Why there is no such device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The text is no [`DeviceChoice`].
    #[error("unknown device `{0}`: use auto, cpu, wgpu, or wgpu:N for the N-th adapter")]
    UnknownChoice(String),
    /// The backend was not compiled in.
    #[error(
        "the device `{choice}` needs the feature `{feature}`, which this program was built \
         without: build it with `--features {feature}`"
    )]
    NotBuilt {
        /// The device asked for.
        choice: DeviceChoice,
        /// The feature that has it.
        feature: &'static str,
    },
    /// A device of burn's for which the library has no kernels.
    #[error(
        "there are no kernels for {device}: a network runs on Device::flex() with the feature `flex`, and \
         on wgpu's devices with the feature `wgpu`; this build has {}",
        if built.is_empty() { "neither" } else { built }
    )]
    NoKernels {
        /// burn's name for it.
        device: String,
        /// The features that this build has.
        built: &'static str,
    },
    /// wgpu finds nothing at all.
    #[error(
        "wgpu finds no adapter: is a driver for Vulkan, Metal, DirectX 12 or OpenGL installed?"
    )]
    NoAdapter,
    /// There are adapters, but not that many.
    #[error("there is no adapter wgpu:{index}; there are {}", list_of(adapters))]
    NoSuchAdapter {
        /// The place asked for.
        index: usize,
        /// The adapters there are.
        adapters: Vec<AdapterInfo>,
    },
    /// The driver would not open the adapter.
    #[error("{adapter} does not open: {reason}")]
    Refused {
        /// The adapter.
        adapter: AdapterInfo,
        /// What the driver said.
        reason: String,
    },
}

/// Refuses a device on which an operator would find no kernel.
///
/// # Errors
///
/// [`DeviceError::NoKernels`].
pub fn check_kernels(device: &Device) -> Result<(), DeviceError> {
    match elucid_rules::has_kernels(device) {
        true => Ok(()),
        false => Err(DeviceError::NoKernels {
            device: format!("{device:?}"),
            built: match (cfg!(feature = "flex"), cfg!(feature = "wgpu")) {
                (true, true) => "flex and wgpu",
                (true, false) => "flex",
                (false, true) => "wgpu",
                (false, false) => "",
            },
        }),
    }
}

fn list_of(adapters: &[AdapterInfo]) -> String {
    let adapters: Vec<String> = adapters.iter().map(AdapterInfo::to_string).collect();
    adapters.join(", ")
}

/// Opens a device.
///
/// # Errors
///
/// A [`DeviceError`] that says what there is instead. [`DeviceChoice::Auto`] and
/// [`DeviceChoice::Cpu`] cannot fail when the feature `flex` is on.
pub fn open(choice: DeviceChoice) -> Result<Chosen, DeviceError> {
    match choice {
        DeviceChoice::Auto => match gpu::open_hardware() {
            Some(chosen) => Ok(chosen),
            None => open_cpu(choice),
        },
        DeviceChoice::Cpu => open_cpu(choice),
        DeviceChoice::Wgpu(None) => gpu::open_best(),
        DeviceChoice::Wgpu(Some(index)) => gpu::open_nth(index),
    }
}

/// The best hardware GPU if there is one that works, else the CPU.
#[cfg(feature = "flex")]
pub fn auto() -> Chosen {
    gpu::open_hardware().unwrap_or_else(cpu)
}

/// The CPU.
#[cfg(feature = "flex")]
pub fn cpu() -> Chosen {
    let threads = elucid_kernels::cpu_threads();
    let plural = if threads == 1 { "" } else { "s" };
    Chosen {
        device: Device::flex(),
        description: format!("cpu (flex, {threads} thread{plural})"),
    }
}

#[cfg(feature = "flex")]
fn open_cpu(_: DeviceChoice) -> Result<Chosen, DeviceError> {
    Ok(cpu())
}

#[cfg(not(feature = "flex"))]
fn open_cpu(choice: DeviceChoice) -> Result<Chosen, DeviceError> {
    Err(DeviceError::NotBuilt {
        choice,
        feature: "flex",
    })
}

/// The adapters that wgpu can open, as they were when this process first asked; none without the
/// feature `wgpu`.
///
/// They are those of one graphics API, the first with a GPU of Vulkan, DirectX 12 and OpenGL
/// (Metal on Apple's systems): a second API would list the same GPUs again.
pub fn list() -> Vec<AdapterInfo> {
    gpu::list()
}

#[cfg(not(feature = "wgpu"))]
mod gpu {
    use super::{AdapterInfo, Chosen, DeviceChoice, DeviceError};

    pub(super) fn list() -> Vec<AdapterInfo> {
        Vec::new()
    }

    pub(super) fn open_hardware() -> Option<Chosen> {
        None
    }

    pub(super) fn open_best() -> Result<Chosen, DeviceError> {
        Err(not_built(None))
    }

    pub(super) fn open_nth(index: usize) -> Result<Chosen, DeviceError> {
        Err(not_built(Some(index)))
    }

    fn not_built(index: Option<usize>) -> DeviceError {
        DeviceError::NotBuilt {
            choice: DeviceChoice::Wgpu(index),
            feature: "wgpu",
        }
    }
}

#[cfg(feature = "wgpu")]
mod gpu {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::task::{Context, Poll, Waker};

    use burn::backend::WgpuDeviceKind;
    use burn::backend::wgpu::graphics::AutoGraphicsApi;
    use burn::backend::wgpu::{
        RuntimeOptions, WgpuBackend, WgpuDevice, WgpuInitError, try_init_setup, wgpu,
    };
    use burn::tensor::Device;

    use super::{AdapterInfo, AdapterKind, Chosen, DeviceError};

    /// An adapter, and burn's selector for exactly it.
    #[derive(Debug)]
    struct Found {
        info: AdapterInfo,
        selector: WgpuDevice,
    }

    pub(super) fn list() -> Vec<AdapterInfo> {
        found().iter().map(|found| found.info.clone()).collect()
    }

    pub(super) fn open_hardware() -> Option<Chosen> {
        best_first()
            .into_iter()
            .filter(|found| found.info.kind.is_hardware())
            .find_map(|found| open(found).ok())
    }

    pub(super) fn open_best() -> Result<Chosen, DeviceError> {
        let mut refused = None;
        for found in best_first() {
            match open(found) {
                Ok(chosen) => return Ok(chosen),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(DeviceError::NoAdapter))
    }

    pub(super) fn open_nth(index: usize) -> Result<Chosen, DeviceError> {
        match found().get(index) {
            Some(found) => open(found),
            None if found().is_empty() => Err(DeviceError::NoAdapter),
            None => Err(DeviceError::NoSuchAdapter {
                index,
                adapters: list(),
            }),
        }
    }

    fn best_first() -> Vec<&'static Found> {
        let mut adapters: Vec<&Found> = found().iter().collect();
        adapters.sort_by_key(|found| match found.info.kind {
            AdapterKind::Discrete => 0,
            AdapterKind::Integrated => 1,
            AdapterKind::Virtual => 2,
            AdapterKind::Other => 3,
            AdapterKind::Software => 4,
        });
        adapters
    }

    /// burn would open an adapter on first use, and panic where that fails; so it is opened here.
    fn open(found: &Found) -> Result<Chosen, DeviceError> {
        // One at a time: a selector can be initialised once, and drivers dislike company.
        static OPENING: Mutex<Vec<WgpuDevice>> = Mutex::new(Vec::new());
        let mut opened = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if !opened.contains(&found.selector) {
            let outcome = RuntimeOptions::try_default()
                .and_then(|options| try_init_setup::<AutoGraphicsApi>(&found.selector, options));
            match outcome {
                // Registration fails when somebody else has opened the adapter, which is as good.
                Ok(_) | Err(WgpuInitError::Registration { .. }) => {
                    opened.push(found.selector.clone());
                }
                Err(error) => {
                    return Err(DeviceError::Refused {
                        adapter: found.info.clone(),
                        reason: error.to_string(),
                    });
                }
            }
        }
        Ok(Chosen {
            device: Device::new(found.selector.clone()),
            description: found.info.to_string(),
        })
    }

    fn found() -> &'static [Found] {
        static FOUND: OnceLock<Vec<Found>> = OnceLock::new();
        FOUND.get_or_init(|| {
            let mut software = Vec::new();
            for api in AutoGraphicsApi::chain() {
                let adapters = adapters_on(api);
                if adapters.iter().any(|found| found.info.kind.is_hardware()) {
                    return adapters;
                }
                if software.is_empty() {
                    software = adapters;
                }
            }
            software
        })
    }

    /// The adapters of one graphics API in wgpu's order, in which burn counts them as well: by
    /// device type, of type CPU only the first.
    fn adapters_on(api: wgpu::Backend) -> Vec<Found> {
        let (backend, api_name) = match api {
            wgpu::Backend::Vulkan => (WgpuBackend::Vulkan, "Vulkan"),
            wgpu::Backend::Metal => (WgpuBackend::Metal, "Metal"),
            wgpu::Backend::Dx12 => (WgpuBackend::Dx12, "DirectX 12"),
            wgpu::Backend::Gl => (WgpuBackend::Gl, "OpenGL"),
            _ => return Vec::new(),
        };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: api.into(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapters = ready(instance.enumerate_adapters(api.into())).unwrap_or_default();

        let [
            mut discrete,
            mut integrated,
            mut virtuals,
            mut others,
            mut processors,
        ] = [0; 5];
        let mut found = Vec::new();
        for adapter in adapters {
            let adapter = adapter.get_info();
            let (count, selector, kind): (_, fn(usize) -> WgpuDeviceKind, _) = match adapter
                .device_type
            {
                wgpu::DeviceType::DiscreteGpu => (
                    &mut discrete,
                    WgpuDeviceKind::DiscreteGpu,
                    AdapterKind::Discrete,
                ),
                wgpu::DeviceType::IntegratedGpu => (
                    &mut integrated,
                    WgpuDeviceKind::IntegratedGpu,
                    AdapterKind::Integrated,
                ),
                wgpu::DeviceType::VirtualGpu => (
                    &mut virtuals,
                    WgpuDeviceKind::VirtualGpu,
                    AdapterKind::Virtual,
                ),
                wgpu::DeviceType::Other => (&mut others, WgpuDeviceKind::Other, AdapterKind::Other),
                wgpu::DeviceType::Cpu => (
                    &mut processors,
                    |_| WgpuDeviceKind::Cpu,
                    AdapterKind::Software,
                ),
            };
            let place = *count;
            *count += 1;
            if kind == AdapterKind::Software && place > 0 {
                continue;
            }
            let kind = if is_software(&adapter.name) {
                AdapterKind::Software
            } else {
                kind
            };
            found.push(Found {
                info: AdapterInfo {
                    index: found.len(),
                    name: adapter.name,
                    api: api_name.to_owned(),
                    kind,
                },
                selector: WgpuDevice::new(selector(place)).on(backend),
            });
        }
        found
    }

    /// OpenGL does not say that an adapter is a program; its name does.
    fn is_software(name: &str) -> bool {
        let name = name.to_lowercase();
        [
            "llvmpipe",
            "lavapipe",
            "softpipe",
            "swrast",
            "swiftshader",
            "basic render",
        ]
        .iter()
        .any(|program| name.contains(program))
    }

    /// What the future gives without waiting: outside browsers wgpu enumerates at once.
    fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::is_software;

        #[test]
        fn software_is_known_by_name() {
            assert!(is_software("llvmpipe (LLVM 19.1.7, 256 bits)"));
            assert!(is_software("SwiftShader Device (LLVM 10.0.0)"));
            assert!(is_software("Microsoft Basic Render Driver"));
            assert!(!is_software("NVIDIA GeForce RTX 4090"));
            assert!(!is_software("AMD Radeon Graphics (RADV RENOIR)"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_spelled_as_they_are_shown() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("wgpu", DeviceChoice::Wgpu(None)),
            ("wgpu:0", DeviceChoice::Wgpu(Some(0))),
            ("wgpu:12", DeviceChoice::Wgpu(Some(12))),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        let huge = "wgpu:99999999999999999999999";
        for text in [
            "", "gpu", "CPU", "wgpu:", "wgpu:x", "wgpu:-1", "wgpu:+1", "wgpu: 1", huge,
        ] {
            let error = text.parse::<DeviceChoice>().unwrap_err();
            assert_eq!(error, DeviceError::UnknownChoice(text.to_owned()));
            let message = error.to_string();
            assert!(message.contains("auto, cpu, wgpu, or wgpu:N"), "{message}");
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn devices_of_this_build_have_kernels() {
        for chosen in [super::cpu(), super::auto()] {
            assert_eq!(super::check_kernels(&chosen.device), Ok(()));
            assert_eq!(super::check_kernels(&chosen.device.autodiff()), Ok(()));
        }
        let without = DeviceError::NoKernels {
            device: "Device<NdArray>".to_owned(),
            built: "flex",
        };
        let message = without.to_string();
        assert!(message.contains("Device<NdArray>") && message.contains("this build has flex"));
    }

    #[cfg(feature = "flex")]
    #[test]
    fn the_cpu_is_always_there() {
        let chosen = open(DeviceChoice::Cpu).unwrap();
        assert_eq!(chosen.device, Device::flex());
        assert!(chosen.description.starts_with("cpu (flex, "));
    }

    #[cfg(feature = "flex")]
    #[test]
    fn auto_takes_hardware_or_the_cpu() {
        let chosen = auto();
        let hardware: Vec<String> = list()
            .iter()
            .filter(|adapter| adapter.kind.is_hardware())
            .map(AdapterInfo::to_string)
            .collect();
        assert!(
            chosen.device == Device::flex() || hardware.contains(&chosen.description),
            "{}",
            chosen.description
        );
        let opened = open(DeviceChoice::Auto).unwrap();
        assert_eq!(opened.description, chosen.description);
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn wgpu_names_the_missing_feature() {
        for choice in [DeviceChoice::Wgpu(None), DeviceChoice::Wgpu(Some(1))] {
            let message = open(choice).unwrap_err().to_string();
            assert!(message.contains(&choice.to_string()), "{message}");
            assert!(message.contains("--features wgpu"), "{message}");
        }
        assert!(list().is_empty());
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn adapters_are_opened_by_their_place() {
        use burn::tensor::Tensor;

        let adapters = list();
        for (place, adapter) in adapters.iter().enumerate() {
            assert_eq!(adapter.index, place);
            let chosen = open(DeviceChoice::Wgpu(Some(place))).unwrap();
            assert_eq!(chosen.description, adapter.to_string());
            let ones = Tensor::<1>::ones([3], &chosen.device);
            assert_eq!(ones.sum().into_scalar::<f32>(), 3.0);
            let identity = chosen.device.identity().unwrap();
            assert_eq!(identity.name, adapter.name);
        }
        let missing = open(DeviceChoice::Wgpu(Some(adapters.len()))).unwrap_err();
        if adapters.is_empty() {
            assert_eq!(missing, DeviceError::NoAdapter);
            assert_eq!(
                open(DeviceChoice::Wgpu(None)).unwrap_err(),
                DeviceError::NoAdapter
            );
        } else {
            let index = adapters.len();
            assert_eq!(missing, DeviceError::NoSuchAdapter { index, adapters });
            assert!(open(DeviceChoice::Wgpu(None)).is_ok());
        }
    }
}
