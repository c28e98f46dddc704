#include "lab/vision/part_order.hpp"

#include <fmt/format.h>

#include "lab/support/permutation.hpp"

namespace gradstab::lab::vision {
namespace {

/// Part of every result on these parts, so it may never change.
constexpr std::uint64_t kShuffleKey = 0x70617274735f6f66;

constexpr std::size_t at(Part part) noexcept {
  return static_cast<std::size_t>(part);
}

}  // namespace

Result<PartOrder> PartOrder::divide(const std::array<std::int64_t, kPartCount>& stored,
                                    std::int64_t validation) {
  const std::int64_t training = stored[at(Part::training)];
  const auto refuse = [](std::string message) {
    return Status(StatusCode::invalid_argument, std::move(message));
  };
  if (training < 1) return refuse("there is no training picture");
  if (validation < 0)
    return refuse(fmt::format("the number of validation pictures must be at least 0, got {}", validation));
  const auto all_of = [&](Part set) { return Stretch{set, 0, stored[at(set)], stored[at(set)]}; };
  PartOrder order;
  auto& parts = order.parts_;
  parts = {all_of(Part::training), all_of(Part::validation), all_of(Part::test)};
  if (stored[at(Part::test)] == 0) {
    if (stored[at(Part::validation)] == 0) return refuse("there is neither a test nor a validation picture");
    parts[at(Part::test)] = parts[at(Part::validation)];
    order.validation_is_test_ = true;
  } else if (stored[at(Part::validation)] == 0 && validation == 0) {
    parts[at(Part::validation)] = parts[at(Part::test)];
    order.validation_is_test_ = true;
  } else if (stored[at(Part::validation)] == 0) {
    if (validation >= training)
      return refuse(fmt::format(
          "{} of {} training pictures cannot be kept for validation, expected fewer than there are",
          validation, training));
    parts[at(Part::training)].count -= validation;
    parts[at(Part::validation)] = {Part::training, training - validation, validation, training};
  }
  return order;
}

std::array<std::int64_t, kPartCount> PartOrder::sizes() const noexcept {
  std::array<std::int64_t, kPartCount> sizes{};
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = parts_[i].count;
  return sizes;
}

PartOrder::Place PartOrder::place(Part part, std::int64_t index) const noexcept {
  const Stretch& stretch = parts_[at(part)];
  const std::uint64_t number =
      permuted_index(static_cast<std::uint64_t>(stretch.first + index),
                     static_cast<std::uint64_t>(stretch.of), kShuffleKey + at(stretch.set));
  return {stretch.set, static_cast<std::int64_t>(number)};
}

}  // namespace gradstab::lab::vision
