#include "machine.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>

namespace gradstab::bench {
namespace {

// Integers, because the compiler may reorder their sums and hence vectorize the loop.
#if defined(__x86_64__)
#define GRADSTAB_WIDEST_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define GRADSTAB_WIDEST_VECTORS
#endif

// Asked for two pages ahead, as the library's kernels do: a limit that they could beat would be none.
constexpr std::size_t kAhead = 8192 / sizeof(std::uint64_t);
constexpr std::size_t kLine = 64 / sizeof(std::uint64_t);
constexpr std::size_t kRun = 8 * kLine;

__attribute__((always_inline)) inline void ask_ahead(const std::uint64_t* words) {
  for (std::size_t i = 0; i < kRun; i += kLine) {
    // As a number, because a pointer may not leave its array, even unread.
    const auto address = reinterpret_cast<std::uintptr_t>(words + i) + kAhead * sizeof(std::uint64_t);
    __builtin_prefetch(reinterpret_cast<const void*>(address));  // NOLINT(performance-no-int-to-ptr)
  }
}

GRADSTAB_WIDEST_VECTORS std::uint64_t sum_of_words(const std::uint64_t* words, std::size_t count) {
  std::uint64_t sum = 0;
  std::size_t begin = 0;
  for (; begin + kRun <= count; begin += kRun) {
    ask_ahead(words + begin);
    for (std::size_t i = begin; i < begin + kRun; ++i) sum += words[i];
  }
  for (std::size_t i = begin; i < count; ++i) sum += words[i];
  return sum;
}

GRADSTAB_WIDEST_VECTORS void change_words(std::uint64_t* words, std::size_t count) {
  std::size_t begin = 0;
  for (; begin + kRun <= count; begin += kRun) {
    ask_ahead(words + begin);
    for (std::size_t i = begin; i < begin + kRun; ++i) words[i] ^= 1;
  }
  for (std::size_t i = begin; i < count; ++i) words[i] ^= 1;
}

/// Keeps the compiler from dropping sums that nobody looks at.
std::atomic<std::uint64_t> sink;

template <class Body>
void run(Executor& executor, std::size_t count, Body body) {
  executor.run(
      count, [](void* context, std::size_t i) noexcept { (*static_cast<Body*>(context))(i); }, &body);
}

std::uint64_t* words_of(Memory piece) {
  return reinterpret_cast<std::uint64_t*>(piece.data());
}

}  // namespace

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::vector<Memory> in_pieces(const std::vector<Memory>& memory) {
  constexpr std::size_t kPiece = 256 * 1024;
  std::vector<Memory> pieces;
  for (const Memory& part : memory) {
    for (std::size_t begin = 0; begin < part.size(); begin += kPiece) {
      pieces.push_back(part.subspan(begin, std::min(kPiece, part.size() - begin)));
    }
  }
  return pieces;
}

void stream_read(Executor& executor, const std::vector<Memory>& memory) {
  run(executor, memory.size(), [&](std::size_t i) {
    sink.fetch_add(sum_of_words(words_of(memory[i]), memory[i].size() / sizeof(std::uint64_t)),
                   std::memory_order_relaxed);
  });
}

void stream_read_write(Executor& executor, const std::vector<Memory>& memory) {
  run(executor, memory.size(),
      [&](std::size_t i) { change_words(words_of(memory[i]), memory[i].size() / sizeof(std::uint64_t)); });
}

}  // namespace gradstab::bench
