#!/bin/sh
# Runs recipe.yaml by LLaMA-Factory. Usage:
#   sh launch.sh one|torchrun|zero2|zero3|fsdp|ray [PROCESSES] [KEY=VALUE ...]
# PROCESSES: those of this host (with ray: of all hosts), one for each GPU; as many as there are GPUs when left out.
# Several hosts: the same line on each, with NNODES, NODE_RANK (0, 1 ...), MASTER_ADDR and MASTER_PORT in the environment.
set -eu
cd "$(dirname "$0")"

BATCH=@BATCH@ # samples that one process computes at once, as the recipe says
STEP=@STEP@ # samples of one step of the optimiser, over all processes: it stays the same however many there are

fail() {
    echo "launch.sh: $1" >&2
    exit 1
}

mode=${1:-}
[ $# -gt 0 ] && shift
gpus=$(nvidia-smi --list-gpus 2>/dev/null | wc -l)
processes=$((gpus > 0 ? gpus : 1))
case ${1:-} in
'' | *[!0-9]*) ;;
*)
    processes=$1
    shift
    ;;
esac
nodes=${NNODES:-1}
rank=${NODE_RANK:-0}
if [ "$nodes" -gt 1 ]; then
    [ -n "${MASTER_ADDR:-}" ] || fail "several hosts need MASTER_ADDR, the address of the host with NODE_RANK 0"
    export MASTER_PORT="${MASTER_PORT:-29500}" # one host alone takes a port that is free
fi

case $mode in
one) all=1 ;;
ray) all=$processes ;;
torchrun | zero2 | zero3 | fsdp) all=$((processes * nodes)) ;;
*) fail "say how: one, torchrun, zero2, zero3, fsdp or ray (README.md tells which)" ;;
esac

# Each process takes its share of a step: fewer micro-batches, then smaller ones.
[ $((STEP % all)) -eq 0 ] || fail "a step has $STEP samples, which $all processes cannot share evenly; take another number of them, or hand the recipe over with another per_device_train_batch_size"
share=$((STEP / all))
batch=$((BATCH < share ? BATCH : share))
while [ $((share % batch)) -ne 0 ]; do batch=$((batch - 1)); done
set -- "per_device_train_batch_size=$batch" "gradient_accumulation_steps=$((share / batch))" "$@"

distributed() {
    FORCE_TORCHRUN=1 NNODES=$nodes NODE_RANK=$rank NPROC_PER_NODE=$processes llamafactory-cli train recipe.yaml "$@"
}

case $mode in
one) CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:-0} llamafactory-cli train recipe.yaml "$@" ;;
torchrun) distributed "$@" ;;
zero2) distributed deepspeed=deepspeed-zero2.json "$@" ;;
zero3) distributed deepspeed=deepspeed-zero3.json "$@" ;;
fsdp)
    accelerate launch --config_file fsdp.yaml --num_processes "$all" --num_machines "$nodes" --machine_rank "$rank" \
        --main_process_ip "${MASTER_ADDR:-127.0.0.1}" --main_process_port "${MASTER_PORT:-0}" -m llamafactory.launcher recipe.yaml "$@"
    ;;
ray) USE_RAY=1 llamafactory-cli train recipe.yaml "ray_num_workers=$all" "$@" ;;
esac
