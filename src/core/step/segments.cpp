#include "core/step/segments.hpp"

namespace gradstab {

Segments::Segments(const ParameterSet& parameters, bool rows) : rows_(rows) {
  first_.reserve(parameters.size() + 1);
  for (const Parameter& parameter : parameters) {
    first_.push_back(first_.back() + (rows ? row_count(parameter.sizes) : 1));
  }
}

Segments::Segments(std::span<const std::size_t> pieces) : rows_(true) {
  first_.reserve(pieces.size() + 1);
  for (const std::size_t count : pieces) first_.push_back(first_.back() + count);
}

}  // namespace gradstab
