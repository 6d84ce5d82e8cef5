#!/usr/bin/env bash
# Do two GPUs learn what one learns, and how much faster are they? For a machine that has them:
#
#     benchmarks/gpu.sh [EXPERIMENT] [DEVICES]
#
# EXPERIMENT (default: simpsons) and DEVICES (default: 2). Rows are added to
# benchmarks/results/gpus.csv, with one device and with all: images per second and the val accuracy
# of three epochs, images per second with the experiment's batch on each device (weak scaling; above,
# they share it), and the largest difference between the losses of twenty steps in float32.
# ACCELERATOR=cpu tries the script without a GPU. It changes params.yaml: run it in a clone of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
experiment=${1:-simpsons} devices=${2:-2} accelerator=${ACCELERATOR:-gpu}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

measure() { # name devices overrides...
	springfield compose "experiment=$experiment" "hardware.accelerator=$accelerator" \
		"hardware.devices=$2" "${@:3}"
	dvc repro augment
	springfield train
	cp -r reports/train "$out/$1"
}

# A network without batch norm, nothing that draws at random, and epochs of one step.
same=(model=resnet10t model.backbone=test_convnext train=scratch augment=none augment.offline.floor=0
	split.max_per_class=3 train.epochs=20 train.batch_size=64 train.precision=32-true
	train.auxiliary=0)
for n in 1 "$devices"; do
	NVIDIA_TF32_OVERRIDE=0 measure "same-$n" "$n" "${same[@]}"
	measure "speed-$n" "$n" train.epochs=3
done
batch=$(sed -n 's/^  batch_size: //p' params.yaml)
measure "weak-$devices" "$devices" train.epochs=3 "train.batch_size=$((batch * devices))"
cp -r "$out/speed-1" "$out/weak-1"
python benchmarks/gpus.py "$experiment" "$out" "$devices"
