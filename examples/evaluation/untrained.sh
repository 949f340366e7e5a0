#!/bin/sh
# The measurements of docs/evaluation.md on networks whose weights are random numbers. What is there already is kept.
#
#     sh untrained.sh PHOTOGRAPHS OUT
#
# PHOTOGRAPHS is a folder of images: those of NIPS17_FOLDER, as in study.sh. What is explained is the class that a
# network takes each photograph for.
set -eu
photographs=$1 out=$2
networks=$(dirname "$0")/networks

mkdir -p "$out"
{
    echo "file,class_index"
    find "$(cd "$photographs" && pwd)" -name '*.jpg' | sort | head -n "${PHOTOGRAPHS:-100}" | sed 's/$/,0/'
} >"$out/photographs.csv"

metrics="completeness,sensitivity-max,random-logit,mprt,insertion,deletion,sparseness"
shared="gradient,linear-approximation,integrated-gradients:steps=10,deep-lift,full-grad"
shared="$shared,grad-cam,grad-cam-plus-plus,hires-cam,layer-cam,x-grad-cam,eigen-cam,shapley-cam,recipro-cam"
shared="$shared,lrp:composite=attn-lrp,lrp:composite=cp-lrp,lrp:composite=cp-lrp-gamma,gradient:rules=libra-grad"
attention="attention,attention-rollout,gradient-attention,chefer,chefer-cvpr,token-occlusion"

# run FOLDER MODEL METHODS
run() {
    elucid evaluate --model "$2" --data "$out/photographs.csv" --target prediction --methods "$3" \
        --metrics "$metrics" --batch-size 1 --seed 1 --resume --out "$out/$1" || [ $? -eq 3 ]
}

run vit "$networks/vit_tiny.onnx" "$shared,$attention"
run convnext "$networks/convnext_tiny.onnx" "$shared"
