#!/usr/bin/env bash
# Builds the CUDA back end on a machine with a GPU, checks it, measures it and trains with it:
#   tools/gpu_check.sh [RESULTS]          (default: docs/results/gpu)
# Needs nvcc 12 or later, CMake, a C++20 compiler, and a python3 with PyTorch 2 for the stages that train and measure;
# for the stage "lab", which is skipped otherwise, what the lab is built with (CLI11, fmt, nlohmann-json, SentencePiece,
# zlib, libjpeg-turbo, libpng, Chart.js). No network, no test framework. Every stage has a time limit of its own and all together stay below
# ten minutes; what one stage loses the others keep. Ends with 0 if all passed, 77 if there is no GPU, else 1.
# GRADSTAB_GPU_CHECK_BUILD names the build folder, GRADSTAB_GPU_CHECK_SECONDS is another limit for everything.
# GRADSTAB_GPU_CHECK_PREBUILT names a folder with what was built elsewhere for this python3's torch and is checked in
# place of what is built here: package/gradient_stabilizer, gradstab. The results say so.
set -uo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." || exit
PATH=$PATH:/usr/local/cuda/bin  # where the toolkit mostly is, last
results=${1:-docs/results/gpu}
build=${GRADSTAB_GPU_CHECK_BUILD:-build-gpu}
prebuilt=${GRADSTAB_GPU_CHECK_PREBUILT:-}
readonly results build prebuilt
readonly logs=$build/gpu_check
readonly limit=${GRADSTAB_GPU_CHECK_SECONDS:-570}

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L >/dev/null 2>&1; then
  echo "gpu_check: SKIPPED, nothing was checked: nvidia-smi finds no GPU here" >&2
  exit 77
fi
rm -rf "$logs"
mkdir -p "$logs"
: >"$logs/stages.tsv"
nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1 | tee "$logs/device.txt"
failed=0

# stage NAME SECONDS COMMAND...: runs it under its limit, keeps its output and notes how it ended.
stage() {
  local name=$1 seconds=$2 code begin=$SECONDS
  shift 2
  local left=$((limit - SECONDS))
  ((seconds < left)) || seconds=$left
  echo "== $name (at most ${seconds} s)"
  if ((seconds < 5)); then
    echo "no time left for $name" | tee "$logs/$name.log"
    code=125
  else
    timeout --kill-after=5 "$seconds" "$@" >"$logs/$name.log" 2>&1
    code=$?
    tail -n 25 "$logs/$name.log"
  fi
  # A lab that cannot be built here is no failure; a device check that finds no device is one.
  ((code == 0)) || [[ $code == 77 && $name == lab ]] || failed=1
  printf '%s\t%s\t%s\n' "$name" "$code" "$((SECONDS - begin))" >>"$logs/stages.tsv"
  echo "== $name: exit code $code after $((SECONDS - begin)) s"
  return "$code"
}

# configure FOLDER ARGUMENTS...: with device code for the GPU that is here.
configure() {
  local folder=$1 capability highway=ON generator=()
  shift
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. ')
  echo '#include <hwy/highway.h>' | ${CXX:-c++} -std=c++20 -mssse3 -xc++ -fsyntax-only - 2>/dev/null || highway=OFF
  command -v ninja >/dev/null && generator=(-G Ninja)
  cmake -S . -B "$folder" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DGRADSTAB_CUDA=ON \
    -DGRADSTAB_CUDA_ARCHITECTURES="$capability" -DGRADSTAB_HIGHWAY="$highway" -DGRADSTAB_DEVELOPER=OFF \
    -DGRADSTAB_INSTALL=OFF "$@"
}

build_all() {
  configure "$build" -DGRADSTAB_CUDA_CHECK=ON -DGRADSTAB_SHARED=ON -DGRADSTAB_LAB=OFF &&
    cmake --build "$build" --parallel "$(nproc)" --target gradstab_shared gradstab_device_check
}

# The Python package for python3's torch, in the same build folder.
build_package() {
  cmake -S . -B "$build" -DGRADSTAB_PYTHON=ON -DPython3_EXECUTABLE="$(command -v python3)" &&
    cmake --build "$build" --parallel "$(nproc)" --target gradstab_python gradstab_python_sources
}

