// One block of threads as a loop on the host: what a kernel's block does, in an order that is one of those in
// which the device may do it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/tables.hpp"

namespace gradstab::device {

class HostBlock {
 public:
  explicit HostBlock(std::uint32_t index) : index_(index) {}

  std::uint32_t index() const noexcept { return index_; }

  /// body(thread) of every thread.
  template <class Body>
  void each(Body body) {
    for (unsigned thread = 0; thread < kThreads; ++thread) body(thread);
  }

  /// body() of one thread.
  template <class Body>
  void lead(Body body) {
    body();
  }

  /// The sum of value(thread) over all threads, for all threads: in each warp halves are added to halves,
  /// then the warps in order.
  template <class Value>
  double sum(Value value) {
    double values[kThreads];
    each([&](unsigned thread) { values[thread] = value(thread); });
    double total = 0.0;
    for (unsigned warp = 0; warp < kThreads; warp += kWarp) {
      for (unsigned half = kWarp / 2; half > 0; half /= 2) {
        for (unsigned lane = 0; lane < half; ++lane) values[warp + lane] += values[warp + lane + half];
      }
      total += values[warp];
    }
    return total;
  }

  /// Whether this block is the last of `count` to come here. The counter is then 0 again.
  bool arrives_last(std::uint32_t* arrivals, std::uint32_t count) {
    *arrivals += 1;
    if (*arrivals < count) return false;
    *arrivals = 0;
    return true;
  }

  /// Reads what another block has written.
  static double load_fresh(const double* value) { return *value; }

 private:
  static constexpr unsigned kWarp = 32;
  std::uint32_t index_;
};

}  // namespace gradstab::device
