// Which of a source's pictures belong to which part, and in which order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

/// A source stores its pictures in sets, which are Part::training and Part::test, and Part::validation where
/// it brings one. A part is a stretch of a set that a constant key has shuffled.
class PartOrder {
 public:
  /// `stored` pictures in each set. Where none is stored for validation, that part is the last `validation`
  /// of the shuffled training pictures, or with 0 the test part. Where none is stored for the test, that part
  /// is the stored validation. Errors (invalid_argument): no training picture; neither a test nor a
  /// validation picture; fewer training pictures than are to be kept.
  static Result<PartOrder> divide(const std::array<std::int64_t, kPartCount>& stored,
                                  std::int64_t validation);

  std::array<std::int64_t, kPartCount> sizes() const noexcept;
  bool validation_is_test() const noexcept { return validation_is_test_; }

  /// A stored picture: its set, and its number in the set.
  struct Place {
    Part set = Part::training;
    std::int64_t number = 0;
  };
  /// Of picture `index` of a part.
  Place place(Part part, std::int64_t index) const noexcept;

 private:
  struct Stretch {
    Part set = Part::training;
    std::int64_t first = 0, count = 0, of = 0;
  };
  std::array<Stretch, kPartCount> parts_{};
  bool validation_is_test_ = false;
};

}  // namespace gradstab::lab::vision
