#!/bin/sh
# The measurements of docs/evaluation.md. What is there already is kept: a run that was interrupted
# goes on, and it may be started several times, on as many machines as see OUT: each takes its share.
#
#     sh study.sh MODEL ILSVRC_FOLDER OUT [EFFICIENTNET]
#
# MODEL is BVLC GoogLeNet, a file or a name, EFFICIENTNET EfficientNet-Lite0, which is measured alone where it is
# given. ILSVRC_FOLDER has images of 227 x 227 pixels, labels and boxes (boxes.csv).
# PIECES says which pieces of it, all by default. One process for each core, with THREADS=1, is a tenth faster than one
# process on all cores.
set -eu
model=$1 boxes=$2 out=$3 efficientnet=${4:-}

# Every threshold with a range of parameters: the tables choose among them on other images.
metrics="pointing:15,pointing:0,mass-accuracy,rank-accuracy"
for alpha in 0.05 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.95; do
    metrics="$metrics,localisation-energy:alpha=$alpha"
done
for alpha in 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.5; do
    metrics="$metrics,localisation-value:alpha=$alpha"
done
for alpha in 0.5 1 1.5 2 3 4 5 6; do
    metrics="$metrics,localisation-mean:alpha=$alpha"
done
# Steps of 8 x 224 pixels, 28 of them.
effect="insertion:pixels=1792,deletion:pixels=1792"

# run FOLDER IMAGES METRICS METHODS; values that failed are listed, and the rest goes on. Machines and versions may differ, which
# the tables say.
run() {
    elucid evaluate --model "$model" --data "$boxes" --resize crop:227 --limit "$2" --metrics "$3" --methods "$4" \
        --batch-size 4 --seed 1 ${THREADS:+--threads "$THREADS"} --resume --allow-mixed --out "$out/$1" || [ $? -eq 3 ]
}

# Where the maps lie and what the network makes of changed pictures, on the same images.
few() {
    run few "${FEW:-100}" "$metrics,$effect" "$1"
}

# A few evaluations each: the second on fewer images, as it takes 58 evaluations for each map.
many() {
    run effect "${EFFECT:-200}" "$metrics,$effect" "$1"
    run many "${MANY:-1000}" "$metrics" "$1"
}

mkdir -p "$out"
if [ -n "$efficientnet" ]; then
    model=$efficientnet
    # Excitation backprop is not among them: numbers below 0 reach the convolutions of this network, which it refuses.
    lite="gradient,gradient:smooth=0.02,linear-approximation:smooth=0.02,guided-backprop:smooth=0.02"
    lite="$lite,deconvnet:smooth=0.02,deep-lift:smooth=0.02,lrp:smooth=0.02,full-grad,grad-cam,grad-cam-plus-plus"
    lite="$lite,hires-cam,layer-cam,x-grad-cam,eigen-cam,eigen-grad-cam,shapley-cam,recipro-cam"
    run efficientnet "${MANY:-1000}" "$metrics" "$lite"
    exit
fi

piece() {
    case $1 in
    perturbations)
        # For boxes small masks are wanted.
        few occlusion,meaningful-perturbation:preset=localisation
        ;;
    fast)
        # Pixels are smoothed as in TorchRay's benchmark.
        fast="gradient:smooth=0.02,guided-backprop:smooth=0.02"
        fast="$fast,linear-approximation:layer=inception_4d/output,grad-cam,layer-cam"
        fast="$fast,excitation-backprop:layer=pool2/3x3_s2"
        fast="$fast,contrastive-excitation-backprop:layer=pool2/3x3_s2"
        many "$fast,deep-lift:smooth=0.02,lrp:smooth=0.02,guided-grad-cam:smooth=0.02"
        ;;
    layers)
        cams="deconvnet:smooth=0.02,grad-cam-plus-plus,hires-cam,x-grad-cam,eigen-cam,ablation-cam"
        many "$cams,excitation-backprop:layer=inception_4d/output"
        ;;
    raw)
        # What the published errors of localisation rest on, which is not smoothed.
        raw="gradient,guided-backprop,deconvnet,contrastive-excitation-backprop:layer=inception_4d/output"
        many "$raw,grad-cam:layer=inception_4d/output"
        ;;
    paths)
        paths="integrated-gradients:smooth=0.02,smooth-grad:smooth=0.02,gradient-shap:smooth=0.02"
        few "$paths,blur-ig:smooth=0.02,feature-ablation"
        ;;
    variances) few square-grad:smooth=0.02,var-grad:smooth=0.02 ;;
    coalitions)
        few kernel-shap:segments=grid:7,samples=300,lime:segments=grid:7,samples=300
        few shapley-sampling:segments=grid:7,permutations=6
        few hsic:segments=grid:7,samples=300,sobol:segments=grid:7,design=6
        ;;
    guided) few guided-ig:smooth=0.02 ;;
    score-cam) few score-cam ;;
    extremal) few extremal-perturbation:iterations=200 ;;
    rise) few rise:masks=2000 ;;
    *)
        echo "$1 is no piece of the study" >&2
        exit 2
        ;;
    esac
}

for name in ${PIECES:-perturbations fast paths coalitions extremal score-cam guided rise layers raw variances}; do
    piece "$name"
done
