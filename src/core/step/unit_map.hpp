// UnitMap: which segments make up each unit of one link.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/step/segments.hpp"
#include "gradstab/options.hpp"
#include "gradstab/status.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

class UnitMap {
 public:
  /// Errors: a group to which no parameter belongs.
  static Result<UnitMap> create(const Units& units, const ParameterSet& parameters, const Segments& segments);

  std::size_t count() const noexcept { return identity_ ? segment_count_ : first_.size() - 1; }

  /// Every unit is one segment, the one of the same index.
  bool identity() const noexcept { return identity_; }

  /// The units that lie within these segments. Segments come in whole tensors; units that reach beyond a
  /// tensor ask for all segments at once.
  IndexRange units_within(IndexRange segments) const noexcept;

  std::span<const std::size_t> segments_of(std::size_t unit) const noexcept {
    return std::span(members_).subspan(first_[unit], first_[unit + 1] - first_[unit]);
  }

  /// For Granularity::group, the names of the units: the groups', then those of the tensors in no group.
  /// Empty otherwise.
  std::span<const std::string> names() const noexcept { return names_; }
  std::size_t group_count() const noexcept { return group_count_; }
  /// For Granularity::group.
  std::size_t unit_of_tensor(std::size_t tensor) const noexcept { return unit_of_tensor_[tensor]; }

  /// The unit of a group of that name, or of a tensor in no group; -1 if there is none.
  std::ptrdiff_t find(bool group, std::string_view name) const noexcept;

 private:
  void add_unit(std::span<const std::size_t> segments);

  bool identity_ = false;
  std::size_t segment_count_ = 0;
  std::size_t group_count_ = 0;
  std::vector<std::size_t> first_ = {0};  // into members_, per unit
  std::vector<std::size_t> members_;
  std::vector<std::size_t> unit_of_segment_;
  std::vector<std::size_t> unit_of_tensor_;
  std::vector<std::string> names_;
  std::vector<std::size_t> by_name_;  // units, groups first, both parts sorted by name
};

/// Whether `text` fits a pattern in which `*` stands for any characters.
bool matches(std::string_view pattern, std::string_view text) noexcept;

}  // namespace gradstab
