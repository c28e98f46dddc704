// UnitTransform: a norm-based method that keeps something per unit.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/step/global_norm.hpp"
#include "core/step/norm_transform.hpp"
#include "core/step/unit_map.hpp"
#include "gradstab/options.hpp"

namespace gradstab {

/// The reports of one unit's segments.
class UnitReports {
 public:
  explicit UnitReports(TensorReport& only) : reports_(&only, 1) {}
  /// `first` is the segment that `reports` begins with.
  UnitReports(std::span<const std::size_t> segments, std::size_t first, std::span<TensorReport> reports)
      : reports_(reports), segments_(segments), first_(first) {}

  std::size_t size() const noexcept { return segments_.empty() ? reports_.size() : segments_.size(); }
  TensorReport& operator[](std::size_t i) const noexcept {
    return segments_.empty() ? reports_[i] : reports_[segments_[i] - first_];
  }

 private:
  std::span<TensorReport> reports_;
  std::span<const std::size_t> segments_;
  std::size_t first_ = 0;
};

/// What a unit's reports amount to in this step.
struct UnitNorm {
  bool present = false;    ///< any part has a gradient
  bool nonfinite = false;  ///< any part that has one holds NaN or Inf
  double norm = 0.0;       ///< of the parts that have one, with their factors; those set aside count as zero
};
UnitNorm unit_norm(const UnitReports& reports) noexcept;

/// Calls act(report) for the parts of a unit that have a finite gradient.
template <class Act>
void for_each_finite(const UnitReports& reports, Act act) noexcept {
  for (std::size_t i = 0; i < reports.size(); ++i) {
    if (reports[i].present && reports[i].finite) act(reports[i]);
  }
}

class UnitTransform : public NormTransform {
 public:
  explicit UnitTransform(Units units) : units_(std::move(units)) {}

  bool needs_all_tensors() const noexcept override {
    return units_.granularity == Granularity::group || units_.granularity == Granularity::model;
  }
  bool needs_rows() const noexcept override { return units_.granularity == Granularity::row; }
  Status validate() const override { return units_.validate(); }
  Status bind(const ParameterSet& parameters, const Segments& segments) override;

  void save_state(ByteWriter& writer, IndexRange tensors) const override;
  Status load_state(ByteReader& reader, const SavedParameters& saved) override;

 protected:
  /// Fresh state for that many units.
  virtual void reset_units(std::size_t count) = 0;
  virtual void save_unit(ByteWriter& writer, std::size_t unit) const = 0;
  /// Reads what `save_unit` wrote; unit -1 drops it.
  virtual Status load_unit(ByteReader& reader, std::ptrdiff_t unit) = 0;

  /// The settings "granularity" and "groups".
  void save_units(SettingsWriter& settings) const;

  const Units& units() const noexcept { return units_; }
  const UnitMap& map() const noexcept { return map_; }
  /// The units of one tensor, or of all.
  IndexRange units_of(IndexRange tensors) const noexcept;

  /// Calls body(unit, reports of the unit) for the units of these segments.
  template <class Body>
  void for_each_unit(std::size_t first, std::span<TensorReport> reports, Body body) noexcept {
    if (map_.identity()) {
      for (std::size_t i = 0; i < reports.size(); ++i) body(first + i, UnitReports(reports[i]));
      return;
    }
    const IndexRange range = map_.units_within({first, first + reports.size()});
    for (std::size_t unit = range.begin; unit < range.end; ++unit) {
      const auto segments = map_.segments_of(unit);
      if (!segments.empty()) body(unit, UnitReports(segments, first, reports));
    }
  }

 private:
  Status load_groups(ByteReader& reader, const SavedParameters& saved);

  Units units_;
  UnitMap map_;
  std::vector<std::string> tensor_names_;   // of granularity group
  std::vector<std::size_t> first_segment_;  // per tensor, and the count of all behind them
};

}  // namespace gradstab
