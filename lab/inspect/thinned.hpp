// Fewer records for drawing, without losing an extreme, from a stream of any length.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "lab/inspect/rules.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// A record with what was computed for it.
struct Point {
  std::int64_t record = 0;  ///< its place in the log, from 0
  std::int64_t step = 0;
  double norm = 0.0;
  double loss = 0.0;    ///< NaN where there is none
  double median = 0.0;  ///< of the norms before; NaN where there are too few
  std::array<double, kRules> factors{};
};

/// Keeps, of each bucket of records, those with the smallest and the largest norm and with the largest loss.
/// There are at most kMostBuckets; when they are full, every two become one.
class Thinned {
 public:
  void add(const Point& point);
  /// In the order of the log. All records where there are few.
  std::vector<Point> points() const;

  static constexpr std::size_t kMostBuckets = 512;

 private:
  struct Bucket {
    std::optional<Point> first, smallest, largest, highest_loss;
    void add(const Point& point);
    void merge(const Bucket& other);
  };
  std::vector<Bucket> buckets_;
  std::int64_t per_bucket_ = 1;
  std::int64_t in_last_ = 0;
  Point last_;
};

}  // namespace gradstab::lab::inspect
