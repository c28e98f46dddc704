#include "support/saved_state.hpp"

#include <stdexcept>
#include <string>

#include "core/base/state_codec.hpp"
#include "core/transform/transform_access.hpp"

namespace gradstab::testing {
namespace {

ByteWriter saved(const GradientTransform& transform) {
  // Nothing is changed; a constant transform has no door of its own.
  const auto& inside = TransformAccess::inside(const_cast<GradientTransform&>(transform));
  if (inside.links.size() != 1) throw std::logic_error("a transform of one method is needed");
  ByteWriter writer;
  inside.links.front()->save_state(writer, {0, inside.parameters.size()});
  return writer;
}

}  // namespace

std::vector<double> saved_numbers(const GradientTransform& transform, std::string_view name) {
  const ByteWriter writer = saved(transform);
  std::vector<double> numbers;
  for (const ByteWriter::Named& named : writer.named()) {
    for (std::size_t i = 0; named.name == name && i < named.count; ++i)
      numbers.push_back(writer.number(named, i));
  }
  if (numbers.empty()) throw std::logic_error("nothing is saved as " + std::string(name));
  return numbers;
}

std::size_t saved_bytes(const GradientTransform& transform) {
  return saved(transform).bytes().size();
}

}  // namespace gradstab::testing