# The lab's program with python3's torch; 77 where what it is built with is not here.
build_lab() {
  local folder=$build/lab
  if ! configure "$folder" -DGRADSTAB_CUDA_CHECK=OFF -DGRADSTAB_SHARED=OFF -DGRADSTAB_LAB=ON \
    -DGRADSTAB_TORCH_PYTHON="$(command -v python3)" >"$logs/lab_configure.log" 2>&1; then
    cat "$logs/lab_configure.log"
    grep -qiE 'could not find|not found|cannot import torch' "$logs/lab_configure.log" || return 1
    echo "SKIPPED: the lab needs a package that is not here"
    return 77
  fi
  cmake --build "$folder" --parallel "$(nproc)" --target gradstab_cli
}

# Short runs of it on the text of Python's library, in each number format.
train_with_lab() {
  local run precision transform code status=0
  cat "$logs/build_lab.log"
  code=$(cat "$logs/build_lab.code")
  ((code == 0)) || return "$code"
  find "$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["stdlib"])')" -maxdepth 1 -name '*.py' -print0 |
    sort -z | xargs -0 cat >"$logs/corpus.txt"
  for run in bf16-none bf16-stabilize fp16-stabilize fp4-stabilize; do
    precision=${run%-*} transform=${run#*-}
    "$lab" train llm --device cuda --precision "$precision" --transform "$transform" \
      --data "$logs/corpus.txt" --tokenizer bpe --vocab-size 8192 --model 20m --context 256 --batch 64 --steps 200 \
      --warmup 20 --lr 0.003 --eval-every 100 --eval-batches 4 --final-eval-batches 4 --checkpoint-every 200 \
      --output "$logs/run-$run" --force && grep -q '"diverged": *false' "$logs/run-$run/summary.json" || status=1
  done
  return "$status"
}

device_check=$build/tests/cuda/device/gradstab_device_check
export -f configure build_all build_package build_lab train_with_lab
lab=$build/lab/gradstab
package=$PWD/$build/adaptors/python
if [[ -n $prebuilt && -x $prebuilt/gradstab ]]; then
  lab=$prebuilt/gradstab
  echo "the lab's program" >>"$logs/prebuilt.txt"
fi
if [[ -n $prebuilt && -d $prebuilt/package ]]; then
  package=$prebuilt/package
  echo "the Python package" >>"$logs/prebuilt.txt"
fi
export build logs lab
stage environment 20 bash -c 'nvidia-smi; nvcc --version; c++ --version; cmake --version; python3 -c "import torch; print(torch.__version__, torch.version.cuda)"'
if stage build 150 bash -c build_all; then
  export PYTHONUNBUFFERED=1
  stage device_check 100 "$device_check"
  if stage build_package 120 bash -c build_package; then
    export PYTHONPATH=$package
    stage package 60 python3 tools/gpu_check/check_package.py
    stage bench 120 python3 bench/python/cuda_bench.py --seconds 85 --out "$logs/bench.json"
    stage training 100 python3 tools/gpu_check/train_llama.py --seconds 45 --out "$logs/training.json"
  fi
  if [[ $lab == "$build"/* ]]; then
    # Beside the checks that nobody times.
    { timeout --kill-after=5 200 bash -c build_lab >"$logs/build_lab.log" 2>&1; echo $? >"$logs/build_lab.code"; } &
  else
    echo "built elsewhere" >"$logs/build_lab.log"
    echo 0 >"$logs/build_lab.code"
  fi
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck; do
      stage "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 1 "$device_check" --small
    done
  else
    echo "compute-sanitizer was not found: memory and races are not checked" | tee "$logs/sanitizer.log"
    printf 'sanitizer\t77\t0\n' >>"$logs/stages.tsv"
    failed=1
  fi
  wait
  stage lab 120 bash -c train_with_lab
fi
python3 tools/gpu_check/collect.py "$logs" "$results" || failed=1
((failed == 0)) && echo "gpu_check: every stage passed" || echo "gpu_check: not every stage passed"
exit "$failed"
