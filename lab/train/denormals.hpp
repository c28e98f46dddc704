// Denormal numbers while a model trains.
#pragma once

namespace gradstab::lab {

/// While it lives, this thread and LibTorch's own threads treat denormal floats (below 1.2e-38) as zero.
///
/// Attention that saturates gives probabilities, and gradients, of that size. They change nothing that is
/// learned, and many processors compute with them in microcode: training was seen to slow down eight times.
/// Afterwards denormals count again. Does nothing where the processor cannot do it.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

}  // namespace gradstab::lab
