// Backend: the kernels that touch gradient memory on one kind of machine.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "gradstab/dtype.hpp"
#include "gradstab/export.hpp"
#include "gradstab/status.hpp"
#include "gradstab/update_rule.hpp"

namespace gradstab {

/// Kernels over contiguous host memory. They know no settings; everything else is built from them.
///
/// Contract of all: `data` is aligned to its element type only; `count` may be 0; no allocation; the
/// result depends only on the values and the count, never on the alignment or the calling thread.
class GRADSTAB_API Backend {
 public:
  virtual ~Backend() = default;

  /// The name to ask for it by: "reference", "cpu-avx2", ...
  virtual std::string_view name() const noexcept = 0;

  /// Whether this machine can run it.
  virtual bool supported() const noexcept = 0;

  /// Sum of squares, accumulated in double. SIMD backends first add the squares of two neighbouring 16-bit
  /// elements in float, with a relative error of at most 2^-24, and fall back to double where that could
  /// leave float's range. Exact range for float32 and narrower; float64 input whose squares leave the range
  /// of a double gives 0, a denormal or infinity, which the caller detects.
  virtual double squared_norm(const void* data, DType dtype, std::size_t count) const noexcept = 0;

  /// Largest absolute value, NaN if any element is NaN; 0 for no elements.
  virtual double max_abs(const void* data, DType dtype, std::size_t count) const noexcept = 0;

  /// data[i] <- data[i] * factor, computed in double (in float for 16-bit types where that rounds the same
  /// way) and rounded once.
  virtual void scale(void* data, DType dtype, std::size_t count, double factor) const noexcept = 0;

  /// data[i] <- data[i] * factor, or `limit` with its sign where that is larger in magnitude; computed in
  /// double and rounded once. NaN stays NaN, an infinity becomes `limit`.
  virtual void clamp(void* data, DType dtype, std::size_t count, double factor,
                     double limit) const noexcept = 0;

  /// An optimizer's update of one block. SIMD backends compute float32 and bfloat16 parameters in float32,
  /// one rounding per operation written in UpdateRule, so that all of them agree bit for bit; the reference
  /// computes in double and rounds what it stores. So do all of them where one of the scalars is neither 0
  /// nor between 2^-126 and 2^127 in magnitude, infinity and NaN excepted.
  virtual void update(const UpdateBlock& block, const UpdateScalars& scalars) const noexcept = 0;
};

/// Every backend of this build, the reference first and the fastest last. This machine may not support all of
/// them.
GRADSTAB_API std::span<const Backend* const> backends() noexcept;

/// The backend of that name. An empty name asks the environment variable GRADSTAB_BACKEND, and without one
/// chooses the fastest supported. Errors: unknown name (lists the known ones), or not supported by this
/// machine.
GRADSTAB_API Result<const Backend*> find_backend(std::string_view name = {});

}  // namespace gradstab
