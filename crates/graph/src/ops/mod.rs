//! The operators: one file each, or one for a family that differs in a function only, and one line
//! here.
//!
//! A file holds everything that Elucid knows about its operator: how a node is read, in every version
//! of the operator set; what inputs it takes and what shapes it makes; its values on the host and on
//! tensors; what it is to rules; on which window of the input each position depends.

pub(crate) use bent::of_each_number;

use crate::registry::Entry;

/// What several files share: no operators of their own.
mod bent;
mod body;
mod convolution;
mod named;
mod pick;
mod pointwise;
mod sampling;
mod steps;
mod window;

macro_rules! operators {
    ($($module:ident),* $(,)?) => {
        $(pub(crate) mod $module;)*

        /// The table: every operator of every file.
        const TABLE: &[&[Entry]] = &[$($module::ENTRIES),*];
    };
}

operators![
    activation,
    affine_grid,
    arg_extreme,
    arithmetic,
    attention,
    average_pool,
    batch_normalization,
    bits,
    cast,
    center_crop_pad,
    clip,
    col2im,
    compare,
    compress,
    concat,
    constant,
    conv,
    conv_transpose,
    cum_sum,
    deform_conv,
    dequantize,
    det,
    dynamic_quantize,
    einsum,
    expand,
    eye_like,
    fourier,
    function,
    fused_conv,
    gather,
    gather_elements,
    gather_nd,
    gelu,
    gemm,
    global_pool,
    grid_sample,
    group_normalization,
    identity,
    if_,
    instance_normalization,
    is_number,
    layer_normalization,
    logic,
    loop_,
    loss,
    lp_normalization,
    lp_pool,
    lrn,
    matmul,
    max_pool,
    max_roi_pool,
    max_unpool,
    mean_variance_normalization,
    mel_weight_matrix,
    multi_head_attention,
    non_max_suppression,
    non_zero,
    one_hot,
    pad,
    power,
    prelu,
    quantize,
    quantized_product,
    range,
    recurrent,
    reduce,
    reshape,
    resize,
    reverse_sequence,
    roi_align,
    rotary_embedding,
    scan,
    scatter,
    shape,
    skip_normalization,
    slice,
    softmax,
    space_depth,
    split,
    sum,
    tensor_scatter,
    tile,
    top_k,
    transpose,
    trilu,
    unique,
    where_,
    window_function,
];

/// Every operator of this library.
pub(crate) fn entries() -> impl Iterator<Item = Entry> {
    TABLE.iter().flat_map(|entries| entries.iter().copied())
}
