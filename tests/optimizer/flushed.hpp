// Subnormal numbers flushed to zero, as torch.set_flush_denormal(true) does it for a thread.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace gradstab::testing {

constexpr bool can_flush() {
#if defined(__SSE2__)
  return true;
#else
  return false;
#endif
}

/// For this thread and as long as this lives, if `wanted`: subnormal results become 0, and subnormal inputs
/// count as 0.
class FlushedToZero {
 public:
  explicit FlushedToZero([[maybe_unused]] bool wanted) {
#if defined(__SSE2__)
    if (wanted) _mm_setcsr(before_ | kResults | kInputs);
#endif
  }
  ~FlushedToZero() {
#if defined(__SSE2__)
    _mm_setcsr(before_);
#endif
  }
  FlushedToZero(const FlushedToZero&) = delete;
  FlushedToZero& operator=(const FlushedToZero&) = delete;

#if defined(__SSE2__)
 private:
  static constexpr unsigned kResults = 0x8000;
  static constexpr unsigned kInputs = 0x0040;
  unsigned before_ = _mm_getcsr();
#endif
};

}  // namespace gradstab::testing
