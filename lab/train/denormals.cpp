#include "lab/train/denormals.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

namespace gradstab::lab {
namespace {

/// In this thread, and in those that share LibTorch's loops with it. A thread that starts later inherits it.
void flush_denormals(bool on) {
  at::Context::setFlushDenormal(on);
  at::parallel_for(0, at::get_num_threads(), 1,
                   [on](std::int64_t, std::int64_t) { at::Context::setFlushDenormal(on); });
}

}  // namespace

FlushDenormals::FlushDenormals() {
  flush_denormals(true);
}

FlushDenormals::~FlushDenormals() {
  flush_denormals(false);
}

}  // namespace gradstab::lab
