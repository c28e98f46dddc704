#!/usr/bin/env bash
# The tests of the Python package on the newest torch from PyPI, for the CPU, built and installed in build-newest-torch. What
# Debian's torch lacks (DTensor, FSDP2) is tested here only. Then other people's logs: the newest TensorBoard, W&B, Lightning and
# transformers against build/gradstab, where that was built. Ends with 77 where pip cannot install torch.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
readonly folder=build-newest-torch
readonly venv=$folder/venv
mkdir -p "$folder"
[[ -x $venv/bin/pip ]] || python3 -m venv "$venv"
# The torch of PyPI is linked with CUDA's libraries, which come with it: 6 GB in all.
if ! timeout 1200 "$venv/bin/pip" --disable-pip-version-check --quiet --no-cache-dir install --upgrade torch numpy pytest; then
  echo "SKIPPED, nothing was checked: pip could not install torch within 20 minutes"
  exit 77
fi
"$venv/bin/python" -c 'import torch; print("torch", torch.__version__)'

cmake -S . -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADSTAB_LAB=OFF -DGRADSTAB_PYTHON=ON -DBUILD_TESTING=ON \
  -DPython3_EXECUTABLE="$PWD/$venv/bin/python"
cmake --build "$folder/build" --target gradstab_python gradstab_python_sources gradstab_shared
# Verbose: the last lines say how many tests were skipped.
ctest --test-dir "$folder/build" --verbose --no-tests=error -R '^python$'

if [[ ! -x build/gradstab ]]; then
  echo "logs of other tools: left out, there is no build/gradstab"
elif ! timeout 600 "$venv/bin/pip" --disable-pip-version-check --quiet --no-cache-dir install --upgrade tensorboard wandb lightning transformers accelerate; then
  echo "logs of other tools: left out, pip could not install them"
else
  GRADSTAB_LOGS_PYTHON="$PWD/$venv/bin/python" ctest --test-dir build --output-on-failure --no-tests=error -R '^logs'
fi
