#include "lab/train/environment.hpp"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <malloc.h>
#include <torch/version.h>

#include <filesystem>
#include <sstream>

#include "gradstab/export.hpp"
#include "lab/support/files.hpp"

namespace gradstab::lab {

BlasInfo loaded_blas() {
  constexpr const char* kAdvice =
      "; install the Debian package libopenblas0-openmp and run './run build' again";
  if (auto* parallel = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "openblas_get_parallel"))) {
    auto* config = reinterpret_cast<char* (*)()>(dlsym(RTLD_DEFAULT, "openblas_get_config"));
    // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...": the first two words say enough.
    std::string name = config ? config() : "OpenBLAS";
    name = name.substr(0, name.find(' ', name.find(' ') + 1));
    constexpr int kOpenMp = 2;
    if (parallel() == kOpenMp) return {name + " (OpenMP)", ""};
    return {
        name + " (not OpenMP)",
        "the loaded OpenBLAS has threads of its own, which compete with LibTorch's and can halve the speed" +
            std::string(kAdvice)};
  }
  Dl_info info{};
  void* sgemm = dlsym(RTLD_DEFAULT, "sgemm_");
  if (sgemm == nullptr || dladdr(sgemm, &info) == 0 || info.dli_fname == nullptr)
    return {"built into LibTorch", ""};
  std::error_code ignored;
  const std::string path = std::filesystem::canonical(info.dli_fname, ignored).string();
  const bool mkl = path.find("mkl") != std::string::npos || path.find("libtorch") != std::string::npos;
  if (mkl) return {path, ""};
  return {path, "the loaded BLAS '" + path + "' is not OpenBLAS and may be twenty times slower" + kAdvice};
}

std::string cpu_name() {
  const auto text = read_file("/proc/cpuinfo", kSystemFile);
  std::istringstream cpuinfo(text ? *text : std::string());
  for (std::string line; std::getline(cpuinfo, line);) {
    if (!line.starts_with("model name")) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

void return_freed_tensors_to_system() noexcept {
#ifdef __GLIBC__
  // The default threshold, which by being set stops growing with what is freed.
  constexpr int kMappedBytes = 128 * 1024;
  mallopt(M_MMAP_THRESHOLD, kMappedBytes);
#endif
}

nlohmann::ordered_json describe_environment(const std::string& gpu) {
  nlohmann::ordered_json environment = {{"version", GRADSTAB_VERSION},
                                        {"torch", TORCH_VERSION},
                                        {"blas", loaded_blas().description},
                                        {"cpu", cpu_name()},
                                        {"threads", at::get_num_threads()}};
  if (!gpu.empty()) environment["gpu"] = gpu;
  return environment;
}

}  // namespace gradstab::lab
