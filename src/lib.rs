#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use elucid_attribution as attribution;
#[cfg(feature = "capture")]
pub use elucid_capture as capture;
#[cfg(feature = "capture")]
pub use elucid_capture::layer;
pub use elucid_factor as factor;
pub use elucid_graph as graph;
pub use elucid_graph::device;
pub use elucid_metrics as metrics;
pub use elucid_models as models;
pub use elucid_onnx as onnx;
pub use elucid_optvis as optvis;
pub use elucid_progress as progress;
pub use elucid_render as render;
pub use elucid_rules as rules;
pub use elucid_study as study;
pub use elucid_vision as vision;

pub use elucid_graph::GraphError;
pub use elucid_onnx::ImportError;
pub use elucid_vision::ModelError;
pub use error::Error;

mod error;
pub mod results;

/// What most programs need.
pub mod prelude {
    pub use elucid_attribution::{
        AblationCam, Along, Attribution, Attributor, Averaged, Baseline, BlurIntegratedGradients,
        BoxFormat, ChannelAttribution, ChannelMethod, Completeness, ContrastiveExcitationBackprop,
        DeconvNet, DeepLift, DenseMap, Detection, EigenCam, EigenGradCam, ExcitationBackprop,
        ExtremalPerturbation, FEATURES, FeatureAblation, FullGrad, Fuse, Fused, GradCam,
        GradCamPlusPlus, Gradient, GradientShap, GuidedBackprop, GuidedGradCam,
        GuidedIntegratedGradients, HiResCam, HsicAttribution, IntegratedGradients, KernelShap,
        LayerCam, Lime, LinearApproximation, Lrp, MeaningfulPerturbation, Network, NeuronGroups,
        Occlusion, Progress, Quadrature, ReciproCam, Reduce, Region, RelevanceRule, RelevanceRules,
        Rise, Saliency, ScoreCam, ShapleyCam, ShapleySampling, Side, SmoothGrad, SobolAttribution,
        SpatialAttribution, SpatialMaps, Superpixels, Target, TokenOcclusion, Views, XGradCam,
        Xrai,
    };
    pub use elucid_graph::device::DeviceChoice;
    pub use elucid_graph::{Activation, INPUT, ImageBatch, LOGITS, Layer, Limits};
    pub use elucid_optvis::{
        FeatureVis, Objective, Objectives, Parametrisation, Transforms, Visualisation,
    };
    pub use elucid_render::{
        AttentionMethod, AttentionView, AttentionWidget, ChannelView, ChannelWidget, ColorMap,
        Figure, Gallery, GallerySection, GroupView, GroupWidget, Interpolation, LinePlot, MapStyle,
        Normalisation, Picture, SpatialHints, SpatialView, SpatialWidget, SpriteMap,
    };
    pub use elucid_rules::{
        DeconvRelu, GradRule, GuidedRelu, OpKind, RedirectedRelu, Rule, Rules, SmoothMaxPool,
        TrueRule,
    };
    pub use elucid_vision::input::{ChannelOrder, InputSpec, Resize};
    pub use elucid_vision::{Model, Opening, Photo, Probabilities};

    pub use crate::results::Save;
    pub use crate::{Error, models::photographs};
}
