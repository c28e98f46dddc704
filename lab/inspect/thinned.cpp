#include "lab/inspect/thinned.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace gradstab::lab::inspect {

void Thinned::Bucket::add(const Point& point) {
  if (!first) first = point;
  // A norm that is not finite is the gap that it is: it stays as the largest.
  const auto size = [](const Point& p) { return std::isfinite(p.norm) ? p.norm : HUGE_VAL; };
  if (!smallest || size(point) < size(*smallest)) smallest = point;
  if (!largest || size(point) > size(*largest)) largest = point;
  if (!std::isnan(point.loss) && (!highest_loss || point.loss > highest_loss->loss)) highest_loss = point;
}

void Thinned::Bucket::merge(const Bucket& other) {
  for (const auto& point : {other.smallest, other.largest, other.highest_loss})
    if (point) add(*point);
}

void Thinned::add(const Point& point) {
  last_ = point;
  if (buckets_.empty() || in_last_ == per_bucket_) {
    if (buckets_.size() == kMostBuckets) {
      for (std::size_t i = 0; i < kMostBuckets / 2; ++i) {
        Bucket merged = buckets_[2 * i];
        merged.merge(buckets_[2 * i + 1]);
        buckets_[i] = merged;
      }
      buckets_.resize(kMostBuckets / 2);
      per_bucket_ *= 2;
    }
    buckets_.emplace_back();
    in_last_ = 0;
  }
  buckets_.back().add(point);
  ++in_last_;
}

std::vector<Point> Thinned::points() const {
  std::map<std::int64_t, Point> kept;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const Bucket& bucket = buckets_[i];
    if (i == 0 && bucket.first) kept[bucket.first->record] = *bucket.first;
    for (const auto& point : {bucket.smallest, bucket.largest, bucket.highest_loss})
      if (point) kept[point->record] = *point;
  }
  if (!buckets_.empty()) kept[last_.record] = last_;
  std::vector<Point> points;
  points.reserve(kept.size());
  for (const auto& [record, point] : kept) points.push_back(point);
  return points;
}

}  // namespace gradstab::lab::inspect
