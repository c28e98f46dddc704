#include "lab/train/allocation_failure.hpp"

#include <fmt/format.h>
#include <torch/torch.h>

#include <new>
#include <string>
#include <string_view>

#include "lab/support/numbers.hpp"
#include "lab/train/machine_limits.hpp"

namespace gradstab::lab {
namespace {

Status out_of_memory(const std::string& asked) {
  const Machine machine = Machine::here();
  const std::string has = machine.memory == 0 ? std::string()
                                              : fmt::format("; this machine has {}",
                                                            memory_text(static_cast<double>(machine.memory)));
  return {StatusCode::failed_precondition,
          fmt::format("out of memory: {}{}; choose a smaller model or batch", asked, has)};
}

/// The host's allocator says "you tried to allocate 12345 bytes".
Status of_host_allocator(std::string_view text) {
  constexpr std::string_view kBefore = "tried to allocate ";
  const std::size_t begin = text.find(kBefore);
  if (begin == std::string_view::npos) return out_of_memory("LibTorch could not allocate a tensor");
  const std::string_view rest = text.substr(begin + kBefore.size());
  const auto bytes = parse_number<std::uint64_t>(rest.substr(0, rest.find(' ')));
  return out_of_memory(
      bytes ? fmt::format("a tensor of {} could not be allocated", memory_text(static_cast<double>(*bytes)))
            : std::string("LibTorch could not allocate a tensor"));
}

}  // namespace

Status status_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return out_of_memory("the system gave no more to this process");
  std::string text = error.what();
  if (const auto* const torch_error = dynamic_cast<const c10::Error*>(&error))
    text = torch_error->what_without_backtrace();
  text = text.substr(0, text.find('\n'));
  if (text.find("DefaultCPUAllocator") != std::string::npos) return of_host_allocator(text);
  if (text.find("CUDA out of memory") != std::string::npos)
    return {StatusCode::failed_precondition, "out of memory on the device: " + text};
  // "[enforce fail at alloc_cpu.cpp:75] what was wrong"
  if (text.starts_with('[') && text.find("] ") != std::string::npos) text.erase(0, text.find("] ") + 2);
  return {StatusCode::failed_precondition, text};
}

}  // namespace gradstab::lab
