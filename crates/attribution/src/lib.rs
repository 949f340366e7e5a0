#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptive;
pub mod attention;
mod attribution;
mod attributor;
pub mod averaged;
pub mod baseline;
mod blur;
pub mod blur_ig;
mod budget;
pub mod by_name;
pub mod cam;
pub mod channel;
pub mod coalitions;
pub mod deconvnet;
pub mod deep_lift;
mod error;
pub mod excitation;
mod finite;
pub mod full_grad;
pub mod fused;
pub mod gradient;
pub mod gradient_shap;
pub mod groups;
pub mod guided_backprop;
pub mod guided_grad_cam;
pub mod guided_ig;
pub mod integrated_gradients;
mod layer_map;
pub mod linear;
mod lines;
pub mod lrp;
mod methods;
mod neighbours;
mod network;
mod options;
pub mod perturbation;
pub mod quadrature;
mod random;
mod recorded;
mod rectified;
pub mod relevance;
pub mod saliency;
mod sampling;
mod scaled;
pub mod smooth_grad;
pub mod spatial;
mod stored;
mod target;
mod work;
pub mod xrai;

pub use attention::{
    AttentionBlock, AttentionKind, AttentionMap, AttentionMaps, AttentionQuery, AttentionRollout,
    BlockAttention, Chefer, CheferCvpr, GradientAttention, GradientWeights, HeadFusion,
    attention_blocks,
};
pub use attribution::{Attribution, Completeness};
pub use attributor::{Attributor, Setup};
pub use averaged::{Averaged, Views};
pub use baseline::Baseline;
pub use blur_ig::BlurIntegratedGradients;
pub use budget::images_together;
pub use cam::{
    AblationCam, EigenCam, EigenGradCam, GradCam, GradCamPlusPlus, HiResCam, LayerCam, ReciproCam,
    ReciproMask, ReciproValue, ScoreCam, ScoreWeights, ShapleyCam, XGradCam,
};
pub use channel::{ChannelAttribution, ChannelMethod, ChannelValue, ChannelValues, PathFactors};
pub use coalitions::{
    HsicAttribution, KernelShap, Lime, SegmentAttribution, Segments, ShapleySampling,
    SobolAttribution, Superpixels,
};
pub use deconvnet::DeconvNet;
pub use deep_lift::DeepLift;
pub use elucid_progress::Progress;
pub use error::AttributionError;
pub use excitation::{ContrastiveExcitationBackprop, ExcitationBackprop};
pub use full_grad::{FullGrad, FullGradTerms};
pub use fused::{Fuse, Fused};
pub use gradient::Gradient;
pub use gradient_shap::GradientShap;
pub use groups::{GroupEffects, Groups, NeuronGroups};
pub use guided_backprop::GuidedBackprop;
pub use guided_grad_cam::{GuidedGradCam, Upsampling};
pub use guided_ig::GuidedIntegratedGradients;
pub use integrated_gradients::IntegratedGradients;
pub use layer_map::map_shape;
pub use linear::LinearApproximation;
pub use lrp::Lrp;
pub use methods::{Build, METHODS, Method, MethodOptions, Methods, Place};
pub use network::{FEATURES, Feeds, LayerWeights, Network, ReplaceWeights};
pub use options::{
    Configurable, Configuration, HasSetup, MethodOption, OptionError, Setting, fits,
};
pub use perturbation::{
    ExtremalMasks, ExtremalPerturbation, FeatureAblation, Hides, MeaningfulMasks,
    MeaningfulPerturbation, MeaningfulScore, Occlusion, Rise, RiseClassMaps, RiseDivisor, RiseMaps,
    RiseScore, RiseStretch, TokenOcclusion,
};
pub use quadrature::Quadrature;
pub use random::Random;
pub use relevance::{RelevanceRule, RelevanceRules};
pub use saliency::{Reduce, Saliency};
pub use scaled::{Length, Scaled};
pub use smooth_grad::SmoothGrad;
pub use spatial::{SpatialAttribution, SpatialMaps};
pub use target::{Along, BoxFormat, ClassRef, DenseMap, Detection, Region, Scorer, Side, Target};
pub use work::{Context, Gradients};
pub use xrai::{Xrai, XraiMap};
