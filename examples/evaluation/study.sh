#!/bin/sh
# The measurements of docs/evaluation.md. What is there already is kept: a run that was interrupted
# goes on.
#
#     sh study.sh MODEL ILSVRC_FOLDER NIPS17_FOLDER OUT [EFFICIENTNET]
#
# MODEL is BVLC GoogLeNet, a file or a name, EFFICIENTNET EfficientNet-Lite0, which is measured alone where it is given. ILSVRC_FOLDER has images of 227 x 227 pixels, labels and
# boxes (boxes.csv); NIPS17_FOLDER has images and labels (images.csv).
set -eu
model=$1 boxes=$2 labels=$3 out=$4 efficientnet=${5:-}

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

# Pixels smoothed as in TorchRay's benchmark, then features; what the published errors of localisation
# rest on, which is not smoothed; other maps of a layer; then what evaluates the network some fifty
# times, and many hundreds of times.
fast="gradient:smooth=0.02,deconvnet:smooth=0.02,guided-backprop:smooth=0.02"
fast="$fast,linear-approximation:layer=inception_4d/output,grad-cam,layer-cam"
fast="$fast,excitation-backprop:layer=pool2/3x3_s2,contrastive-excitation-backprop:layer=pool2/3x3_s2"
fast="$fast,deep-lift:smooth=0.02,lrp:smooth=0.02"
raw="gradient,guided-backprop,deconvnet,excitation-backprop:layer=inception_4d/output"
raw="$raw,contrastive-excitation-backprop:layer=inception_4d/output,grad-cam:layer=inception_4d/output"
cams="grad-cam-plus-plus,hires-cam,x-grad-cam,eigen-cam,ablation-cam,guided-grad-cam:smooth=0.02"
medium="integrated-gradients:smooth=0.02,smooth-grad:smooth=0.02,gradient-shap:smooth=0.02"
medium="$medium,occlusion,feature-ablation"
slow="rise:masks=1000,extremal-perturbation:iterations=200"
slow="$slow,kernel-shap:segments=grid:7,samples=300,lime:segments=grid:7,samples=300"
masks="score-cam,guided-ig:smooth=0.02,meaningful-perturbation"
rest="square-grad:smooth=0.02,var-grad:smooth=0.02,blur-ig:smooth=0.02,hsic:segments=grid:7,samples=300"
rest="$rest,shapley-sampling:segments=grid:7,permutations=6,sobol:segments=grid:7,design=6"

# run FOLDER DATA RESIZE METHODS METRICS LIMIT; values that failed are listed, and the rest goes on.
run() {
    elucid evaluate --model "$model" --data "$2" --resize "$3" --methods "$4" --metrics "$5" \
        --limit "$6" --batch-size 4 --seed 1 --resume --out "$out/$1" || [ $? -eq 3 ]
}

mkdir -p "$out"

# Excitation backprop is not among them: numbers below 0 reach the convolutions of this network, which it refuses.
if [ -n "$efficientnet" ]; then
    model=$efficientnet
    lite="gradient,gradient:smooth=0.02,linear-approximation:smooth=0.02,guided-backprop:smooth=0.02"
    lite="$lite,deconvnet:smooth=0.02,deep-lift:smooth=0.02,lrp:smooth=0.02,full-grad,grad-cam,grad-cam-plus-plus"
    lite="$lite,hires-cam,layer-cam,x-grad-cam,eigen-cam,eigen-grad-cam,shapley-cam,recipro-cam"
    run boxes-lite "$boxes" crop:227 "$lite" "$metrics" "${BOXES:-1000}"
    exit
fi

run boxes-fast "$boxes" crop:227 "$fast" "$metrics" "${BOXES:-1000}"
run boxes-raw "$boxes" crop:227 "$raw" "$metrics" "${BOXES:-1000}"
run boxes-cams "$boxes" crop:227 "$cams" "$metrics" "${BOXES:-1000}"
run boxes-medium "$boxes" crop:227 "$medium" "$metrics" "${BOXES_MEDIUM:-24}"
run boxes-slow "$boxes" crop:227 "$slow" "$metrics" "${BOXES_SLOW:-16}"
# For boxes small masks are wanted.
run boxes-masks "$boxes" crop:227 "$masks:preset=localisation" "$metrics" "${BOXES_MASKS:-8}"
run boxes-rest "$boxes" crop:227 "$rest" "$metrics" "${BOXES_MASKS:-8}"
run effect-fast "$labels" squash "$fast" "$effect" "${EFFECT:-64}"
run effect-medium "$labels" squash "$medium" "$effect" "${EFFECT_MEDIUM:-24}"
run effect-slow "$labels" squash "$slow" "$effect" "${EFFECT_SLOW:-16}"
run effect-masks "$labels" squash "$masks" "$effect" "${EFFECT_MASKS:-16}"
